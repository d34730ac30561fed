/**
 * Reader of the streams that CompressAI's rANS coder writes: a state of 63 bits, 32-bit words,
 * frequencies of 16 bits (Duda, 2013, "Asymmetric numeral systems"; the layout is that of Giesen's
 * rans64).
 */

import { CodecError } from "./codec_error.js";

export const PRECISION = 16;
export const TOTAL = 1 << PRECISION;

const LOWEST = 1n << 31n;
const MASK = BigInt(TOTAL - 1);
const WORD = 32n;

// compressai_vq never writes fewer symbols: what is missing is a symbol that is as good as free.
const FEWEST_SYMBOLS = 3;
const FILLER = TOTAL - 1;

/** One stream. */
export class RansReader {
  /**
   * @param {Uint8Array} bytes
   * @throws {CodecError} for a length or a beginning that no stream has.
   */
  constructor(bytes) {
    if (bytes.length < 8 || bytes.length % 4) {
      throw new CodecError(`index stream of ${bytes.length} bytes is damaged`);
    }
    this.words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = 8;
    this.state = this.words.getBigUint64(0, true);
    this.symbols = 0;
    if (this.state < LOWEST || this.state >> 63n) throw damaged();
  }

  /** Where in [0, 2^16) the next symbol's share lies. */
  peek() {
    return Number(this.state & MASK);
  }

  /**
   * Go on behind the symbol whose share is [start, end).
   *
   * @throws {CodecError} when the stream has ended.
   */
  take(start, end) {
    const above = BigInt(end - start) * (this.state >> BigInt(PRECISION));
    this.state = above + BigInt(this.peek() - start);
    if (this.state < LOWEST) {
      if (this.at >= this.words.byteLength) throw damaged();
      this.state = (this.state << WORD) | BigInt(this.words.getUint32(this.at, true));
      this.at += 4;
    }
    this.symbols++;
  }

  /**
   * Make sure that this was the whole stream.
   *
   * Reading undoes writing step by step: only a stream that was written ends in the state that
   * writing begins with, with nothing left over.
   *
   * @throws {CodecError} when it was not.
   */
  finish() {
    while (this.symbols < FEWEST_SYMBOLS) {
      if (this.peek() >= FILLER) throw damaged();
      this.take(0, FILLER);
    }
    if (this.state !== LOWEST || this.at !== this.words.byteLength) throw damaged();
  }
}

function damaged() {
  return new CodecError("index stream is damaged or was written with other weights");
}
