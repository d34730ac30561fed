"""One packet: some indices of an image, and everything that decoding them needs.

::

    2 bytes    magic "VP"
    1 byte     packet format version (high 4 bits), architecture's number (low 4 bits)
    1 byte     quality (high 4 bits), 0 (low 4 bits)
    2 bytes    the first two of the fingerprint of the weights
    4 bytes    image id: the first four of SHA-256 over the facts above and the index map
    4-11 bytes width, height, packet number, number of packets, each as LEB128 without surplus
    4 bytes    CRC-32 (zlib's, big-endian) of all the bytes before and after it
               the packet's indices in raster order, rANS-coded with the learned frequencies

Any change of what is written raises the version.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..architecture_names import ARCHITECTURE_NAMES
from ..architectures import ARCHITECTURES
from ..container import MAX_SIDE, checksum, leb128, read_leb128
from ..errors import CodecError
from ..rates import LADDER, STRIDE

MAGIC = b"VP"
VERSION = 1
MAX_PACKETS = 1 << 14
"""Of one image."""


@dataclass(frozen=True, order=True)
class ImageFacts:
    """What all packets of one image have in common.

    Raises:
        CodecError: when a field has a value that no packet can have.
    """

    architecture: str
    quality: int  # 1 to 9
    fingerprint: bytes  # the first 2 bytes of the weights' fingerprint
    image_id: bytes  # 4 bytes
    width: int  # of the image, before padding, in pixels
    height: int
    count: int  # number of packets

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURE_NAMES:
            raise CodecError(f"unknown architecture {self.architecture}")
        if not 1 <= self.quality <= len(LADDER):
            raise CodecError(f"quality {self.quality} is not between 1 and {len(LADDER)}")
        if not (0 < self.width <= MAX_SIDE and 0 < self.height <= MAX_SIDE):
            raise CodecError(f"an image cannot be {self.width}x{self.height} pixels")
        limit = ARCHITECTURES[self.architecture].max_pixels
        if self.width * self.height > limit:
            raise CodecError(
                f"{self.width}x{self.height} pixels are more than {self.architecture}'s limit "
                f"of {limit / 1e6:.1f} megapixels"
            )
        rows, columns = self.shape
        if not 1 <= self.count <= min(MAX_PACKETS, rows * columns):
            raise CodecError(f"{self.count} packets cannot be of one {columns}x{rows} index map")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the index map."""
        return -(-self.height // STRIDE), -(-self.width // STRIDE)


@dataclass(frozen=True)
class Packet:
    """One packet of an image.

    Raises:
        CodecError: when the number is not below the count.
    """

    facts: ImageFacts
    number: int  # from 0
    payload: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.facts.count:
            raise CodecError(f"packet {self.number + 1} of {self.facts.count} cannot be")

    def to_bytes(self) -> bytes:
        """The packet as it travels."""
        facts = self.facts
        numbers = (facts.width, facts.height, self.number, facts.count)
        first = VERSION << 4 | ARCHITECTURE_NAMES.index(facts.architecture)
        header = (
            MAGIC
            + bytes([first, facts.quality << 4])
            + facts.fingerprint
            + facts.image_id
            + b"".join(map(leb128, numbers))
        )
        return header + checksum(header, self.payload) + self.payload

    @classmethod
    def from_bytes(cls, data: bytes) -> Packet:
        """Read and check a packet, whatever its bytes are.

        Raises:
            CodecError: when it is none, or is damaged, or is of a later version.
        """
        if data[: len(MAGIC)] != MAGIC:
            raise CodecError("not a packet" if data else "the packet is empty")
        try:
            version, architecture = data[2] >> 4, data[2] & 15
            if version != VERSION:
                raise CodecError(f"packet format version {version} is not known to this release")
            quality, reserved = data[3] >> 4, data[3] & 15
            fingerprint, image_id = data[4:6], data[6:10]
            at, numbers = 10, []
            for _ in range(4):
                value, at = read_leb128(data, at)
                numbers.append(value)
        except IndexError:
            raise CodecError("the packet is truncated: its header is not whole") from None
        payload = data[at + 4 :]
        if data[at : at + 4] != checksum(data[:at], payload):
            raise CodecError("the packet is damaged: its checksum does not fit")
        if architecture >= len(ARCHITECTURE_NAMES) or reserved:
            raise CodecError("the packet needs a later release: unknown architecture")
        width, height, number, count = numbers
        name = ARCHITECTURE_NAMES[architecture]
        facts = ImageFacts(name, quality, fingerprint, image_id, width, height, count)
        return cls(facts, number, payload)


def image_id(
    architecture: str, quality: int, fingerprint: bytes, width: int, height: int, indices: Tensor
) -> bytes:
    """4 bytes that tell images apart; the same image gets the same ones.

    Args:
        architecture: and the further facts, as in :class:`ImageFacts`.
        indices: the whole index map (h, w).
    """
    facts = f"{architecture} {quality} {fingerprint.hex()} {width} {height} ".encode()
    values = np.ascontiguousarray(indices.cpu().numpy().astype("<u2"))
    return hashlib.sha256(facts + values.tobytes()).digest()[:4]
