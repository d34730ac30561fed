"""The ``.cvq`` file: everything that decoding needs beside the weights, checked.

::

    2 bytes    magic "VQ"
    1 byte     format version (high 4 bits), architecture's number (low 4 bits)
    1 byte     quality (high 4 bits), coding of the payload (low 4 bits; 0: frequencies,
               1: index prior)
    2 bytes    the first two of the fingerprint of the weights; for coding 1 those of
               SHA-256(fingerprint of the weights, fingerprint of the prior)
    3-10 bytes width, height and payload length, each as LEB128 without surplus bytes
    4 bytes    CRC-32 (zlib's, big-endian) of all the bytes before and after it
               the payload: index map of ceil(height/16) rows, rANS-coded, in raster order
               (``index_coder.py``) or in the prior's (``prior/coder.py``)

A 768x512 image has 16 bytes of header.  Any change of what is written raises the version;
codings are appended, and releases that do not know one say so.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from .architecture_names import ARCHITECTURE_NAMES
from .codings import CODINGS, FREQUENCIES, check_coding
from .errors import CodecError
from .rates import LADDER, STRIDE

MAGIC = b"VQ"
VERSION = 1
MAX_SIDE = 1 << 20


@dataclass(frozen=True)
class Container:
    """One compressed image.

    Raises:
        CodecError: when a field has a value that no file can have.
    """

    architecture: str
    quality: int  # 1 to 9
    fingerprint: bytes  # 2 bytes, of the weights or of weights and prior
    width: int  # of the image, before padding, in pixels
    height: int
    payload: bytes
    coding: str = FREQUENCIES  # one of CODINGS

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= len(LADDER):
            raise CodecError(f"quality {self.quality} is not between 1 and {len(LADDER)}")
        if not (0 < self.width <= MAX_SIDE and 0 < self.height <= MAX_SIDE):
            raise CodecError(f"an image cannot be {self.width}x{self.height} pixels")
        if self.architecture not in ARCHITECTURE_NAMES or len(self.fingerprint) != 2:
            raise CodecError("a container needs a known architecture and a fingerprint")
        check_coding(self.coding)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the index map."""
        return -(-self.height // STRIDE), -(-self.width // STRIDE)

    def to_bytes(self) -> bytes:
        """The file's contents."""
        sizes = (self.width, self.height, len(self.payload))
        first = VERSION << 4 | ARCHITECTURE_NAMES.index(self.architecture)
        header = (
            MAGIC
            + bytes([first, self.quality << 4 | CODINGS.index(self.coding)])
            + self.fingerprint[:2]
            + b"".join(map(leb128, sizes))
        )
        return header + checksum(header, self.payload) + self.payload

    @classmethod
    def from_bytes(cls, data: bytes) -> Container:
        """Read and check a file's contents, whatever they are.

        Raises:
            CodecError: when it is no such file, or is damaged, or is of a later version.
        """
        if data[: len(MAGIC)] != MAGIC:
            raise CodecError("not a .cvq file" if data else "the file is empty")
        try:
            version, architecture = data[2] >> 4, data[2] & 15
            if version != VERSION:
                raise CodecError(f"file format version {version} is not known to this release")
            quality, coding = data[3] >> 4, data[3] & 15
            fingerprint = data[4:6]
            width, at = read_leb128(data, 6)
            height, at = read_leb128(data, at)
            length, at = read_leb128(data, at)
        except IndexError:
            raise CodecError("the file is truncated: its header is not whole") from None
        payload = data[at + 4 :]
        if len(payload) < length:
            raise CodecError(f"the file is truncated: {length - len(payload)} bytes are missing")
        if len(payload) > length:
            raise CodecError(f"the file has {len(payload) - length} bytes too many")
        if data[at : at + 4] != checksum(data[:at], payload):
            raise CodecError("the file is damaged: its checksum does not fit")
        if architecture >= len(ARCHITECTURE_NAMES) or coding >= len(CODINGS):
            raise CodecError("the file needs a later release: unknown architecture or coding")
        name, written = ARCHITECTURE_NAMES[architecture], CODINGS[coding]
        return cls(name, quality, fingerprint, width, height, payload, written)


def checksum(header: bytes, payload: bytes) -> bytes:
    """The 4 bytes that stand between a header and a payload: CRC-32 of both."""
    return zlib.crc32(payload, zlib.crc32(header)).to_bytes(4, "big")


def leb128(value: int) -> bytes:
    """A number in groups of 7 bits, lowest first."""
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def read_leb128(data: bytes, at: int) -> tuple[int, int]:
    """The number at an offset, and the offset behind it.

    Raises:
        IndexError: at the data's end.
        CodecError: when it has surplus bytes or more than 28 bits.
    """
    value = 0
    for shift in range(0, 28, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if not byte and shift:
                break
            return value, at
    raise CodecError("the file is damaged: a number in its header is malformed")
