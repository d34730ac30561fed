"""What ``depacketize`` and ``receive`` share: how gaps are filled, and what is written."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic_file import check_folder_of, refuse_to_overwrite, write_once
from ..errors import CodecError
from ..picture import check_ending, image_file
from . import jobs, standard_streams
from .path_arguments import file_path
from .standard_streams import STANDARD, remark, told

if TYPE_CHECKING:
    from torch import Tensor

    from ..file_codec import FileCodec
    from ..transport.assembly import Assembled

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
                standard_streams.check_standard_output()
                continue
            raise CodecError("only the picture can go to standard output: name the other a file")
        check_ending(path)
        refuse_to_overwrite(path, arguments.force)
        check_folder_of(path)  # before anything is waited for


def write(
    assembled: Assembled,
    arguments: argparse.Namespace,
    codec: FileCodec,
    name: Callable[[int], str],
) -> int:
    """Make a picture of what packets hold and write what was asked for.

    What arrived over a link cannot be sent again: where what was asked for cannot be done with
    this picture, the nearest is, with a warning.

    Args:
        assembled: what arrived.
        arguments: parsed ones of :func:`add_arguments`.
        codec: that the arguments ask for.
        name: of a packet, by its place, for the lines about those that were rejected.

    Returns:
        The exit code: always 0.

    Raises:
        CodecError: when no picture can be made, or written.
    """
    from ..transport.restoring import restore

    for rejection in assembled.rejected:
        _warn(jobs.with_name(name(rejection.at), rejection.reason))
    try:
        received = restore(assembled, codec, arguments.fill)
    except CodecError as error:
        if arguments.fill is None:
            raise
        _warn(f"{error}; filled as without --fill")
        received = restore(assembled, codec)
    target = _write(arguments.output, received.picture, arguments.force)  # first
    if arguments.mask:
        mask = _grey(received.per_pixel(received.lost.float()))
        _write(arguments.mask, mask, arguments.force)
    if arguments.confidence:
        confidence = _grey(received.per_pixel(received.confidence))
        _write(arguments.confidence, confidence, arguments.force)
    height, width = received.picture.shape[1:]
    lost = received.lost.float().mean().item()
    facts: dict[str, Any] = {
        "target": str(target),
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
            f"{target}: {width}x{height}, {received.used} of {received.expected} "
            f"packets, {100 * lost:.1f}% lost" + (f", filled: {received.fill}" if lost else ""),
            file=stream,
        )
    return 0


def _write(path: Path, picture: Tensor, force: bool) -> Path:
    """Write an image file; returns which: of what its format cannot hold it is a PNG file, and
    what has come there in the meantime is not overwritten unasked.
    """
    try:
        data = image_file(path, picture)
    except CodecError as error:
        _warn(f"{error}: a PNG file is written instead")
        path = path.with_suffix(".png")
        data = image_file(path, picture)
    if force or path == STANDARD or (path.exists() and not path.is_file()):
        standard_streams.write(path, data, force)
        return path
    wanted, number = path, 0
    while not write_once(path, data, path.name[:16]):
        number += 1
        path = wanted.with_stem(f"{wanted.stem}-{number}")
    if number:
        _warn(f"{wanted} exists by now: {path} is written instead")
    return path


def _warn(text: str) -> None:
    remark(f"warning: {text}")


def _grey(values: Tensor) -> Tensor:
    """(H, W) in [0, 1] to uint8 (3, H, W)."""
    return values.mul(255).round().byte().expand(3, -1, -1)
