from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compressai_vq.errors import CodecError
from compressai_vq.transport.packet import ImageFacts, Packet, image_id

from ..fixtures import edited, edits, properties
from ..forgery import leb128, with_checksum
from ..golden_files import check_golden

LITE = "mao2024-vqgan-lite"
FACTS = ImageFacts(LITE, 4, b"\x5a\x00", b"\x01\x02\x03\x04", 768, 512, 12)
PACKET = Packet(FACTS, 11, bytes(range(20)))


def forged(
    numbers: tuple[int, ...] = (768, 512, 11, 12),
    first: int = 0x11,
    second: int = 0x40,
    surplus: int = 0,
) -> bytes:
    """Written from the format's description."""
    head = b"VP" + bytes([first, second]) + b"\x5a\x00\x01\x02\x03\x04"
    return with_checksum(head + b"".join(leb128(n, surplus) for n in numbers), PACKET.payload)


def refuse(data: bytes, words: str) -> None:
    with pytest.raises(CodecError, match=words) as caught:
        Packet.from_bytes(data)
    assert "\n" not in str(caught.value)


def test_format_is_as_described() -> None:
    assert PACKET.to_bytes() == forged()
    assert Packet.from_bytes(forged()) == PACKET


def test_packets_stay_the_same_from_release_to_release() -> None:
    small = ImageFacts("mao2024-vqgan", 9, b"\xff\x01", b"abcd", 1, 1, 1)
    written = {"lite": PACKET, "taming, 1x1": Packet(small, 0, b"\x01\x02\x03\x04")}
    check_golden("packet", {name: packet.to_bytes().hex() for name, packet in written.items()})


@properties
@given(
    st.integers(1, 9),
    st.binary(min_size=2, max_size=2),
    st.binary(min_size=4, max_size=4),
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.integers(1, 1 << 14),
    st.integers(0, 1 << 14),
    st.binary(max_size=50),
)
def test_round_trip(
    quality: int,
    fingerprint: bytes,
    identity: bytes,
    width: int,
    height: int,
    count: int,
    number: int,
    payload: bytes,
) -> None:
    count = min(count, -(-width // 16) * -(-height // 16))
    facts = ImageFacts(LITE, quality, fingerprint, identity, width, height, count)
    packet = Packet(facts, number % count, payload)
    assert Packet.from_bytes(packet.to_bytes()) == packet


def test_every_flipped_bit_and_every_truncation_is_noticed() -> None:
    data = PACKET.to_bytes()
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CodecError):
            Packet.from_bytes(bytes(changed))
    refuse(b"", "empty")
    for length in range(1, len(data)):
        with pytest.raises(CodecError):
            Packet.from_bytes(data[:length])
    refuse(data + b"\0", "checksum")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"VQ\x11" + bytes(40), "not a packet"),
        (forged()[:7], "truncated"),
        (forged(first=0x21), "version 2 is not known to this release"),
        (b"VP\x31 of which nothing else is known", "version 3 is not known to this release"),
        (forged(first=0x12), "later release"),
        (forged(second=0x41), "later release"),
        (forged(second=0x00), "quality 0"),
        (forged(second=0xA0), "quality 10"),
        (forged((0, 512, 0, 1)), "cannot be 0x512"),
        (forged((1 << 21, 1, 0, 1)), "cannot be"),
        (forged((1 << 20, 1 << 20, 0, 1)), "megapixels"),
        (forged((768, 512, 12, 12)), "packet 13 of 12"),
        (forged((768, 512, 0, 0)), "0 packets"),
        (forged((768, 512, 0, 1537)), "1537 packets cannot be of one 48x32"),
        (forged((4096, 4096, 0, (1 << 14) + 1)), "16385 packets"),
        (forged((1 << 40, 512, 0, 1)), "malformed"),
        (forged(surplus=1), "malformed"),
    ],
)
def test_hostile_headers_with_checksums_that_fit(data: bytes, words: str) -> None:
    refuse(data, words)


@properties
@given(st.binary(max_size=60), st.booleans())
def test_no_bytes_crash_it(tail: bytes, checked: bool) -> None:
    data = b"VP\x11" + tail
    if checked and len(tail) > 15:
        data = with_checksum(data[:15], data[19:])
    with pytest.raises(CodecError):
        Packet.from_bytes(data)


@properties
@given(edits, st.booleans())
def test_what_is_read_is_what_is_written(changes: list[tuple[int, int]], checked: bool) -> None:
    data = edited(PACKET.to_bytes(), changes)
    if checked:
        at = len(data) - len(PACKET.payload) - 4
        data = with_checksum(data[:at], data[at + 4 :])
    try:
        packet = Packet.from_bytes(data)
    except CodecError:
        assert data != PACKET.to_bytes()
        return
    assert packet.to_bytes() == data


def test_the_id_is_the_images() -> None:
    indices = torch.arange(12).view(3, 4)
    facts = (LITE, 4, b"ab", 60, 40)
    found = {image_id(*facts, indices), image_id(*facts, indices.clone())}
    assert len(found) == 1 and len(found.pop()) == 4
    others = {
        image_id(*facts, indices + 1),
        image_id(*facts, indices),
        image_id(*facts[:3], 61, 40, indices),
        image_id(LITE, 5, b"ab", 60, 40, indices),
    }
    assert len(others) == 4


def test_fields_that_no_packet_can_have() -> None:
    with pytest.raises(CodecError, match="unknown architecture"):
        dataclasses.replace(FACTS, architecture="other")
    with pytest.raises(CodecError, match="packet 13"):
        Packet(FACTS, 12, b"")
