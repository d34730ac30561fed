"""Processes that measure images side by side, one image each at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType

import torch

from benchmarks.codecs import Sources, make_codec
from benchmarks.image_rows import ImageRows, Outcome
from compressai_vq.errors import CodecError
from plugins.still_codecs.still_picture import StillPictureCodec


class ImagePool:
    """A context manager; leaving it ends the processes.

    Args:
        jobs: how many processes. On images of 3 megapixels each takes about 8 GB.
        codecs: those that are available, by key, with the qualities that are wanted.
        sources: where their weights are.
        threads: of torch in each process.
    """

    def __init__(
        self, jobs: int, codecs: dict[str, list[int]], sources: Sources, threads: int
    ) -> None:
        # Not forked from this process: a copy of one with torch's threads in it may hang. The
        # server has imported everything, once for all of them, and has never used torch.
        has_server = "forkserver" in multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if has_server else "spawn")
        context.set_forkserver_preload([__name__])
        self._executor = ProcessPoolExecutor(
            jobs,
            context,
            initializer=_start,
            initargs=(codecs, sources, threads),
        )

    def measure(
        self, images: list[Path], work: Path, dataset: str, metrics: list[str]
    ) -> Iterator[dict[str, Outcome]]:
        """What ``ImageRows.measure`` returns for each image, in their order.

        Raises:
            CodecError: as there, and when a process ended before its image was measured.
            OSError: as there.
        """
        tasks = [(work, dataset, metrics, image) for image in images]
        try:
            yield from self._executor.map(_measure, tasks)
        except BrokenProcessPool:
            raise CodecError(
                "a process ended before its image was measured, perhaps for want of memory: "
                "the same command goes on from here, with fewer --jobs"
            ) from None

    def __enter__(self) -> ImagePool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            # What they have measured is kept; an image may take half an hour.
            for process in multiprocessing.active_children():
                process.terminate()
        self._executor.shutdown(cancel_futures=True)


_codecs: dict[str, StillPictureCodec] = {}  # of this process


def _start(codecs: dict[str, list[int]], sources: Sources, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the parent tells of an interruption
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    for key, qualities in codecs.items():
        _codecs[key] = make_codec(key, sources)
        _codecs[key].qualities = qualities


def _end_with_parent() -> None:
    """Work for nobody would go on for as long as an image takes when the parent is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _measure(task: tuple[Path, str, list[str], Path]) -> dict[str, Outcome]:
    work, dataset, metrics, image = task
    return ImageRows(work, dataset, _codecs, metrics).measure(image)
