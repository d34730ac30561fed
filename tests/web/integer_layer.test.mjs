// node --test: the prior's sums at their bounds, where two of them share a number.

import assert from "node:assert/strict";
import test from "node:test";

import { IntegerLayer, SparseInput } from "../../web/src/prior/integer_layer.js";

const INPUTS = 517; // 517 * 127 * 255 is just below 2^24

function layer(rows, bias, shift) {
  return new IntegerLayer(
    Int8Array.from(rows.flatMap((value) => Array(INPUTS).fill(value))),
    Int32Array.from(bias),
    Int8Array.from(shift),
  );
}

function results(of, values, low = -(2 ** 24), high = 2 ** 24) {
  const input = new SparseInput(INPUTS);
  input.appendDense(values, 0, INPUTS);
  const found = new Int32Array(of.outputs);
  of.apply(input, low, high, found);
  return Array.from(found);
}

const full = new Uint8Array(INPUTS).fill(255);
const LARGEST = INPUTS * 127 * 255;

test("the largest sums of both signs do not touch each other", () => {
  assert.ok(LARGEST < 2 ** 24 && LARGEST > 2 ** 24 - 2 ** 16);
  for (const rows of [[127, 127], [-127, 127], [127, -127], [-127, -127], [-127, 0], [0, -127]]) {
    const expected = rows.map((value) => value * 255 * INPUTS);
    assert.deepEqual(results(layer(rows, [0, 0], [0, 0]), full), expected);
  }
});

test("an odd number of outputs, bias, and a shift that rounds down", () => {
  const odd = layer([1, -1, 2], [5, -5, 0], [3, 3, 23]);
  const sum = 255 * INPUTS;
  const expected = [Math.floor((sum + 5) / 8), Math.floor((-sum - 5) / 8), 0];
  assert.deepEqual(results(odd, full), expected);
  assert.deepEqual(results(odd, full, -10, 10), [10, -10, 0]);
});

test("inputs that are zero count for nothing", () => {
  const sparse = new Uint8Array(INPUTS);
  sparse[3] = 7;
  sparse[INPUTS - 1] = 1;
  assert.deepEqual(results(layer([3, -2], [0, 0], [0, 0]), sparse), [24, -16]);
  assert.deepEqual(results(layer([3, -2], [1, 2], [0, 0]), new Uint8Array(INPUTS)), [1, 2]);
});
