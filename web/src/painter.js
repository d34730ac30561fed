/** Index maps to pixels, by the decoder's network in onnxruntime-web. */

import { CodecError } from "./codec_error.js";
import { tiles } from "./tiles.js";

const STRIDE = 16;

/** The decoder of one model. */
export class Painter {
  /**
   * @param {object} ort the module of onnxruntime-web
   * @param {Model} model
   * @throws {CodecError} when the network cannot be loaded.
   */
  static async load(ort, model) {
    const file = await model.decoder();
    try {
      const session = await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
      return new Painter(ort, model, session);
    } catch (error) {
      throw new CodecError(`the decoder's network could not be loaded: ${error.message}`);
    }
  }

  constructor(ort, model, session) {
    Object.assign(this, { ort, model, session });
  }

  /**
   * Decode a map part by part.
   *
   * @param {Int32Array} indices
   * @param {object} container as from readContainer
   * @param {number} [most] rows and columns of the map that are decoded at once
   * @yields {{x: number, y: number, width: number, height: number, pixels: Uint8ClampedArray,
   *   done: number}} pixels are RGBA; done is the share of the work
   */
  async *paint(indices, { rows, columns, width, height, quality }, most) {
    const parts = tiles(rows, columns, this.model.facts.margin, most);
    for (const [number, { core, around }] of parts.entries()) {
      const planes = await this.#decode(indices, columns, around, quality);
      const x = STRIDE * core.left;
      const y = STRIDE * core.top;
      const size = {
        width: Math.min(STRIDE * core.columns, width - x),
        height: Math.min(STRIDE * core.rows, height - y),
      };
      const offset = {
        x: STRIDE * (core.left - around.left),
        y: STRIDE * (core.top - around.top),
      };
      const pixels = interleaved(planes, STRIDE * around.columns, offset, size);
      yield { x, y, ...size, pixels, done: (number + 1) / parts.length };
    }
  }

  async #decode(indices, columns, part, quality) {
    const { data, channels } = this.model.codewords(indices, columns, part, quality);
    const { Tensor } = this.ort;
    const inputs = {
      codewords: new Tensor("float32", data, [1, channels, part.rows, part.columns]),
      rate: new Tensor("int64", BigInt64Array.of(BigInt(quality - 1)), []),
      corner: new Tensor("int64", BigInt64Array.of(BigInt(part.top), BigInt(part.left)), [2]),
    };
    try {
      return (await this.session.run(inputs)).image.data;
    } catch (error) {
      throw new CodecError(`the decoder's network failed: ${error.message}`);
    }
  }
}

/** Planes (3, ., stride) of values in [0, 1] to RGBA of a rectangle in them. */
function interleaved(planes, stride, { x, y }, { width, height }) {
  const plane = planes.length / 3;
  const pixels = new Uint8ClampedArray(4 * width * height);  // it rounds, halves to even
  for (let row = 0, to = 0; row < height; row++) {
    for (let column = 0, at = (y + row) * stride + x; column < width; column++, at++) {
      pixels[to++] = 255 * planes[at];
      pixels[to++] = 255 * planes[plane + at];
      pixels[to++] = 255 * planes[2 * plane + at];
      pixels[to++] = 255;
    }
  }
  return pixels;
}
