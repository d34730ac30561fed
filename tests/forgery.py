"""``.cvq`` files with any fields at all and a checksum that fits.

Written from the format's description, not with the package's own code.
"""

from __future__ import annotations

import zlib


def leb128(value: int, surplus: int = 0) -> bytes:
    """A number in groups of 7 bits, lowest first, with bytes of zeros appended on demand."""
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    groups += [0] * surplus
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


def with_checksum(head: bytes, payload: bytes) -> bytes:
    """Any header and payload, joined by the CRC-32 of both."""
    return head + zlib.crc32(head + payload).to_bytes(4, "big") + payload


def forge(
    width: int,
    height: int,
    payload: bytes,
    *,
    fingerprint: bytes = b"\x5a\x00",
    quality: int = 1,
    architecture: int = 1,
    version: int = 1,
    coding: int = 0,
    magic: bytes = b"VQ",
    length: int | None = None,
    surplus: int = 0,
) -> bytes:
    """A file of these fields, sensible or not."""
    sizes = (width, height, len(payload) if length is None else length)
    head = magic + bytes([version << 4 | architecture, quality << 4 | coding]) + fingerprint
    head += b"".join(leb128(size, surplus) for size in sizes)
    return with_checksum(head, payload)
