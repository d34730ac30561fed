/** Index maps that are coded by the prior, as compressai_vq/prior/coder.py writes them. */

import { RansReader } from "../rans.js";
import { lowBits, readSymbol, weightsOf } from "./distribution.js";
import { codingOrder } from "./order.js";

// Part of the format: it decides in which order symbols are written.
const POSITIONS_AT_ONCE = 1 << 12;

/**
 * @param {Uint8Array} payload
 * @param {number} rows
 * @param {number} columns
 * @param {PriorRate} network of the map's quality
 * @param {Int32Array} powers weights by how far a logit lies below the largest
 * @param {(done: number) => void} progress is told the share of positions that are known
 * @returns {Int32Array} indices in raster order
 * @throws {CodecError} when the payload is not one that is written for this size.
 */
export function decodeWithPrior(payload, rows, columns, network, powers, progress = () => {}) {
  const { size } = network;
  const low = lowBits(size);
  const reader = new RansReader(payload);
  const known = new Int32Array(rows * columns).fill(size);
  let done = 0;
  for (const pass of codingOrder(rows, columns)) {
    const hidden = network.hidden(known, rows, columns, pass);
    for (let first = 0; first < pass.length; first += POSITIONS_AT_ONCE) {
      const positions = pass.subarray(first, first + POSITIONS_AT_ONCE);
      const weights = weightRows(network, powers, hidden, first, positions.length);
      if (low === 0) {
        positions.forEach((position, i) => (known[position] = readSymbol(reader, weights[i])));
        continue;
      }
      // First the runs of all, then the places in them.
      const runs = weights.map((row) => readSymbol(reader, runSums(row, low)));
      positions.forEach((position, i) => {
        const members = weights[i].subarray(runs[i] << low, (runs[i] + 1) << low);
        known[position] = (runs[i] << low) | readSymbol(reader, members);
      });
    }
    done += pass.length;
    progress(done / known.length);
  }
  reader.finish();
  return known;
}

function weightRows(network, powers, hidden, first, count) {
  const logits = new Int32Array(network.size);
  return Array.from({ length: count }, (_, i) => {
    network.logits(hidden, first + i, logits);
    const weights = new Float64Array(network.size);
    weightsOf(logits, powers, weights);
    return weights;
  });
}

function runSums(weights, low) {
  const sums = new Float64Array(weights.length >> low);
  for (let i = 0; i < weights.length; i++) sums[i >> low] += weights[i];
  return sums;
}
