"""UDP over loopback."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from typing import Any

import pytest
import torch

from compressai_vq.errors import CodecError
from compressai_vq.transport import udp
from compressai_vq.transport.packet import ImageFacts, Packet
from compressai_vq.transport.packets import packetize
from compressai_vq.transport.restoring import depacketize
from compressai_vq.transport.udp import format_address, open_socket, parse_address, receive, send

from ..fixtures import untrained_codec
from ..taming_reference import one_thread  # noqa: F401
from .made_up import example_file

CODEC = untrained_codec()
PACKETS = packetize(example_file(), CODEC, at_least=8)


def exchange(packets: list[bytes], silence: float = 5.0) -> tuple[list[bytes], float]:
    """What a receiver has in the end, and how long it waited.

    All packets wait for it, so that no pause of a busy machine's sender is taken for silence.
    """
    with open_socket(("127.0.0.1", 0)) as opened:
        send(packets, opened.getsockname())
        started = time.monotonic()
        return receive(opened, CODEC, silence, 30.0), time.monotonic() - started


def test_a_whole_image_is_received_at_once() -> None:
    arrived, seconds = exchange([PACKETS[3], *PACKETS[:3], b"junk", *PACKETS], silence=60.0)
    assert seconds < 30
    received = depacketize(arrived, CODEC)
    assert torch.equal(received.picture, CODEC.decompress(example_file()))
    assert {rejection.reason for rejection in received.rejected} <= {"not a packet"}


def test_a_stray_packet_does_not_delay_an_image_of_one() -> None:
    (one,) = packetize(example_file(), CODEC)
    arrived, seconds = exchange([PACKETS[0], one], silence=60.0)
    assert seconds < 30 and arrived == [PACKETS[0], one]


def test_part_of_an_image_is_received_after_silence() -> None:
    arrived, seconds = exchange([*PACKETS[:5], PACKETS[0]], silence=0.5)
    assert seconds >= 0.5
    received = depacketize(arrived, CODEC)
    assert received.used == 5 and received.expected == 8


def test_nothing_usable() -> None:
    with open_socket(("127.0.0.1", 0)) as opened:
        with pytest.raises(CodecError, match=r"no packet came within 0\.05 seconds"):
            receive(opened, CODEC, 1.0, 0.05)
        send([b"junk", b"VP"], opened.getsockname())
        with pytest.raises(CodecError, match=r"none of 2 packets .* not a packet"):
            receive(opened, CODEC, 1.0, 0.5)


@pytest.mark.parametrize(
    ("text", "address"),
    [("a.example:99", ("a.example", 99)), (":5000", ("", 5000)), ("[::1]:7", ("::1", 7))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "host", "host:", "host:x", "host:65536", "::1:7", "h:-1", "h:" + 5000 * "9"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(CodecError, match="write"):
        parse_address(text)


def test_addresses_that_cannot_be_used() -> None:
    with pytest.raises(CodecError, match="no such host"):
        send(PACKETS, ("bad host name", 9))
    with open_socket(("127.0.0.1", 0)) as opened:
        with pytest.raises(CodecError, match=r"cannot receive at 127\.0\.0\.1"):
            open_socket(("127.0.0.1", opened.getsockname()[1]))
        with pytest.raises(CodecError, match="cannot send"):
            send([bytes(70_000)], opened.getsockname())


@pytest.mark.parametrize("bound", [("127.0.0.1", 80), ("::1", 80, 0, 0)])
def test_what_is_printed_of_an_address_can_be_given(bound: tuple[Any, ...]) -> None:
    assert parse_address(format_address(bound)) == bound[:2]


def test_any_free_port_of_all_addresses() -> None:
    with open_socket(("", 0)) as opened:
        assert opened.family == socket.AF_INET and opened.getsockname()[1] > 0


def test_junk_fills_no_memory_and_ends_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "_MOST_UNUSABLE", 3)
    arrived, _ = exchange([b"junk"] * 50 + PACKETS)
    assert arrived == [b"junk"] * 3 + PACKETS


def test_usable_packets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "_MOST_USABLE", 5)
    arrived, _ = exchange(PACKETS, silence=0.3)
    assert arrived == PACKETS[:5]
    monkeypatch.setattr(udp, "_MOST_BYTES", sum(map(len, PACKETS[:3])))
    arrived, _ = exchange(PACKETS, silence=0.3)
    assert arrived == PACKETS[:3]


def test_single_packets_of_other_images_prolong_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    original = udp.expected_packets

    def expected(facts: ImageFacts) -> int:
        counted.append(facts)
        return original(facts)

    monkeypatch.setattr(udp, "expected_packets", expected)
    one = Packet.from_bytes(PACKETS[0])
    forged = [
        dataclasses.replace(one, facts=dataclasses.replace(one.facts, width=32 * n)).to_bytes()
        for n in range(1, 40)
    ]
    with open_socket(("127.0.0.1", 0)) as opened:
        address = opened.getsockname()
        senders = [
            threading.Thread(target=send, args=(PACKETS[:3], address)),
            threading.Thread(target=send, args=(forged, address, 0.1)),
        ]
        for sender in senders:
            sender.start()
            time.sleep(0.1)
        started = time.monotonic()
        arrived = receive(opened, CODEC, 0.5, 30.0)
        assert time.monotonic() - started < 2.5
        for sender in senders:
            sender.join()
    assert set(PACKETS[:3]) <= set(arrived)
    assert set(counted) == {one.facts}


def test_copies_take_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "_MOST_USABLE", len(PACKETS))
    arrived, _ = exchange([*[PACKETS[0]] * 20, *PACKETS])
    assert arrived == PACKETS


def test_a_name_of_both_kinds_of_address_is_where_receivers_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lookup = socket.getaddrinfo

    def both(host: str, port: int, **options: object) -> list[object]:
        six = (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", port, 0, 0))
        return [six, *lookup(host, port, **options)]  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with open_socket(("", 0)) as opened:
        for host in ("localhost", ""):
            send(PACKETS, (host, opened.getsockname()[1]))
            assert receive(opened, CODEC, 5.0, 30.0) == PACKETS


def test_any_patience() -> None:
    with open_socket(("127.0.0.1", 0)) as opened:
        send(PACKETS, opened.getsockname())
        assert receive(opened, CODEC, 1e10, 1e10) == PACKETS
