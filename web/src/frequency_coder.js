/** Index maps that are coded with learned frequencies, as compressai_vq/index_coder.py does. */

import { RansReader, TOTAL } from "./rans.js";

/**
 * @param {Uint8Array} payload
 * @param {number} count of positions
 * @param {Int32Array} frequencies (K,), at least 1 each, of 2^16
 * @returns {Int32Array} indices in raster order
 * @throws {CodecError} when the payload is not one that is written for so many positions.
 */
export function decodeWithFrequencies(payload, count, frequencies) {
  const ends = new Int32Array(frequencies.length);
  const symbolAt = new Uint16Array(TOTAL);
  let start = 0;
  frequencies.forEach((frequency, symbol) => {
    symbolAt.fill(symbol, start, start + frequency);
    start += frequency;
    ends[symbol] = start;
  });
  const reader = new RansReader(payload);
  const indices = new Int32Array(count);
  for (let position = 0; position < count; position++) {
    const symbol = symbolAt[reader.peek()];
    reader.take(ends[symbol] - frequencies[symbol], ends[symbol]);
    indices[position] = symbol;
  }
  reader.finish();
  return indices;
}
