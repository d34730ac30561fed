/** In which order the prior codes positions, as compressai_vq/prior/order.py says. */

const PATTERN = [
  [0, 5, 2, 5],
  [5, 3, 5, 4],
  [2, 5, 1, 5],
  [5, 4, 5, 3],
];
const PASSES = 6;

/**
 * @param {number} rows
 * @param {number} columns
 * @returns {Int32Array[]} positions (row * columns + column) of each pass in raster order, no
 *   pass without any
 */
export function codingOrder(rows, columns) {
  const passes = Array.from({ length: PASSES }, () => []);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      passes[PATTERN[row % 4][column % 4]].push(row * columns + column);
    }
  }
  return passes.filter((positions) => positions.length).map((pass) => Int32Array.from(pass));
}
