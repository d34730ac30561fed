/**
 * Files of named tensors: 8 bytes of length, a JSON header, the tensors' bytes.
 */

import { CodecError } from "./codec_error.js";

const ARRAYS = { I8: Int8Array, U8: Uint8Array, I32: Int32Array, F32: Float32Array };

/**
 * @param {Uint8Array} data
 * @param {string} name of the file, for messages
 * @returns {{metadata: Object<string, string>, tensors: Map<string, {shape: number[], data:
 *   (Int8Array|Uint8Array|Int32Array|Float32Array)}>, numbers: Uint8Array}} numbers: of all tensors
 * @throws {CodecError} when it is no such file.
 */
export function readSafetensors(data, name) {
  try {
    const length = Number(new DataView(data.buffer, data.byteOffset).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(data.subarray(8, 8 + length)));
    const { __metadata__: metadata = {}, ...entries } = header;
    const tensors = new Map();
    for (const [key, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(entries)) {
      // A copy: an array's bytes must be aligned.
      const bytes = data.slice(8 + length + begin, 8 + length + end);
      const values = new ARRAYS[dtype](bytes.buffer);
      if (values.length !== shape.reduce((product, side) => product * side, 1)) throw RangeError();
      tensors.set(key, { shape, data: values });
    }
    return { metadata, tensors, numbers: data.subarray(8 + length) };
  } catch {
    throw new CodecError(`${name} is damaged: export it again`);
  }
}
