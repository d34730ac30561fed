from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressai_vq.architectures import ARCHITECTURES
from compressai_vq.codings import CODINGS
from compressai_vq.container import MAX_SIDE, Container
from compressai_vq.errors import CodecError

from .fixtures import edited, edits, properties
from .forgery import forge, leb128, with_checksum
from .golden_files import check_golden

LITE = "mao2024-vqgan-lite"
PAYLOAD = bytes(range(40))
containers = st.builds(
    Container,
    st.sampled_from(list(ARCHITECTURES)),
    st.integers(1, 9),
    st.binary(min_size=2, max_size=2),
    st.integers(1, MAX_SIDE),
    st.integers(1, MAX_SIDE),
    st.binary(max_size=300),
    st.sampled_from(CODINGS),
)


def example() -> bytes:
    return Container(LITE, 4, b"\x5a\x00", 768, 512, PAYLOAD).to_bytes()


def refuse(data: bytes, words: str) -> None:
    with pytest.raises(CodecError, match=words) as caught:
        Container.from_bytes(data)
    assert "\n" not in str(caught.value)


@properties
@given(containers)
def test_round_trip(container: Container) -> None:
    data = container.to_bytes()
    assert Container.from_bytes(data) == container
    assert len(data) - len(container.payload) <= 10 + 3 * 4


@properties
@given(containers)
def test_format_is_as_described(container: Container) -> None:
    assert container.to_bytes() == forge(
        container.width,
        container.height,
        container.payload,
        fingerprint=container.fingerprint,
        quality=container.quality,
        architecture=list(ARCHITECTURES).index(container.architecture),
        coding=CODINGS.index(container.coding),
    )


def test_header_of_a_photograph_has_16_bytes() -> None:
    # 1536 indices of at most 16 bits are the largest payload there is.
    container = Container(LITE, 9, b"ab", 768, 512, bytes(3080))
    assert len(container.to_bytes()) - 3080 == 16


def test_files_stay_the_same_from_release_to_release() -> None:
    small = Container("mao2024-vqgan", 9, b"\xff\x01", 1, 1, b"\x01\x02\x03\x04\x05\x06\x07\x08")
    wide = Container(LITE, 1, b"\x00\x80", 1 << 20, 127, bytes(12))
    prior = Container(LITE, 5, b"\x12\x34", 640, 480, bytes(range(8)), "prior")
    written = {"lite": example(), "taming, 1x1": small.to_bytes(), "wide": wide.to_bytes()}
    written["prior"] = prior.to_bytes()
    check_golden("container", {name: data.hex() for name, data in written.items()})


def test_every_flipped_bit_is_noticed() -> None:
    data = example()
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CodecError):
            Container.from_bytes(bytes(changed))


def test_every_truncation_is_noticed() -> None:
    data = example()
    refuse(b"", "empty")
    refuse(data[:1], "not a .cvq file")
    for length in range(2, len(data)):
        refuse(data[:length], "truncated|checksum")
    refuse(data[:-1], "truncated: 1 bytes are missing")


@pytest.mark.parametrize("more", [b"\0", b"\n", bytes(1000)])
def test_extension_is_noticed(more: bytes) -> None:
    refuse(example() + more, f"{len(more)} bytes too many")
    refuse(more + example(), "not a .cvq file")


@pytest.mark.parametrize("data", [b"V", b"\x89PNG\r\n\x1a\n" + bytes(50), b"RIFF....WEBPVP8 "])
def test_other_files(data: bytes) -> None:
    refuse(data, "not a .cvq file")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (forge(768, 512, PAYLOAD, version=2), "version 2"),
        (forge(768, 512, PAYLOAD, version=0), "version 0"),
        (forge(768, 512, PAYLOAD, coding=2), "later release"),
        (forge(768, 512, PAYLOAD, architecture=15), "later release"),
        (forge(768, 512, PAYLOAD, quality=0), "quality 0"),
        (forge(768, 512, PAYLOAD, quality=10), "quality 10"),
        (forge(0, 512, PAYLOAD), "0x512"),
        (forge(768, 0, PAYLOAD), "768x0"),
        (forge(MAX_SIDE + 1, 1, PAYLOAD), "cannot be"),
        (forge(1, (1 << 28) - 1, PAYLOAD), "cannot be"),
        (forge(1 << 28, 1, PAYLOAD), "malformed"),
        (forge(1 << 200, 1, PAYLOAD), "malformed"),
        (forge(768, 512, PAYLOAD, surplus=1), "malformed"),
        (forge(768, 512, PAYLOAD, surplus=500), "malformed"),
        (forge(768, 512, PAYLOAD, length=41), "truncated: 1 bytes"),
        (forge(768, 512, PAYLOAD, length=39), "1 bytes too many"),
        (forge(768, 512, PAYLOAD, length=1 << 27), "truncated: 134217688 bytes"),
        (with_checksum(b"VQ\x11\x10ab" + b"\x80" * 400, b""), "malformed"),
        (with_checksum(b"VQ\x11\x10ab" + leb128(9) + b"\x80", b"")[:8], "header is not whole"),
    ],
)
def test_hostile_headers_with_checksums_that_fit(data: bytes, words: str) -> None:
    refuse(data, words)


@properties
@given(st.binary(max_size=60), st.booleans())
def test_no_bytes_crash_it(tail: bytes, with_magic: bool) -> None:
    data = b"VQ\x11" + tail if with_magic else tail
    with pytest.raises(CodecError):
        Container.from_bytes(data)


@properties
@given(containers, edits, st.booleans())
def test_what_is_read_is_what_is_written(
    container: Container, changes: list[tuple[int, int]], checked: bool
) -> None:
    whole = container.to_bytes()
    data = edited(whole, changes)
    if checked:
        at = len(data) - len(container.payload) - 4
        data = with_checksum(data[:at], data[at + 4 :])
    try:
        found = Container.from_bytes(data)
    except CodecError:
        assert data != whole
        return
    assert found.to_bytes() == data


@pytest.mark.parametrize(("width", "height", "shape"), [(1, 1, (1, 1)), (17, 32, (2, 2))])
def test_shape_of_the_index_map(width: int, height: int, shape: tuple[int, int]) -> None:
    assert Container(LITE, 1, b"ab", width, height, b"").shape == shape


@pytest.mark.parametrize(("quality", "width"), [(0, 5), (10, 5), (5, 0), (5, MAX_SIDE + 1)])
def test_fields_that_no_file_can_have(quality: int, width: int) -> None:
    with pytest.raises(CodecError):
        Container(LITE, quality, b"ab", width, 5, b"")


def test_an_unknown_coding() -> None:
    with pytest.raises(CodecError, match="unknown coding huffman; known: frequencies, prior"):
        Container(LITE, 5, b"ab", 5, 5, b"", "huffman")
