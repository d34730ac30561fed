"""Many files at once: each worker takes one from reading to writing, results keep their order.

A picture is read, goes through a network, is coded and is written.  With several workers these
steps overlap by themselves, each for another file: while one worker waits for a disk or holds
the interpreter, another is inside of Pillow or torch, which let it go.  Few threads of torch in
many workers waste less than many threads in one: a network this small is not worth splitting.

Nothing queues up between the steps, so that what is in memory is what the workers hold; and
:class:`PixelAllowance` lets large pictures in a few at a time.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

# torch is imported where it is used: every command imports this, and not all need that.

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_WORKERS = 8
"""By default: what of the work holds Python's lock keeps more of them from doing more."""

_AHEAD = 4  # items for each worker that may be done before the one whose turn it is


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of one item: a result, or the error that kept it from being done."""

    item: Item
    result: Result | None = None
    error: Exception | None = None
    warnings: list[str] = field(default_factory=list)


def usable_cores() -> int:
    """Cores that this process may use, at least 1: affinity and a container's quota count."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no control groups, or no quota: "max"
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, int(quota) // int(period))
    return max(cores, 1)


def worker_count(asked: int | None, items: int) -> int:
    """How many workers to use for so many items, at least 1.

    Args:
        asked: what the user wants; None for one a usable core, at most :data:`MOST_WORKERS`.
        items: how many there are.
    """
    return max(1, min(asked or min(usable_cores(), MOST_WORKERS), items))


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    expected: tuple[type[Exception], ...] = (),
) -> Generator[Outcome[Item, Result], None, None]:
    """Do the work on all items and give what became of them, in their order.

    With one worker all is done in the calling thread.  With more, torch's threads are shared
    out among them.  Close the generator to stop: what has begun is finished, or ends where it
    looks by :func:`end_if_stopped`, nothing else is started, and by then no worker runs any more.

    Args:
        work: called with one item; by several threads at once.
        items: taken one after the other, not far ahead of what has been done.
        workers: how many.
        expected: errors that end an item and are handed over; all others end the work.
    """

    stopped = threading.Event()

    def do(item: Item) -> Outcome[Item, Result]:
        _here.stopped = stopped
        with _kept_warnings() as kept:
            try:
                return Outcome(item, work(item), warnings=kept)
            except expected as error:
                return Outcome(item, error=error, warnings=kept)

    if workers == 1:
        yield from map(do, items)
        return
    import torch

    before = torch.get_num_threads()
    share = max(1, before // workers)
    # Threads have torch's number of threads each for itself, once they have used it.
    pool = ThreadPoolExecutor(workers, "file", torch.set_num_threads, (share,))
    waiting: collections.deque[Future[Outcome[Item, Result]]] = collections.deque()
    coming = iter(items)
    with _warnings_of_threads():
        try:
            for item in itertools.islice(coming, workers * _AHEAD):
                waiting.append(pool.submit(do, item))
            while waiting:
                outcome = waiting.popleft().result()
                for item in itertools.islice(coming, 1):
                    waiting.append(pool.submit(do, item))
                yield outcome
        finally:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            torch.set_num_threads(before)


class Stopped(Exception):
    """Ends what a worker does whose result nobody waits for."""


_here = threading.local()


def end_if_stopped() -> None:
    """To be called now and then by work that takes long.

    Raises:
        Stopped: in a worker of :func:`in_order` that was closed.
    """
    stopped: threading.Event | None = getattr(_here, "stopped", None)
    if stopped is not None and stopped.is_set():
        raise Stopped


class PixelAllowance:
    """Bounds the pixels that are worked on at once, and with them memory.

    A picture that takes more than half of them has all of torch's threads: nothing of its size
    fits beside it, and the cores shall not wait.

    Args:
        limit: pixels of all pictures together; a larger picture is let in alone.
        threads: all of torch's threads, as they are before workers share them.
    """

    def __init__(self, limit: int, threads: int) -> None:
        self._limit = limit
        self._threads = threads
        self._inside = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for a picture of so many pixels, and keep it."""
        import torch

        with self._changed:
            self._changed.wait_for(lambda: not self._inside or self._fits(pixels))
            self._inside += pixels
        own = torch.get_num_threads()
        large = 2 * pixels > self._limit and own < self._threads
        if large:
            torch.set_num_threads(self._threads)
        try:
            yield
        finally:
            if large:
                torch.set_num_threads(own)
            with self._changed:
                self._inside -= pixels
                self._changed.notify_all()

    def _fits(self, pixels: int) -> bool:
        return self._inside + pixels <= self._limit


_warned = threading.local()


@contextlib.contextmanager
def _kept_warnings() -> Iterator[list[str]]:
    """What :func:`_warnings_of_threads` collects in this thread meanwhile."""
    kept: list[str] = []
    _warned.texts = kept
    try:
        yield kept
    finally:
        _warned.texts = None


@contextlib.contextmanager
def _warnings_of_threads() -> Iterator[None]:
    """Keep workers' warnings for their items' turn; all others are shown as ever."""
    shown = warnings.showwarning

    def keep(message: Warning | str, *rest: Any, **options: Any) -> None:
        kept = getattr(_warned, "texts", None)
        if kept is None:
            shown(message, *rest, **options)
        else:
            kept.append(str(message))

    warnings.showwarning = keep
    try:
        yield
    finally:
        # After the last worker: readers of images put back, each for itself, what was here.
        warnings.showwarning = shown
