"""What ``depacketize`` and ``receive`` share: how gaps are filled, and what is written."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..atomic_file import check_folder_of, refuse_to_overwrite
from ..errors import CodecError
from ..picture import WRITABLE
from . import jobs
from .path_arguments import file_path
from .standard_streams import STANDARD, told, write_picture

if TYPE_CHECKING:
    from torch import Tensor

    from ..file_codec import FileCodec

# The names of ``transport.fills.FILLS``, which is slow to import.
FILL_NAMES = ("prior", "nearest", "frequent")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``-o``, ``--mask``, ``--confidence``, ``--fill`` and what all commands have."""
    parser.add_argument(
        "-o",
        "--output",
        type=file_path,
        required=True,
        metavar="FILE.png",
        help="-: standard output",
    )
    parser.add_argument(
        "--mask",
        type=file_path,
        metavar="FILE",
        help="write an image: white where indices were lost",
    )
    parser.add_argument(
        "--confidence", type=file_path, metavar="FILE",
        help="write an image: white where an index arrived, the darker the less sure a guess",
    )  # fmt: skip
    parser.add_argument(
        "--fill", choices=FILL_NAMES,
        help="how lost indices are guessed (default: prior when there is one, else nearest)",
    )  # fmt: skip
    parser.add_argument("-f", "--force", action="store_true", help="overwrite existing files")
    jobs.add_json_argument(parser)
    jobs.add_weights_arguments(parser)


def check_outputs(arguments: argparse.Namespace) -> None:
    """Raise CodecError for outputs that are in the way of each other or of other files."""
    outputs = [p for p in (arguments.output, arguments.mask, arguments.confidence) if p]
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise CodecError("the picture, its mask and its confidence need a file each")
    for path in outputs:
        if path == STANDARD:
            if path is arguments.output:
                continue
            raise CodecError("only the picture can go to standard output: name the other a file")
        if path.suffix and path.suffix.lower() not in WRITABLE:
            known = ", ".join(WRITABLE)
            raise CodecError(f"{path}: cannot write {path.suffix}; known: {known}")
        refuse_to_overwrite(path, arguments.force)
        check_folder_of(path)  # before anything is waited for


def write(
    packets: list[bytes],
    arguments: argparse.Namespace,
    codec: FileCodec,
    name: Callable[[int], str],
) -> int:
    """Make a picture of packets and write what was asked for.

    Args:
        packets: what arrived.
        arguments: parsed ones of :func:`add_arguments`.
        codec: that the arguments ask for.
        name: of a packet, by its place, for the lines about those that were rejected.

    Returns:
        The exit code: always 0.

    Raises:
        CodecError: when no picture can be made, or written.
    """
    from ..transport.assembly import assemble
    from ..transport.restoring import check_fill, restore

    check_fill(arguments.fill, codec)
    received = restore(assemble(packets, codec), codec, arguments.fill)
    for rejection in received.rejected:
        print(f"warning: {name(rejection.at)}: {rejection.reason}", file=sys.stderr)
    write_picture(arguments.output, received.picture)  # first: it cannot be sent again
    if arguments.mask:
        write_picture(arguments.mask, _grey(received.per_pixel(received.lost.float())))
    if arguments.confidence:
        write_picture(arguments.confidence, _grey(received.per_pixel(received.confidence)))
    height, width = received.picture.shape[1:]
    lost = received.lost.float().mean().item()
    facts: dict[str, Any] = {
        "target": str(arguments.output),
        "width": width,
        "height": height,
        "packets": received.used,
        "expected": received.expected,
        "lost": lost,
        "fill": received.fill,
        "rejected": [
            {"packet": name(rejection.at), "reason": rejection.reason}
            for rejection in received.rejected
        ],
    }
    stream = told(arguments.output)
    if arguments.json:
        print(json.dumps(facts, indent=2), file=stream)
    else:
        print(
            f"{arguments.output}: {width}x{height}, {received.used} of {received.expected} "
            f"packets, {100 * lost:.1f}% lost" + (f", filled: {received.fill}" if lost else ""),
            file=stream,
        )
    return 0


def _grey(values: Tensor) -> Tensor:
    """(H, W) in [0, 1] to uint8 (3, H, W)."""
    return values.mul(255).round().byte().expand(3, -1, -1)
