"""``compressai-vq compress``: image files to ``.cvq`` files."""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

from ..atomic_file import write_atomically
from ..container import Container
from ..errors import CodecError
from ..picture import ENDINGS, read_picture
from ..rates import LADDER
from . import jobs
from .weights import file_codec


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("compress", help="image files to .cvq files")
    jobs.add_arguments(parser, "image files")
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument(
        "-q", "--quality", type=int, metavar=f"1..{len(LADDER)}",
        help="default: the highest, 9; each step adds about 0.004 bits per pixel",
    )  # fmt: skip
    rate.add_argument(
        "--target-bpp", type=float, metavar="BPP", help="best quality of at most BPP bits a pixel"
    )
    rate.add_argument(
        "--target-bytes", type=int, metavar="N", help="best quality of at most N bytes a file"
    )
    jobs.add_coding_argument(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compress every input."""
    quality = arguments.quality
    if quality is not None and not 1 <= quality <= len(LADDER):
        raise CodecError(f"quality {quality} is not between 1 and {len(LADDER)}")
    for name in ("target_bpp", "target_bytes"):
        if (value := getattr(arguments, name)) is not None and not 0 < value < math.inf:
            raise CodecError(f"--{name.replace('_', '-')} must be above 0 and finite")
    single = len(arguments.inputs) == 1 and arguments.inputs[0].is_file()
    if single and arguments.output.suffix.lower() in ENDINGS:
        raise CodecError(f"{arguments.output} has an image's ending; name the output .cvq")
    planned = jobs.plan(arguments.inputs, arguments.output, ENDINGS, ".cvq")
    codec = file_codec(arguments)
    if quality is None:
        quality = codec.weights.qualities[-1]

    def work(job: jobs.Job) -> dict[str, Any]:
        picture = read_picture(job.source, codec.max_pixels)
        pixels = picture.shape[1] * picture.shape[2]
        started = time.perf_counter()
        limit = arguments.target_bytes
        if arguments.target_bpp is not None:
            # A file's own bits per pixel, as we print them, shall not miss it by rounding.
            limit = math.floor(arguments.target_bpp * pixels / 8 + 1e-6)
        if limit is None:
            data, chosen = codec.compress(picture, quality), quality
        else:
            data, chosen = codec.compress_to_fit(picture, limit)
        seconds = time.perf_counter() - started
        write_atomically(job.target, data)
        container = Container.from_bytes(data)
        return {
            "source": str(job.source),
            "target": str(job.target),
            "architecture": container.architecture,
            "quality": chosen,
            "coding": container.coding,
            "width": container.width,
            "height": container.height,
            "bytes": len(data),
            "bpp": 8 * len(data) / pixels,
            "seconds": seconds,
        }

    def line(result: dict[str, Any]) -> str:
        return (
            f"{result['target']}: {result['bytes']} bytes, {result['bpp']:.4f} bpp, "
            f"quality {result['quality']}, {result['width']}x{result['height']}"
        )

    return jobs.run(planned, work, line, arguments)
