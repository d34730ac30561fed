"""``compressai-vq depacketize``: what arrived of an image's packets, to an image file."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CodecError
from . import jobs, quick_start, received
from .decompress import read_container
from .packetize import ENDING
from .path_arguments import stored_path
from .weights import file_codec

if TYPE_CHECKING:
    from ..file_codec import FileCodec
    from ..transport.assembly import Assembled


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
    assembled, codec = _assembled(packets, arguments)
    return received.write(assembled, arguments, codec, lambda at: str(paths[at]))


def _packet(path: Path) -> bytes:
    """What a file has; of what is no packet just enough to see that."""
    from ..transport.packet import MAGIC

    data = read_container(path)
    return data if data.startswith(MAGIC) else data[: len(MAGIC)]


def _assembled(packets: list[bytes], arguments: argparse.Namespace) -> tuple[Assembled, FileCodec]:
    """What the packets hold, and the codec that reads them.

    Packets say what decodes them, and nobody vouches for what they say: where it cannot be had, or
    reads none of them, the next is tried.

    Raises:
        CodecError: when no packet can be used; the first reason.
    """
    from ..transport.assembly import assemble
    from ..transport.restoring import check_fill

    reason: CodecError | None = None
    claimed: list[str | None] = [*_architectures(packets)]
    if arguments.architecture or arguments.weights or not claimed:
        claimed = [None]
    for architecture in claimed:
        try:
            codec = file_codec(arguments, architecture)
            check_fill(arguments.fill, codec)
            return assemble(packets, codec), codec
        except CodecError as error:
            reason = reason or error
    assert reason is not None
    raise reason


def _architectures(packets: list[bytes]) -> list[str]:
    """Those of the images, of the one with the most packets first."""
    from ..transport.packet import ImageFacts, Packet

    numbers: dict[ImageFacts, set[int]] = {}
    for data in packets:
        with contextlib.suppress(CodecError):
            packet = Packet.from_bytes(data)
            numbers.setdefault(packet.facts, set()).add(packet.number)
    order = sorted(numbers, key=lambda facts: (-len(numbers[facts]), facts))
    return list(dict.fromkeys(facts.architecture for facts in order))
