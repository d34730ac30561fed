"""``compressai-vq compress``: image files to ``.cvq`` files."""

from __future__ import annotations

import argparse
import functools
import math
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..container import Container
from ..corpus import KEPT, Corpus
from ..errors import CodecError
from ..picture import ENDINGS, read_picture
from ..pipeline import PixelAllowance
from ..rates import LADDER
from . import jobs, standard_streams
from .weights import file_codec

if TYPE_CHECKING:
    from torch import Tensor


_MOST_BPP = 1e6  # which no file has; far beyond it there would be no number of bytes


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("compress", help="image files to .cvq files")
    jobs.add_arguments(parser, "image files")
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument(
        "-q", "--quality", type=int, metavar=f"1..{len(LADDER)}",
        help="codebook: the higher, the closer and the larger (default: the highest, 9)",
    )  # fmt: skip
    rate.add_argument(
        "--target-bpp", type=float, metavar="BPP", help="best quality of at most BPP bits a pixel"
    )
    rate.add_argument(
        "--target-bytes", type=int, metavar="N", help="best quality of at most N bytes a file"
    )
    jobs.add_coding_argument(parser)
    jobs.add_refinement_argument(parser)
    parser.add_argument(
        "--ray", nargs="?", const="", metavar="ADDRESS",
        help="spread the work over a Ray cluster, at ADDRESS or the one at hand; existing files "
        "in OUT, a folder that all machines see, are kept; what an earlier such run wrote with "
        "other settings is an error",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compress every input."""
    quality = arguments.quality
    if quality is not None and not 1 <= quality <= len(LADDER):
        raise CodecError(f"quality {quality} is not between 1 and {len(LADDER)}")
    for name in ("target_bpp", "target_bytes"):
        if (value := getattr(arguments, name)) is not None and not 0 < value < math.inf:
            raise CodecError(f"--{name.replace('_', '-')} must be above 0 and finite")
    planned = jobs.plan(arguments, ENDINGS, ".cvq")
    # A photograph there would be lost to --force.
    if any(job.target.suffix.lower() in ENDINGS for job in planned):
        raise CodecError(f"{arguments.output} has an image's ending; name the output .cvq")
    if arguments.ray is not None:
        return _run_on_ray(planned, arguments)
    compressor = Compressor(arguments)
    if compressor.codec.refinement is not None and arguments.jobs is None:
        arguments.jobs = 1  # each refinement takes gigabytes, and keeps all cores busy by itself
    import torch

    allowance = PixelAllowance(compressor.codec.max_pixels, torch.get_num_threads())

    def work(job: jobs.Job) -> dict[str, Any]:
        with ExitStack() as inside:
            picture = read_picture(
                job.source,
                compressor.codec.max_pixels,
                lambda pixels: inside.enter_context(allowance.take(pixels)),
                standard_streams.contents(job.source),
                to_srgb=True,
            )
            started = time.perf_counter()
            data = compressor.compress(picture)
            seconds = time.perf_counter() - started
        standard_streams.write(job.target, data, arguments.force)
        return {**compressor.describe(job.source, job.target, data), "seconds": seconds}

    return jobs.run(planned, work, _line, arguments)


class Compressor:
    """What compresses pictures as the command's arguments ask; several threads may use it.

    Args:
        arguments: parsed ones of this command.

    Raises:
        CodecError: for weights, devices and codings that cannot be used.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.codec = file_codec(arguments)
        self._quality = arguments.quality or self.codec.weights.qualities[-1]
        self._max_bytes, self._max_bpp = arguments.target_bytes, arguments.target_bpp
        refinement = self.codec.refinement
        self.settings = {
            "target_bytes": self._max_bytes,
            "target_bpp": self._max_bpp,
            "refine": 0 if refinement is None else refinement.steps,
        }
        """What files are made with that their contents do not tell."""

    def compress(self, picture: Tensor) -> bytes:
        """A picture, uint8 (3, H, W), to the contents of a file.

        Raises:
            CodecError: when it is too large, or no quality fits in what is allowed.
        """
        limit = self._limit(picture.shape[1] * picture.shape[2])
        if limit is not None:
            return self.codec.compress_to_fit(picture, limit)[0]
        return self.codec.compress(picture, self._quality)

    def _limit(self, pixels: int) -> int | None:
        if self._max_bpp is not None:
            # A file's own bits per pixel, as we print them, shall not miss it by rounding.
            return math.floor(min(self._max_bpp, _MOST_BPP) * pixels / 8 + 1e-6)
        return self._max_bytes

    # -- what a corpus needs beyond that ---------------------------------------------------

    def compress_file(self, source: Path) -> bytes:
        """An image file to the contents of a ``.cvq`` file; CodecError as for one file."""
        return self.compress(read_picture(source, self.codec.max_pixels, to_srgb=True))

    def check_finished(self, data: bytes) -> None:
        """Raise CodecError unless a file's contents are of the kind that is written now."""
        container = Container.from_bytes(data)
        self.codec.check(container)
        if container.coding != self.codec.coding:
            raise CodecError(f"coded by {container.coding}, not by {self.codec.coding}")
        limit = self._limit(container.width * container.height)
        if limit is None and container.quality != self._quality:
            raise CodecError(f"of quality {container.quality}, not {self._quality}")
        if limit is not None and len(data) > limit:
            raise CodecError(f"{len(data)} bytes, more than {limit}")

    def describe(self, source: Path, target: Path, data: bytes) -> dict[str, Any]:
        """What is reported of a file."""
        container = Container.from_bytes(data)
        return {
            "source": str(source),
            "target": str(target),
            "architecture": container.architecture,
            "quality": container.quality,
            "coding": container.coding,
            "width": container.width,
            "height": container.height,
            "bytes": len(data),
            "bpp": 8 * len(data) / (container.width * container.height),
        }


def _line(result: dict[str, Any]) -> str:
    kept = ", kept" if result.get("status") == KEPT else ""
    return (
        f"{result['target']}: {result['bytes']} bytes, {result['bpp']:.4f} bpp, "
        f"quality {result['quality']}, {result['width']}x{result['height']}{kept}"
    )


def _run_on_ray(planned: list[jobs.Job], arguments: argparse.Namespace) -> int:
    if arguments.force:
        raise CodecError("--ray keeps what is there: remove those files instead of --force")
    if planned[0].target == arguments.output:
        raise CodecError(f"--ray needs a folder to write to, and {arguments.output} is not one")
    compressor = Compressor(arguments)  # what is wrong shows before anything is started
    # Workers have working folders of their own.
    absolute = {k: v.absolute() if isinstance(v, Path) else v for k, v in vars(arguments).items()}
    del absolute["run"]
    asked = argparse.Namespace(**absolute)
    corpus = Corpus(
        arguments.output.absolute(),
        functools.partial(Compressor, asked),
        jobs.EXPECTED,
        compressor.settings,
        address=arguments.ray or None,
        workers=arguments.jobs,
        gpu=arguments.device.startswith("cuda"),
    )
    told = standard_streams.told(arguments.output)
    with closing(corpus.compress(planned)) as outcomes:
        return jobs.report(outcomes, len(planned), _line, arguments.json, told)
