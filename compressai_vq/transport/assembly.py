"""Packets, as they come, to the index map of one image and the gaps in it."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..codings import FREQUENCIES
from ..errors import CodecError
from ..file_codec import FileCodec
from .interleaving import PacketPositions, packet_numbers
from .packet import ImageFacts, Packet

# What may be decoded in vain, which takes seconds: packets of one number, and positions, 32 times
# the largest image's.  To find which positions a packet has takes as long as to decode some, for
# each image and each of the packets that it claims to have.
_MOST_COPIES = 32
_MOST_IN_VAIN = _MOST_COPIES << 19
_POSITIONS_OF_IMAGE = 1 << 10
_POSITIONS_OF_COUNT = 1 << 5
_UNREAD = "not read: too many packets before it were forged"


@dataclass(frozen=True)
class Rejected:
    """A packet that could not be used."""

    at: int  # its place among the packets that were given, from 0
    reason: str  # one line


@dataclass
class _Patience:
    """How many positions may yet be decoded in vain."""

    positions: int


@dataclass(frozen=True)
class Assembled:
    """What the packets of one image hold."""

    facts: ImageFacts
    indices: Tensor  # int64 (h, w); 0 where lost
    lost: Tensor  # bool (h, w)
    used: int  # packets
    expected: int  # packets that the sender made
    rejected: list[Rejected]


def assemble(packets: Iterable[bytes], codec: FileCodec) -> Assembled:
    """Put together what arrived, in whatever order, how often and how damaged.

    Packets of several images may be among them: the image that has the most packets is taken
    and the others' are rejected.  Duplicates are no reason for rejection.  Of packets with the
    right checksum that do not decode, which damage does not make, so many are tried as take
    seconds; what is left then is rejected unread.

    Args:
        packets: what arrived; each is whole or damaged, or something else altogether.
        codec: of the weights that the image was made with.

    Raises:
        CodecError: when there is no usable packet; the message names the first reason.
    """
    rejected: list[Rejected] = []
    images: dict[ImageFacts, dict[int, list[tuple[int, Packet]]]] = {}
    total = 0
    patience = _Patience(_MOST_IN_VAIN)
    for at, data in enumerate(packets):
        total += 1
        try:
            packet = Packet.from_bytes(data)
            check_weights(packet.facts, codec)
        except CodecError as error:
            rejected.append(Rejected(at, str(error)))
            continue
        images.setdefault(packet.facts, {}).setdefault(packet.number, []).append((at, packet))
    # Not which came first: the order of arrival must not decide what is shown.
    for facts in sorted(images, key=lambda facts: (-len(images[facts]), facts)):
        found = _read(facts, images.pop(facts), codec, rejected, patience)
        if found is None:
            continue
        indices, lost, used = found
        for others in images.values():
            for at, _ in (copy for copies in others.values() for copy in copies):
                rejected.append(Rejected(at, "a packet of another image"))
        rejected.sort(key=lambda rejection: rejection.at)
        return Assembled(facts, indices, lost, used, expected_packets(facts), rejected)
    if not total:
        raise CodecError("there are no packets")
    rejected.sort(key=lambda rejection: rejection.at)
    raise CodecError(f"none of {total} packets can be used; the first: {rejected[0].reason}")


def check_weights(facts: ImageFacts, codec: FileCodec) -> None:
    """Raise CodecError unless a codec has the weights that an image was made with."""
    ours = codec.weights
    ours.check_architecture(facts.architecture)
    ours.check_fingerprint(facts.fingerprint)
    ours.check_quality(facts.quality)


@functools.lru_cache(maxsize=64)
def expected_packets(facts: ImageFacts) -> int:
    """How many packets the sender made: all but those that carry nothing."""
    numbers = packet_numbers(*facts.shape, facts.count).flatten()
    return int((torch.bincount(numbers, minlength=facts.count) > 0).sum())


def _read(
    facts: ImageFacts,
    packets: dict[int, list[tuple[int, Packet]]],
    codec: FileCodec,
    rejected: list[Rejected],
    patience: _Patience,
) -> tuple[Tensor, Tensor, int] | None:
    """Indices, what is lost, and how many packets were used; None when none could be."""
    index_coder = codec.codec(facts.quality).index_coder
    rows, columns = facts.shape
    parts: list[tuple[PacketPositions, Tensor]] = []
    for number, copies in sorted(packets.items()):
        # Of packets that contradict each other any may be right; their bytes decide, not chance.
        chosen: bytes | None = None
        if patience.positions <= 0:
            rejected += (Rejected(at, _UNREAD) for at, _ in copies)
            continue
        where = PacketPositions(number, rows, columns, facts.count)
        count, in_vain = len(where), 0
        fewest = index_coder.fewest_bytes(count)
        for at, packet in sorted(copies, key=lambda copy: copy[1].payload):
            if packet.payload == chosen:
                continue
            if chosen is not None:
                rejected.append(Rejected(at, "contradicts another packet of its number"))
                continue
            if in_vain == _MOST_COPIES or patience.positions <= 0:
                rejected.append(Rejected(at, _UNREAD))
                continue
            try:
                found = _decode(packet, count, codec)
            except CodecError as error:
                rejected.append(Rejected(at, str(error)))
                if len(packet.payload) >= fewest:  # else it was seen at once
                    in_vain += 1
                    patience.positions -= count
                continue
            parts.append((where, found.cpu()))
            chosen = packet.payload
    if not parts:
        patience.positions -= _POSITIONS_OF_IMAGE + _POSITIONS_OF_COUNT * facts.count
        return None
    indices = torch.zeros(rows * columns, dtype=torch.int64)
    lost = torch.ones(rows * columns, dtype=torch.bool)
    for where, found in parts:
        positions = where.positions()
        indices[positions] = found
        lost[positions] = False
    return indices.view(rows, columns), lost.view(rows, columns), len(parts)


def _decode(packet: Packet, count: int, codec: FileCodec) -> Tensor:
    if not count:
        raise CodecError(f"packet {packet.number + 1} of such an image would carry nothing")
    model = codec.codec(packet.facts.quality)
    return model.read([packet.payload], (1, count), FREQUENCIES).flatten()
