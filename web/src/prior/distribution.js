/**
 * Integer logits to the shares that symbols are coded with, as compressai_vq/prior/distribution.py
 * makes them.
 */

import { TOTAL } from "../rans.js";

const ONE_LEVEL_LIMIT = 64;

/** How many bits of an index the second symbol has; 0: there is none. */
export function lowBits(size) {
  return size <= ONE_LEVEL_LIMIT ? 0 : (31 - Math.clz32(size)) >> 1;
}

/**
 * Logits (1/256 bits) to weights in proportion to 2^(logit / 256).
 *
 * @param {Int32Array} logits (K,)
 * @param {Int32Array} powers weight by how far a logit lies below the largest
 * @param {Float64Array} weights (K,), written to: integers in [1, 2^30]
 */
export function weightsOf(logits, powers, weights) {
  let largest = logits[0];
  for (const logit of logits) if (logit > largest) largest = logit;
  for (let i = 0; i < logits.length; i++) {
    weights[i] = powers[Math.min(largest - logits[i], powers.length - 1)];
  }
}

/**
 * Read one symbol whose share follows the weights, each share being at least 1.
 *
 * @param {RansReader} reader
 * @param {Float64Array} weights (n,), integers of at least 1, their sum below 2^47
 * @returns {number} in [0, n)
 * @throws {CodecError} when the stream has ended.
 */
export function readSymbol(reader, weights) {
  const n = weights.length;
  const sums = new Float64Array(n + 1);
  for (let i = 0; i < n; i++) sums[i + 1] = sums[i] + weights[i];
  const all = BigInt(sums[n]);
  const shared = BigInt(TOTAL - n);
  // Products need up to 63 bits, more than a Number has.
  const boundary = (i) => Number((BigInt(sums[i]) * shared) / all) + i;
  const wanted = reader.peek();
  let symbol = 0;
  let above = n;
  while (above - symbol > 1) {
    const middle = (symbol + above) >> 1;
    if (boundary(middle) <= wanted) symbol = middle;
    else above = middle;
  }
  reader.take(boundary(symbol), boundary(above));
  return symbol;
}
