"""A corpus over the machines of a Ray cluster, on Ray Data (the extra ``ray``).

::

    files listed ──► blocks ──► one actor a core: read ─► compress ─► publish ──► what became of it

Sources and the output folder lie where all machines see them under the same names.  A worker
that is killed loses nothing and does nothing twice: Ray starts another and gives it the block
anew, and what is already there is found and kept.  A file is published in one step that fails
when there is one of its name, so that even two workers with the same block, one of them given
up for dead, publish each file once.

``OUT/ray-log/RUN/`` has the run's settings and one file of JSON lines for each worker: what it
began, published, found and failed at.  A file that an earlier run published with other settings
is not kept, but an error.  ``OUT/ray-report.json`` has the last run's sums and what failed.
"""

from __future__ import annotations

import collections
import contextlib
import io
import json
import logging
import os
import secrets
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar

from .atomic_file import write_atomically, write_once
from .errors import CodecError, CodecWarning
from .pipeline import Outcome

PUBLISHED, KEPT, FAILED, BEGUN = "published", "kept", "failed", "begun"
REPORT, LOGS, SETTINGS = "ray-report.json", "ray-log", "settings.json"

_ATTEMPTS = 3  # files that end their workers shall not do so for ever
_FILES_A_BLOCK = 16  # at most; what a killed worker's successor looks through

Job = TypeVar("Job", bound=tuple[Path, Path])


class Coder(Protocol):
    """What workers compress with; each makes its own."""

    def compress_file(self, source: Path) -> bytes:
        """The contents of the file to write for a source."""

    def check_finished(self, data: bytes) -> None:
        """Raise CodecError unless a file's contents are of the kind that is written now."""

    def describe(self, source: Path, target: Path, data: bytes) -> dict[str, Any]:
        """What is reported of a file, fit for JSON."""


class Corpus:
    """Compresses many files on a cluster.

    Args:
        output: the folder that all targets are in.
        make_coder: called by each worker; it travels there by pickle.
        expected: errors that end one file, not the run.
        settings: what files are made with beside what ``Coder.check_finished`` sees in them, fit
            for JSON.
        address: of the cluster; by default ``$RAY_ADDRESS``, one that runs on this machine, or
            one of this machine alone that is started.
        workers: at most so many; by default one for each of the cluster's cores.
        gpu: whether each worker needs a GPU.
    """

    def __init__(
        self,
        output: Path,
        make_coder: Callable[[], Coder],
        expected: tuple[type[Exception], ...],
        settings: dict[str, Any] | None = None,
        address: str | None = None,
        workers: int | None = None,
        gpu: bool = False,
    ) -> None:
        self._output = output
        self._make_coder = make_coder
        self._expected = expected
        self._settings = settings or {}
        self._address = address
        self._workers = workers
        self._gpu = gpu
        self.run = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
        self.log = output / LOGS / self.run

    def compress(self, jobs: Sequence[Job]) -> Generator[Outcome[Job, dict[str, Any]], None, None]:
        """Compress each job's source to its target, and give what became of them in order.

        Results are the coder's descriptions with ``status``, ``"published"`` or ``"kept"``.

        Raises:
            CodecError: when Ray is missing, there is no such cluster, or the run breaks off.
        """
        sums: collections.Counter[str] = collections.Counter()
        failures: list[dict[str, str]] = []
        try:
            with _ray(self._address) as ray:
                self._make_folder()
                for job, row in zip(jobs, self._rows(ray, jobs), strict=True):
                    outcome = _outcome(job, row)
                    sums[row["status"]] += 1
                    if outcome.error is not None:
                        source, target = map(str, job)
                        failures.append({"source": source, "target": target, "error": row["text"]})
                    yield outcome
        finally:
            if self.log.is_dir():
                self._clean(jobs)
                report = {
                    "run": self.run,
                    "files": len(jobs),
                    **{status: sums[status] for status in (PUBLISHED, KEPT, FAILED)},
                    "not_reached": len(jobs) - sum(sums.values()),
                    "failures": failures,
                    "log": str(self.log),
                }
                text = json.dumps(report, indent=1) + "\n"
                write_atomically(self._output / REPORT, text.encode())

    def _make_folder(self) -> None:
        try:
            self.log.mkdir(parents=True)
            (self.log / SETTINGS).write_text(json.dumps(self._settings))
        except OSError as error:
            raise CodecError(f"cannot write to {self._output}: {error.strerror}") from error

    def _rows(self, ray: Any, jobs: Sequence[Job]) -> Iterator[dict[str, Any]]:
        resources = ray.cluster_resources()
        cores = int(resources.get("GPU" if self._gpu else "CPU", 0))
        if cores < 1:
            raise CodecError(f"the Ray cluster has no {'GPU' if self._gpu else 'core'} to use")
        workers = min(self._workers or cores, cores, len(jobs))
        # Enough blocks that the workers end at about the same time.
        blocks = max(-(-len(jobs) // _FILES_A_BLOCK), min(4 * workers, len(jobs)))
        # As JSON in ASCII, for names of files may be in no encoding at all.
        # Absolute, for workers have working folders of their own.
        rows = [{"job": json.dumps([str(path.absolute()) for path in job])} for job in jobs]
        done = ray.data.from_items(rows, override_num_blocks=blocks).map(
            Worker,
            fn_constructor_args=(self._make_coder, self.log, self._expected),
            concurrency=(1, workers),
            **({"num_gpus": 1} if self._gpu else {"num_cpus": 1}),
        )
        try:
            for row in done.iter_rows():
                yield json.loads(row["done"])
        except ray.exceptions.RayError as error:
            raise CodecError(f"the run on Ray broke off: {_last_line(error)}") from error

    def _clean(self, jobs: Sequence[Job]) -> None:
        """Remove what killed workers had not yet published."""
        for folder in {target.parent for _, target in jobs}:
            for left in folder.glob(f".{self.run}.*"):
                with contextlib.suppress(OSError):
                    left.unlink()


class Worker:
    """One actor: it keeps its coder from block to block.

    Args:
        make_coder: makes what it compresses with.
        log: the run's folder of logs; its name marks the run's temporary files.
        expected: errors that end one file.
    """

    def __init__(
        self,
        make_coder: Callable[[], Coder],
        log: Path,
        expected: tuple[type[Exception], ...],
    ) -> None:
        import torch

        torch.set_num_threads(1)  # one worker a core
        self._coder = make_coder()
        self._run = log.name
        self._expected = expected
        # Blocks are given anew only to workers made after another one's end, so that it is
        # enough to look once.
        self._fatal = _unfinished(log)
        self._otherwise = _published_otherwise(log)
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}.jsonl"
        self._log = (log / name).open("ab", buffering=0)

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        """Do ``row["job"]``; ``done`` is what :func:`_outcome` takes, as JSON."""
        source, target = map(Path, json.loads(row["job"]))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.filterwarnings("always", category=CodecWarning)
            try:
                done = self._do(source, target)
            except self._expected as error:
                out_of_memory = isinstance(error, MemoryError)
                done = {"status": FAILED, "text": str(error), "memory": out_of_memory}
        self._note(done["status"], target)
        return {"done": json.dumps({**done, "warnings": [str(w.message) for w in caught]})}

    def _do(self, source: Path, target: Path) -> dict[str, Any]:
        finished = self._finished(target)
        status = KEPT
        if finished is None:
            deaths = self._fatal[str(target)]
            if deaths >= _ATTEMPTS:
                raise CodecError(f"{source}: {deaths} workers ended while they worked on it")
            self._note(BEGUN, target)
            data = self._coder.compress_file(source)
            # Of two workers that come here with the same file one publishes it.
            status = PUBLISHED if write_once(target, data, self._run) else KEPT
            finished = data if status == PUBLISHED else self._finished(target)
        if finished is None:
            raise CodecError(f"{target} was removed while this ran")
        return {"status": status, **self._coder.describe(source, target, finished)}

    def _finished(self, target: Path) -> bytes | None:
        """The contents of a file that is there already; None when there is none."""
        try:
            data = target.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CodecError(f"{target}: {error.strerror}") from error
        try:
            if (difference := self._otherwise.get(str(target))) is not None:
                raise CodecError(difference)
            self._coder.check_finished(data)
        except CodecError as error:
            raise CodecError(
                f"{target} exists and would be written otherwise ({error}): "
                "remove it, or choose another folder"
            ) from error
        return data

    def _note(self, event: str, target: Path) -> None:
        entry = {"time": time.time(), "event": event, "target": str(target)}
        self._log.write(json.dumps(entry).encode() + b"\n")


def events(log: Path) -> list[dict[str, Any]]:
    """All workers' entries in a run's folder of logs, by time."""
    found = []
    for path in log.glob("*.jsonl"):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):  # a line that its writer did not end
                found.append(json.loads(line))
    return sorted(found, key=lambda entry: entry["time"])


def _unfinished(log: Path) -> collections.Counter[str]:
    """How often each target was begun and nothing came of it."""
    open_: collections.Counter[str] = collections.Counter()
    for entry in events(log):
        open_[entry["target"]] += 1 if entry["event"] == BEGUN else 0
        if entry["event"] in (PUBLISHED, KEPT, FAILED):
            open_[entry["target"]] = 0
    return open_


def _published_otherwise(log: Path) -> dict[str, str]:
    """Targets that earlier runs published with other settings, and with which."""
    runs = sorted(path.parent for path in log.parent.glob(f"*/{SETTINGS}"))
    settings: dict[Path, dict[str, Any]] = {}
    for run in runs:
        with contextlib.suppress(ValueError):  # of a run that was ended there
            settings[run] = json.loads((run / SETTINGS).read_text())
    ours = settings.get(log)
    if ours is None or all(each == ours for each in settings.values()):
        return {}  # mostly: there may be millions of entries to go through
    found: dict[str, str] = {}
    for run, theirs in settings.items():
        names = sorted(k for k in {*ours, *theirs} if ours.get(k) != theirs.get(k))
        told = ", ".join(f"{k} was {theirs.get(k)}, is {ours.get(k)}" for k in names)
        for entry in events(run):
            if entry["event"] == PUBLISHED:
                found[entry["target"]] = told
    return {target: told for target, told in found.items() if told}


def _outcome(job: Job, row: dict[str, Any]) -> Outcome[Job, dict[str, Any]]:
    def as_given(text: str) -> str:
        for path in job:
            text = text.replace(str(path.absolute()), str(path))
        return text

    told = [as_given(text) for text in row.pop("warnings")]
    if row["status"] == FAILED:
        text = row["text"] = as_given(row["text"])
        error = MemoryError(text) if row["memory"] else CodecError(text)
        return Outcome(job, error=error, warnings=told)
    named = {"source": str(job[0]), "target": str(job[1])}
    return Outcome(job, {**row, **named}, warnings=told)


@contextlib.contextmanager
def _ray(address: str | None) -> Iterator[Any]:
    """The ``ray`` module, connected, quiet, and with nothing sent to its makers."""
    # Read when Ray is imported, and by the processes that it starts.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # What fails comes back to us.  What else it would print is of its own inner workings, such
    # as the counters for its dashboard that were lost with a worker.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:  # or something that it needs
        reason = _last_line(error)
        raise CodecError(f"--ray needs: pip install 'compressai-vq[ray]' ({reason})") from None
    ours = not ray.is_initialized()
    if ours:
        try:
            with _quiet_errors():
                ray.init(
                    address,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
        except Exception as error:  # a cluster that does not start in time raises just that
            raise CodecError(f"no Ray cluster to use: {_last_line(error)}") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    shown = sys.stdout
    sys.stdout = _ThisThreadOnly(shown)
    try:
        yield ray
    finally:
        if ours:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints what it has held back
                ray.shutdown()
        sys.stdout = shown


@contextlib.contextmanager
def _quiet_errors() -> Iterator[None]:
    """Nothing reaches standard error, from C++ and from processes begun meanwhile either."""
    sys.stderr.flush()
    shown, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(shown, 2)
        os.close(shown)
        os.close(nothing)


class _ThisThreadOnly(io.TextIOBase):
    """Passes on what the thread that made it writes.

    A thread of Ray's prints there what happened to workers: among results, and in JSON.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() == self._thread:
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()


def _last_line(error: Exception) -> str:
    """What an error of Ray's says at the end, below the traces."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
