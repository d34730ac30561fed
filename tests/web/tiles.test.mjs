// node --test: parts of a map cover it once, each with its surroundings, none too large.

import assert from "node:assert/strict";
import test from "node:test";

import { tiles } from "../../web/src/tiles.js";

const MARGIN = 16;
const MOST = 128;

for (const [rows, columns] of [[1, 1], [128, 128], [129, 3], [32, 48], [500, 333], [1, 4096]]) {
  test(`${rows} rows, ${columns} columns`, () => {
    const covered = new Uint8Array(rows * columns);
    for (const { core, around } of tiles(rows, columns, MARGIN, MOST)) {
      assert.ok(around.rows <= MOST && around.columns <= MOST);
      for (const [at, side, length] of [["top", "rows", rows], ["left", "columns", columns]]) {
        const end = core[at] + core[side];
        assert.ok(core[side] > 0);
        assert.equal(around[at], Math.max(core[at] - MARGIN, 0));
        assert.equal(around[at] + around[side], Math.min(end + MARGIN, length));
      }
      for (let row = core.top; row < core.top + core.rows; row++) {
        for (let column = core.left; column < core.left + core.columns; column++) {
          covered[row * columns + column]++;
        }
      }
    }
    assert.ok(covered.every((times) => times === 1));
  });
}

test("what fits is decoded whole", () => {
  assert.equal(tiles(MOST, MOST, MARGIN, MOST).length, 1);
});
