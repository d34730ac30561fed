/** What compressai-vq export-onnx wrote: tables, prior and networks of one set of weights. */

import { CodecError } from "./codec_error.js";
import { crc32 } from "./crc32.js";
import { decodeWithFrequencies } from "./frequency_coder.js";
import { decodeWithPrior } from "./prior/coder.js";
import { PriorNetwork } from "./prior/network.js";
import { readSafetensors } from "./safetensors.js";

const FORMAT = 4;

// Beyond these a browser's canvas or memory gives out.
const MAX_PIXELS = 1 << 25;
const MAX_SIDE = 32767;

/** Facts in JSON; none where there is none, or what is no JSON. */
function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/** The tables of one export. Its other files are fetched when they are needed first. */
export class Model {
  /**
   * @param {(name: string) => Promise<Uint8Array>} fetchFile gives a file of the export, or throws
   *   CodecError when it is not there
   * @throws {CodecError} when there is no export, or one of another format.
   */
  static async load(fetchFile) {
    const name = "codec.safetensors";
    const { metadata, tensors, numbers } = readSafetensors(await fetchFile(name), name);
    const facts = parse(metadata.compressai_vq_onnx);
    if (facts.format !== FORMAT) throw new CodecError(`${name} is of another release: export again`);
    if (crc32(numbers) !== facts.checksums?.[name]) {
      throw new CodecError(`${name} is damaged: export it again`);
    }
    return new Model(fetchFile, facts, tensors);
  }

  constructor(fetchFile, facts, tensors) {
    this.fetchFile = fetchFile;
    this.facts = facts;
    this.tensors = tensors;
    this.prior = null;
  }

  /**
   * @returns {Promise<Uint8Array>} the decoder's ONNX file
   * @throws {CodecError} when it is not there, or of another export.
   */
  decoder() {
    return this.#file("decoder.onnx");
  }

  async #file(name) {
    const data = await this.fetchFile(name);
    if (crc32(data) !== this.facts.checksums[name]) {
      throw new CodecError(
        `${name} and codec.safetensors are of two exports: reload the page, or export again`,
      );
    }
    return data;
  }

  /**
   * Make sure that a file was made with these weights.
   *
   * @param {object} container as from readContainer
   * @throws {CodecError} when it was not, or is too large.
   */
  check(container) {
    const { architecture, quality, coding, fingerprint, width, height } = container;
    if (architecture !== this.facts.architecture) {
      throw new CodecError(`made with ${architecture}; this page has ${this.facts.architecture}`);
    }
    const ours = coding === "prior" ? this.facts.prior : this.facts.fingerprint;
    if (ours === null) {
      throw new CodecError("coded by an index prior, and this page was exported without one");
    }
    if (fingerprint !== ours.slice(0, 4)) {
      throw new CodecError(
        `made with other weights (${fingerprint}, this page has ${ours.slice(0, 4)}): ` +
          "export those to the page's folder",
      );
    }
    if (!this.tensors.has(`codebooks.${quality}`)) {
      throw new CodecError(`this page was exported without quality ${quality}`);
    }
    const limit = Math.min(this.facts.max_pixels, MAX_PIXELS);
    if (width * height > limit || Math.max(width, height) > MAX_SIDE) {
      throw new CodecError(
        `${width}x${height} pixels are more than this page's limit of ` +
          `${(limit / 1e6).toFixed(1)} megapixels: use compressai-vq decompress`,
      );
    }
  }

  /**
   * The index map of a file that passed {@link check}.
   *
   * @param {object} container as from readContainer
   * @param {(done: number) => void} progress is told shares of the work
   * @returns {Promise<Int32Array>} (rows * columns,), in raster order
   * @throws {CodecError} when the payload is damaged, or the prior is of another export.
   */
  async indices({ payload, rows, columns, quality, coding }, progress = () => {}) {
    if (coding === "frequencies") {
      const frequencies = this.tensors.get(`frequencies.${quality}`).data;
      return decodeWithFrequencies(payload, rows * columns, frequencies);
    }
    if (this.prior === null) {
      const name = "prior.safetensors";
      this.prior = new PriorNetwork(readSafetensors(await this.#file(name), name).tensors);
    }
    const powers = this.tensors.get("powers_of_two").data;
    return decodeWithPrior(payload, rows, columns, this.prior.rate(quality), powers, progress);
  }

  /**
   * Codewords of a part of an index map.
   *
   * @param {Int32Array} indices (rows * columns,)
   * @param {number} columns
   * @param {{top: number, left: number, rows: number, columns: number}} part
   * @param {number} quality
   * @returns {{data: Float32Array, channels: number}} (channels, part.rows, part.columns)
   */
  codewords(indices, columns, part, quality) {
    const { data: codebook, shape: [, channels] } = this.tensors.get(`codebooks.${quality}`);
    const plane = part.rows * part.columns;
    const data = new Float32Array(channels * plane);
    for (let at = 0; at < plane; at++) {
      const row = part.top + Math.floor(at / part.columns);
      const index = indices[row * columns + part.left + (at % part.columns)];
      for (let c = 0; c < channels; c++) data[c * plane + at] = codebook[index * channels + c];
    }
    return { data, channels };
  }
}
