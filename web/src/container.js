/**
 * The `.cvq` file, as compressai_vq/container.py writes it; that file's text says what lies where.
 */

import { CodecError } from "./codec_error.js";
import { crc32 } from "./crc32.js";

const VERSION = 1;
const MAX_SIDE = 1 << 20;
const ARCHITECTURES = ["mao2024-vqgan", "mao2024-vqgan-lite"];
const CODINGS = ["frequencies", "prior"];
const QUALITIES = 9;
const STRIDE = 16;

/**
 * Read and check a file's contents, whatever they are.
 *
 * @param {Uint8Array} data
 * @returns {{architecture: string, quality: number, coding: string, fingerprint: string,
 *   width: number, height: number, rows: number, columns: number, payload: Uint8Array}}
 *   quality from 1 to 9; the fingerprint's 2 bytes as hexadecimal digits; width and height in
 *   pixels, rows and columns of the index map.
 * @throws {CodecError} when it is no such file, or is damaged, or is of a later version.
 */
export function readContainer(data) {
  if (data.length === 0) throw new CodecError("the file is empty");
  if (data[0] !== 0x56 || data[1] !== 0x51) throw new CodecError("not a .cvq file");
  const header = new Header(data);
  const first = header.byte();
  if (first >> 4 !== VERSION) {
    throw new CodecError(`file format version ${first >> 4} is not known to this page`);
  }
  const second = header.byte();
  const fingerprint = hex([header.byte(), header.byte()]);
  const width = header.number();
  const height = header.number();
  const length = header.number();
  const end = header.at;
  const payload = data.subarray(end + 4);
  const missing = length - Math.max(data.length - end - 4, 0);
  if (missing > 0) throw new CodecError(`the file is truncated: ${missing} bytes are missing`);
  if (missing < 0) throw new CodecError(`the file has ${-missing} bytes too many`);
  // Without a payload the checksum itself may be cut off; what is missing then equals nothing.
  const stored = new DataView(data.buffer, data.byteOffset, data.length);
  const whole = data.length >= end + 4;
  if (!whole || stored.getUint32(end) !== crc32(payload, crc32(data.subarray(0, end)))) {
    throw new CodecError("the file is damaged: its checksum does not fit");
  }
  const architecture = ARCHITECTURES[first & 15];
  const coding = CODINGS[second & 15];
  if (architecture === undefined || coding === undefined) {
    throw new CodecError("the file needs a later release: unknown architecture or coding");
  }
  const quality = second >> 4;
  if (quality < 1 || quality > QUALITIES) {
    throw new CodecError(`quality ${quality} is not between 1 and ${QUALITIES}`);
  }
  if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE) {
    throw new CodecError(`an image cannot be ${width}x${height} pixels`);
  }
  return {
    architecture,
    quality,
    coding,
    fingerprint,
    width,
    height,
    rows: Math.ceil(height / STRIDE),
    columns: Math.ceil(width / STRIDE),
    payload,
  };
}

/** Bytes as hexadecimal digits. */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

class Header {
  constructor(data) {
    this.data = data;
    this.at = 2;
  }

  byte() {
    if (this.at >= this.data.length) {
      throw new CodecError("the file is truncated: its header is not whole");
    }
    return this.data[this.at++];
  }

  /** LEB128 of at most four bytes, without surplus ones. */
  number() {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (byte === 0 && shift > 0) break;
        return value;
      }
    }
    throw new CodecError("the file is damaged: a number in its header is malformed");
  }
}
