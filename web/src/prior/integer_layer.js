/**
 * Layers whose results are integers: `floor((weight . x + bias) / 2^shift)`, exactly, as
 * compressai_vq/prior/integer_layers.py defines them.
 *
 * Weights lie within +-127 and inputs within [0, 255], and a file's weights are such that no sum
 * reaches 2^24.  A JavaScript number holds every integer below 2^53: room for two such sums.  So
 * two outputs are kept in one number, one of them times 2^26, and a multiplication does for both.
 */

const APART = 2 ** 26;
const AT_ONCE = 8;

/** Inputs of one position that are not zero: more than half of the work is not to be done. */
export class SparseInput {
  /** @param {number} most how many there can be */
  constructor(most) {
    this.channels = new Int32Array(most + AT_ONCE);
    this.values = new Float64Array(most + AT_ONCE);
    this.count = 0;
  }

  clear() {
    this.count = 0;
  }

  /** Inputs in [0, 255], one for each channel, whose first is `from` in an array. */
  appendDense(values, from, length) {
    for (let channel = 0; channel < length; channel++) {
      if (values[from + channel] !== 0) {
        this.channels[this.count] = channel;
        this.values[this.count++] = values[from + channel];
      }
    }
  }

  /** One row of a sparse matrix, whose first channel gets the number `channel`. */
  appendRow(rows, row, channel) {
    const { channels, values } = this;
    let { count } = this;
    for (let i = rows.ends[row]; i < rows.ends[row + 1]; i++) {
      channels[count] = rows.channels[i] + channel;
      values[count++] = rows.values[i];
    }
    this.count = count;
  }
}

/** A matrix (rows, channels) of inputs, without those that are zero. */
export class SparseRows {
  constructor(rows, channels) {
    this.width = channels;
    this.ends = new Int32Array(rows + 1); // of the row before
    this.channels = new Int32Array(rows * channels);
    this.values = new Uint8Array(rows * channels);
  }

  /** Take the matrix from all its values in [0, 255], zeros too. */
  fill(values) {
    let count = 0;
    for (let row = 0, at = 0; row + 1 < this.ends.length; row++) {
      for (let channel = 0; channel < this.width; channel++, at++) {
        this.channels[count] = channel;
        this.values[count] = values[at];
        count += values[at] === 0 ? 0 : 1;
      }
      this.ends[row + 1] = count;
    }
  }
}

/** One layer, from `inputs` to `outputs` channels. */
export class IntegerLayer {
  /**
   * @param {Int8Array} weight (outputs, inputs)
   * @param {Int32Array} bias (outputs,)
   * @param {Int8Array} shift (outputs,), within [0, 23]
   */
  constructor(weight, bias, shift) {
    this.outputs = bias.length;
    this.inputs = weight.length / this.outputs;
    this.bias = bias;
    this.shift = shift;
    this.pairs = Math.ceil(this.outputs / 2);
    this.packed = new Float64Array(this.inputs * this.pairs);
    for (let output = 0; output < this.outputs; output++) {
      const factor = output % 2 ? APART : 1;
      for (let input = 0; input < this.inputs; input++) {
        const at = input * this.pairs + (output >> 1);
        this.packed[at] += factor * weight[output * this.inputs + input];
      }
    }
    this.sums = new Float64Array(this.pairs);
  }

  /**
   * @param {SparseInput} input
   * @param {number} low
   * @param {number} high results are clamped to [low, high]
   * @param {Int32Array|Uint8Array} results (outputs,), written to
   */
  apply(input, low, high, results) {
    this.#sum(input);
    for (let output = 0; output < this.outputs; output++) {
      const both = this.sums[output >> 1];
      const upper = Math.round(both / APART);
      const sum = (output % 2 ? upper : both - upper * APART) + this.bias[output];
      const shifted = sum >> this.shift[output];
      results[output] = shifted < low ? low : shifted > high ? high : shifted;
    }
  }

  #sum(input) {
    const { sums, packed, pairs } = this;
    const { channels, values } = input;
    let { count } = input;
    while (count % AT_ONCE) {
      channels[count] = 0;
      values[count++] = 0;
    }
    sums.fill(0);
    for (let i = 0; i < count; i += AT_ONCE) {
      const a = channels[i] * pairs, b = channels[i + 1] * pairs;
      const c = channels[i + 2] * pairs, d = channels[i + 3] * pairs;
      const e = channels[i + 4] * pairs, f = channels[i + 5] * pairs;
      const g = channels[i + 6] * pairs, h = channels[i + 7] * pairs;
      const va = values[i], vb = values[i + 1], vc = values[i + 2], vd = values[i + 3];
      const ve = values[i + 4], vf = values[i + 5], vg = values[i + 6], vh = values[i + 7];
      for (let pair = 0; pair < pairs; pair++) {
        sums[pair] +=
          va * packed[a + pair] + vb * packed[b + pair] +
          vc * packed[c + pair] + vd * packed[d + pair] +
          ve * packed[e + pair] + vf * packed[f + pair] +
          vg * packed[g + pair] + vh * packed[h + pair];
      }
    }
  }
}
