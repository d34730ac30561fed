"""``compressai-vq decompress``: ``.cvq`` files to image files."""

from __future__ import annotations

import argparse
import functools
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..container import Container
from ..errors import CodecError
from ..picture import check_writable
from ..pipeline import PixelAllowance
from . import jobs, quick_start, standard_streams
from .weights import file_codec

if TYPE_CHECKING:
    from ..file_codec import FileCodec


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("decompress", help=".cvq files to image files")
    jobs.add_arguments(parser, ".cvq files")
    parser.set_defaults(run=run)


_LONGEST = 1 << 22  # bytes; a file or packet of the largest image has less than one MiB


def read_container(path: Path) -> bytes:
    """The bytes of a file or of standard input.

    Raises:
        CodecError: when it cannot be read.
    """
    if (data := standard_streams.contents(path, _LONGEST)) is not None:
        return data
    try:
        with path.open("rb") as file:
            # Of anything longer, and of devices that never end, the start shows what it is.
            return file.read(_LONGEST)
    except OSError as error:
        raise CodecError(f"{path}: {error.strerror}") from error


def run(arguments: argparse.Namespace) -> int:
    """Decompress every input."""
    planned = jobs.plan(arguments, (".cvq",), ".png")
    quick_start.import_compressai()
    import torch

    loading, threads = threading.Lock(), torch.get_num_threads()

    @functools.cache
    def loaded(architecture: str) -> tuple[FileCodec, PixelAllowance]:
        codec = file_codec(arguments, architecture)
        return codec, PixelAllowance(codec.max_pixels, threads)

    def work(job: jobs.Job) -> dict[str, Any]:
        data = read_container(job.source)
        container = Container.from_bytes(data)
        with loading:  # by the first thread for all
            decoder, allowance = loaded(container.architecture)
        decoder.check(container)
        check_writable(job.target, container.width, container.height)
        with allowance.take(container.width * container.height):
            decoder.codec(container.quality)  # loading it is not this file's time
            started = time.perf_counter()
            picture = decoder.decompress(data)
            seconds = time.perf_counter() - started
            standard_streams.write_picture(job.target, picture, arguments.force)
        return {
            "source": str(job.source),
            "target": str(job.target),
            "architecture": container.architecture,
            "quality": container.quality,
            "coding": container.coding,
            "width": container.width,
            "height": container.height,
            "seconds": seconds,
        }

    def line(result: dict[str, Any]) -> str:
        return f"{result['target']}: {result['width']}x{result['height']}"

    return jobs.run(planned, work, line, arguments)
