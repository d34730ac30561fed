/**
 * Parts of an index map that are decoded one after the other, so that memory is bounded.
 *
 * A pixel depends on what lies within some positions of it and on nothing else: with so many
 * around it, a part decodes to the same pixels as in the whole.
 */

/**
 * @param {number} rows of the map
 * @param {number} columns
 * @param {number} margin how many positions around a part have to be decoded with it
 * @param {number} most rows and columns of what is decoded at once, more than two margins
 * @returns {{core: object, around: object}[]} the cores cover the map once; each has top, left,
 *   rows and columns, as what is to be decoded around it has
 */
export function tiles(rows, columns, margin, most = 128) {
  const across = spans(columns, margin, most);
  return spans(rows, margin, most).flatMap((down) =>
    across.map((side) => ({ core: part(down.core, side.core), around: part(down.all, side.all) })),
  );
}

function part([top, bottom], [left, right]) {
  return { top, left, rows: bottom - top, columns: right - left };
}

function spans(length, margin, most) {
  const count = length <= most ? 1 : Math.ceil(length / (most - 2 * margin));
  return Array.from({ length: count }, (_, i) => {
    const first = Math.floor((length * i) / count);
    const last = Math.floor((length * (i + 1)) / count);
    return {
      core: [first, last],
      all: [Math.max(first - margin, 0), Math.min(last + margin, length)],
    };
  });
}
