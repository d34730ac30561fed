"""Packets over UDP, one in each datagram.

Nothing is acknowledged or sent again: what is lost is guessed by the receiver.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

from ..errors import CodecError
from ..file_codec import FileCodec
from .assembly import check_weights, expected_packets
from .packet import MAX_PACKETS, ImageFacts, Packet

LONGEST_DATAGRAM = 65_507
# What is kept: neither junk nor forgeries shall fill the memory.
_MOST_USABLE = 4 * MAX_PACKETS
_MOST_BYTES = 1 << 26  # of them; the largest image has less than a megabyte of indices
_MOST_UNUSABLE = 100
_LONGEST_WAIT = 1.0  # seconds at once: while it waits, Windows hears of no interruption


def parse_address(text: str) -> tuple[str, int]:
    """``host:port`` or ``[host]:port``; the host may be empty: see those who take it.

    Raises:
        CodecError: when it is neither, or the port is not in 0 to 65535.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise CodecError(f"{text}: write an IPv6 address as [address]:port")
    digits = port.isascii() and port.isdigit() and len(port) <= 5
    if not (colon and digits and int(port) <= 65535):
        raise CodecError(f"{text} is no address: write host:port")
    return host, int(port)


def format_address(address: tuple[Any, ...]) -> str:
    """What :func:`parse_address` reads, of a socket's address of any kind."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def open_socket(address: tuple[str, int]) -> socket.socket:
    """A socket that receives at an address; port 0 takes any that is free.

    Raises:
        CodecError: when the address cannot be used.
    """
    family, where = _resolve(address, passive=True)
    try:
        opened = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        raise CodecError(f"cannot receive: {error.strerror or error}") from None
    try:
        # A whole image may come at once, faster than it is read.
        with contextlib.suppress(OSError):  # some systems refuse more than they have
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        opened.bind(where)
    except OSError as error:
        opened.close()
        reason = error.strerror or error
        raise CodecError(f"cannot receive at {format_address(address)}: {reason}") from None
    return opened


def send(packets: list[bytes], address: tuple[str, int], pause: float = 0.001) -> None:
    """Send packets, each as one datagram.

    Args:
        packets: of at most 65507 bytes each.
        address: host and port.
        pause: seconds between two packets, so that no queue on the way overflows.

    Raises:
        CodecError: when the address cannot be reached from here.
    """
    family, where = _resolve(address)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            for number, packet in enumerate(packets):
                if number:
                    time.sleep(pause)
                sender.sendto(packet, where)
    except OSError as error:
        reason = error.strerror or error
        raise CodecError(f"cannot send to {format_address(address)}: {reason}") from None


def receive(
    opened: socket.socket, codec: FileCodec, silence: float, patience: float
) -> list[bytes]:
    """Datagrams until an image is complete, or nothing new of one has come for a while.

    Args:
        opened: from :func:`open_socket`.
        codec: of the weights that images must have been made with to count.
        silence: seconds without a usable packet that had not come before, after the first.
        patience: seconds to wait for the first usable packet.

    Returns:
        The datagrams that were kept, the first unusable ones too: :func:`depacketize` takes
        them and tells them apart.

    Raises:
        CodecError: when no usable packet came, with the reason of the first that did.

    What completes and prolongs is the image that most packets are of, which is the one that
    :func:`assemble` takes, and what completes also one that no other has more of: single packets
    that claim to be of others cost next to nothing.
    """
    kept: list[bytes] = []
    copies: set[bytes] = set()
    numbers: dict[ImageFacts, set[int]] = {}
    most = usable = unusable = size = 0
    reason = ""
    deadline = time.monotonic() + patience
    while (left := deadline - time.monotonic()) > 0:
        opened.settimeout(min(left, _LONGEST_WAIT))
        try:
            data = opened.recv(LONGEST_DATAGRAM + 1)
        except (TimeoutError, ConnectionError):  # some systems report a sender's trouble here
            continue
        try:
            packet = Packet.from_bytes(data)
            check_weights(packet.facts, codec)
        except CodecError as error:
            reason = reason or str(error)
            unusable += 1
            if unusable <= _MOST_UNUSABLE:
                kept.append(data)
            continue
        # What comes again takes no room from what is yet to come.
        if data in copies or usable == _MOST_USABLE or size + len(data) > _MOST_BYTES:
            continue
        usable, size = usable + 1, size + len(data)
        kept.append(data)
        copies.add(data)
        seen = numbers.setdefault(packet.facts, set())
        if packet.number in seen:
            continue
        seen.add(packet.number)
        if len(seen) < most:
            continue
        if len(seen) == packet.facts.count:  # complete, and as many as of any other image
            break
        if len(seen) == most:
            continue
        most = len(seen)
        if most == expected_packets(packet.facts):
            break
        deadline = time.monotonic() + silence
    if numbers:
        return kept
    if reason:
        raise CodecError(f"none of {unusable} packets could be used; the first: {reason}")
    raise CodecError(f"no packet came within {patience:g} seconds")


def _resolve(address: tuple[str, int], passive: bool = False) -> tuple[int, tuple[str, int]]:
    host, port = address
    flags = socket.AI_PASSIVE if passive else 0
    try:
        found = socket.getaddrinfo(
            host or ("0.0.0.0" if passive else "localhost"),
            port,
            type=socket.SOCK_DGRAM,
            flags=flags,
        )
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CodecError(f"{host}: no such host: {reason}") from None
    # Of a name with both, IPv4: that is what a receiver without a host listens at.
    family, _, _, _, where = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, where  # type: ignore[return-value]
