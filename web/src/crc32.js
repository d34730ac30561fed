/** CRC-32 as zlib has it. */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) {
    remainder = remainder & 1 ? (remainder >>> 1) ^ 0xedb88320 : remainder >>> 1;
  }
  return remainder;
});

/**
 * @param {Uint8Array} data
 * @param {number} before the checksum of what stands before the data
 * @returns {number} in [0, 2^32)
 */
export function crc32(data, before = 0) {
  let remainder = ~before;
  for (const byte of data) remainder = TABLE[(remainder ^ byte) & 0xff] ^ (remainder >>> 8);
  return ~remainder >>> 0;
}
