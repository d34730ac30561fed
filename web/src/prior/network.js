/**
 * The prior's network: an index map with gaps to logits, in integers, as
 * compressai_vq/prior/network.py computes them; units are those of fixed_point.py there.
 */

import { CodecError } from "../codec_error.js";
import { IntegerLayer, SparseInput, SparseRows } from "./integer_layer.js";

const EMBEDDING_TO_STREAM = 1 << (9 - 5);
const STREAM_MAX = (1 << 15) - 1;
const STREAM_TO_ACTIVATION = 9 - 5;
const ACTIVATION_MAX = 255;
const LOGIT_MAX = 1 << 23;

/** The network of all rates. */
export class PriorNetwork {
  /**
   * @param {Map<string, {shape: number[], data: *}>} tensors of the prior's weights file
   * @throws {CodecError} when a part is missing.
   */
  constructor(tensors) {
    this.tensors = tensors;
    this.blocks = [];
    while (tensors.has(`blocks.${this.blocks.length}.mix.weight`)) {
      const name = `blocks.${this.blocks.length}`;
      this.blocks.push({ gather: this.#layer(`${name}.gather`), mix: this.#layer(`${name}.mix`) });
    }
    this.rates = new Map();
  }

  /**
   * One rate's part of it.
   *
   * @param {number} quality 1 to 9
   * @throws {CodecError} when the file has no such quality.
   */
  rate(quality) {
    if (!this.rates.has(quality)) {
      const embeddings = this.#tensor(`embeddings.${quality}`);
      const [rows, channels] = embeddings.shape;
      const head = this.#layer(`heads.${quality}`);
      this.rates.set(quality, new PriorRate(this.blocks, embeddings.data, channels, rows - 1, head));
    }
    return this.rates.get(quality);
  }

  #layer(name) {
    const [weight, bias, shift] = ["weight", "bias", "shift"].map(
      (part) => this.#tensor(`${name}.${part}`).data,
    );
    return new IntegerLayer(weight, bias, shift);
  }

  #tensor(name) {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) throw new CodecError(`the index prior lacks ${name}: export it again`);
    return tensor;
  }
}

/** The network with one rate's tables. */
export class PriorRate {
  /**
   * @param {{gather: IntegerLayer, mix: IntegerLayer}[]} blocks
   * @param {Int8Array} embeddings (size + 1, channels)
   * @param {number} channels
   * @param {number} size K; as an index it stands for a gap
   * @param {IntegerLayer} head
   */
  constructor(blocks, embeddings, channels, size, head) {
    Object.assign(this, { blocks, embeddings, channels, size, head });
    this.input = new SparseInput(9 * channels);
  }

  /**
   * What is known around some positions.
   *
   * @param {Int32Array} indices (rows * columns,), in [0, size]
   * @param {number} rows
   * @param {number} columns
   * @param {Int32Array} wanted positions
   * @returns {Uint8Array} (wanted.length, channels)
   */
  hidden(indices, rows, columns, wanted) {
    if (indices.some((index) => index !== this.size)) {
      return this.#around(indices, rows, columns, wanted);
    }
    // Where nothing is known, all positions look alike but for those that see an edge: a map
    // without the middle tells the same.
    const reach = this.blocks.length;
    const fewer = (length) => Math.min(length, 2 * reach + 1);
    const fold = (at, length) => Math.max(Math.min(at, reach), at - length + fewer(length));
    const gaps = new Int32Array(fewer(rows) * fewer(columns)).fill(this.size);
    const folded = wanted.map(
      (position) =>
        fold(Math.floor(position / columns), rows) * fewer(columns) +
        fold(position % columns, columns),
    );
    return this.#around(gaps, fewer(rows), fewer(columns), folded);
  }

  /**
   * @param {Uint8Array} hidden rows of channels, as from {@link hidden}
   * @param {number} row which of them
   * @param {Int32Array} logits (size,), written to: 1/256 bits, up to a constant
   */
  logits(hidden, row, logits) {
    this.input.clear();
    this.input.appendDense(hidden, row * this.channels, this.channels);
    this.head.apply(this.input, -LOGIT_MAX, LOGIT_MAX, logits);
  }

  #around(indices, rows, columns, wanted) {
    const { channels, input } = this;
    // Only what the wanted positions can see is computed: a ring more for each block before.
    const needed = [wanted];
    for (let i = 1; i < this.blocks.length; i++) {
      needed.unshift(withNeighbours(needed[0], rows, columns));
    }
    const stream = new Int32Array(rows * columns * channels);
    indices.forEach((index, position) => {
      for (let c = 0; c < channels; c++) {
        const embedding = this.embeddings[index * channels + c];
        stream[position * channels + c] = embedding * EMBEDDING_TO_STREAM;
      }
    });
    const active = new Uint8Array(stream.length);
    const inputs = new SparseRows(rows * columns, channels);
    const gathered = new Uint8Array(channels);
    const added = new Int32Array(channels);
    this.blocks.forEach(({ gather, mix }, number) => {
      activate(stream, active);
      inputs.fill(active);
      for (const position of new Set(needed[number])) {
        input.clear();
        forEachNeighbour(position, rows, columns, (neighbour, tap) => {
          input.appendRow(inputs, neighbour, tap * channels);
        });
        gather.apply(input, 0, ACTIVATION_MAX, gathered);
        input.clear();
        input.appendDense(gathered, 0, channels);
        mix.apply(input, -STREAM_MAX, STREAM_MAX, added);
        for (let c = 0, at = position * channels; c < channels; c++, at++) {
          stream[at] = Math.max(-STREAM_MAX, Math.min(STREAM_MAX, stream[at] + added[c]));
        }
      }
    });
    activate(stream, active);
    const result = new Uint8Array(wanted.length * channels);
    wanted.forEach((position, i) => {
      result.set(active.subarray(position * channels, (position + 1) * channels), i * channels);
    });
    return result;
  }
}

/** ReLU: stream to activation units, rounded. */
function activate(stream, active) {
  const half = 1 << (STREAM_TO_ACTIVATION - 1);
  for (let i = 0; i < stream.length; i++) {
    const value = (stream[i] + half) >> STREAM_TO_ACTIVATION;
    active[i] = value < 0 ? 0 : value > ACTIVATION_MAX ? ACTIVATION_MAX : value;
  }
}

/** Calls back with the positions of a 3x3 window that are in the map, and their number in it. */
function forEachNeighbour(position, rows, columns, callback) {
  const row = Math.floor(position / columns);
  const column = position % columns;
  for (let tap = 0; tap < 9; tap++) {
    const y = row + Math.floor(tap / 3) - 1;
    const x = column + (tap % 3) - 1;
    if (y >= 0 && y < rows && x >= 0 && x < columns) callback(y * columns + x, tap);
  }
}

function withNeighbours(positions, rows, columns) {
  const marked = new Uint8Array(rows * columns);
  for (const position of positions) {
    forEachNeighbour(position, rows, columns, (neighbour) => (marked[neighbour] = 1));
  }
  const all = Int32Array.from(marked.keys());
  return all.filter((position) => marked[position]);
}
