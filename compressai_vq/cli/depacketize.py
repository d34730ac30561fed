"""``compressai-vq depacketize``: what arrived of an image's packets, to an image file."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from ..errors import CodecError
from . import jobs, quick_start, received
from .decompress import read_container
from .packetize import ENDING
from .path_arguments import stored_path
from .weights import file_codec


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("depacketize", help="packets, as many as arrived, to an image")
    parser.add_argument(
        "packets",
        nargs="+",
        type=stored_path,
        metavar="PACKET",
        help=f"{ENDING} files or folders of them",
    )
    received.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write one picture."""
    received.check_outputs(arguments)
    paths = jobs.find(arguments.packets, (ENDING,))
    quick_start.import_compressai()
    packets = [_packet(path) for path in paths]
    codec = file_codec(arguments, _architecture(packets))
    return received.write(packets, arguments, codec, lambda at: str(paths[at]))


def _packet(path: Path) -> bytes:
    """What a file has; of what is no packet just enough to see that."""
    from ..transport.packet import MAGIC

    data = read_container(path)
    return data if data.startswith(MAGIC) else data[: len(MAGIC)]


def _architecture(packets: list[bytes]) -> str | None:
    """That of the image that has the most packets; None when none is whole."""
    from ..transport.packet import ImageFacts, Packet

    numbers: dict[ImageFacts, set[int]] = {}
    for data in packets:
        with contextlib.suppress(CodecError):
            packet = Packet.from_bytes(data)
            numbers.setdefault(packet.facts, set()).add(packet.number)
    most = min(numbers, key=lambda facts: (-len(numbers[facts]), facts), default=None)
    return most.architecture if most is not None else None
