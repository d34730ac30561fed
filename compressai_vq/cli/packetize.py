"""``compressai-vq packetize``: a ``.cvq`` file to packets that survive each other's loss."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from ..atomic_file import refuse_to_overwrite, write_together
from ..container import Container
from ..errors import CodecError
from . import jobs
from .decompress import read_container
from .path_arguments import any_path, stored_path
from .standard_streams import STANDARD, show
from .weights import file_codec

ENDING = ".cvp"


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("packetize", help="a .cvq file to packets that stand alone")
    add_packet_arguments(parser)
    parser.add_argument("-o", "--output", type=stored_path, required=True, metavar="DIR")
    parser.add_argument(
        "-f", "--force", action="store_true",
        help="overwrite packets of the input's name, and remove older ones of it",
    )  # fmt: skip
    parser.set_defaults(run=run)


def add_packet_arguments(parser: argparse.ArgumentParser) -> None:
    """The input, ``--mtu``, ``--packets`` and what all commands have."""
    parser.add_argument("input", type=any_path, metavar="FILE.cvq")
    parser.add_argument(
        "--mtu", type=int, default=1200, metavar="N", help="most bytes of a packet (default: 1200)"
    )
    parser.add_argument(
        "--packets", type=int, default=1, metavar="N",
        help="make at least so many: one that is lost leaves smaller holes (default: 1)",
    )  # fmt: skip
    jobs.add_json_argument(parser)
    jobs.add_weights_arguments(parser)


def packets_of(arguments: argparse.Namespace) -> tuple[list[bytes], int]:
    """The packets of the input, and how many bytes it has.

    Raises:
        CodecError: when it cannot be read or cannot be split so.
    """
    data = read_container(arguments.input)
    try:
        codec = file_codec(arguments, Container.from_bytes(data).architecture)
        from ..transport.packets import packetize

        return packetize(data, codec, arguments.mtu, arguments.packets), len(data)
    except CodecError as error:
        raise CodecError(f"{arguments.input}: {error}") from error


def run(arguments: argparse.Namespace) -> int:
    """Write one file for each packet."""
    folder: Path = arguments.output
    if arguments.input == STANDARD:
        raise CodecError("packets are named by the file's name: write standard input to one first")
    if folder.exists() and not folder.is_dir():
        raise CodecError(f"{folder} is a file; packets need a folder")
    packets, length = packets_of(arguments)
    digits = len(str(len(packets) - 1))
    stem = arguments.input.stem
    targets = [folder / f"{stem}-{n:0{digits}}{ENDING}" for n in range(len(packets))]
    there = folder.iterdir() if folder.is_dir() else ()
    present = sorted(path for path in there if path.suffix.lower() == ENDING)
    if present and not arguments.force:
        raise CodecError(f"{folder} holds packets already; --force overwrites those in the way")
    for target in targets:
        refuse_to_overwrite(target, arguments.force)
    write_together(dict(zip(targets, packets, strict=True)))
    # Left where they are, an earlier image's that were more would be taken for this one.
    for path in set(present) - set(targets):
        if re.fullmatch(re.escape(stem) + r"-\d+", path.stem):
            path.unlink(missing_ok=True)
    sizes = [len(packet) for packet in packets]
    facts = {
        "source": str(arguments.input),
        "target": str(folder),
        "packets": len(packets),
        "bytes": sum(sizes),
        "largest": max(sizes),
        "overhead_bytes": sum(sizes) - length,
    }
    if arguments.json:
        show(json.dumps(facts, indent=2))
    else:
        show(
            f"{folder}: {facts['packets']} packets, {facts['bytes']} bytes "
            f"({facts['overhead_bytes']:+} to the file's), the largest {facts['largest']}"
        )
    return 0
