"""What commands over files share: which files, where to, one line for each that fails."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from tqdm import tqdm

from ..argument_parser import positive
from ..atomic_file import refuse_to_overwrite
from ..codings import CODINGS
from ..errors import CodecError
from ..folder_search import files_in
from ..pipeline import MOST_WORKERS, Outcome, in_order, worker_count
from ..precision_names import PRECISIONS
from .path_arguments import FileOrFolder, any_path, stored_path
from .standard_streams import STANDARD, say, told

# RuntimeError is how torch says that memory has run out or that a device failed.
EXPECTED = (CodecError, OSError, MemoryError, RuntimeError)


def one_line(error: BaseException) -> str:
    """What to tell the user about an error, in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "not enough memory" in text or "out of memory" in text:
        return "out of memory: the image is too large for this machine; use a smaller one"
    return text or type(error).__name__


def with_name(named: Path | str, text: str) -> str:
    """A message of one line, with the name of what it is about before it unless it is in it."""
    name = " ".join(str(named).split())
    # Words of a message may be what files are called: without a dot or folder only before a colon.
    end = r"(?:[\s:]|$)" if "." in name or os.sep in name else ":"
    there = re.search(rf"(?:^|\s){re.escape(name)}{end}", text)
    return text if there else f"{name}: {text}"


class Job(NamedTuple):
    """One file to read and the file to write from it."""

    source: Path
    target: Path


def add_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Arguments of commands that read files and write files."""
    parser.add_argument(
        "inputs", nargs="+", type=any_path, metavar="IN",
        help=f"{what}, or folders of them; -: standard input",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", action=FileOrFolder, required=True, metavar="OUT",
        help="file, or -: standard output; or folder, for several inputs, when it is one, ends "
        "in / or has no ending",
    )  # fmt: skip
    parser.add_argument("-f", "--force", action="store_true", help="overwrite existing files")
    parser.add_argument(
        "-j", "--jobs", type=positive, metavar="N",
        help=f"files at once (default: one for each core, at most {MOST_WORKERS})",
    )  # fmt: skip
    add_json_argument(parser)
    add_weights_arguments(parser)


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print results as JSON")


def add_weights_arguments(parser: argparse.ArgumentParser) -> None:
    """``-a``, ``--weights``, ``--device``, ``--precision``, ``--prior``."""
    parser.add_argument(
        "-a", "--architecture", default=None, metavar="ARCH",
        help="mao2024-vqgan-lite (default) or mao2024-vqgan",
    )  # fmt: skip
    parser.add_argument(
        "--weights", type=stored_path, metavar="FILE", help="safetensors file (default: the zoo's)"
    )
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument(
        "--prior", type=stored_path, metavar="FILE",
        help="index prior of these weights (default: the package's, if it has one)",
    )  # fmt: skip


def add_coding_argument(parser: argparse.ArgumentParser) -> None:
    """``--coding``."""
    parser.add_argument(
        "--coding", choices=CODINGS,
        help="by the prior: fewer bytes; by frequencies alone: faster (default: by the prior "
        "when there is one)",
    )  # fmt: skip


def add_refinement_argument(parser: argparse.ArgumentParser) -> None:
    """``--refine``."""
    parser.add_argument(
        "--refine", nargs="?", type=positive, const=True, metavar="STEPS",
        help="look for indices that decode to a picture closer to the original, in STEPS steps "
        "(by default 32): closer, and much slower; 4 to 7 do without VGG16 and are quick; "
        "one picture at a time unless --jobs asks for more; decoding is as fast as ever",
    )  # fmt: skip


def plan(arguments: argparse.Namespace, endings: Iterable[str], ending: str) -> list[Job]:
    """Pair the inputs with output files; folders are searched and keep their layout.

    Args:
        arguments: parsed ones of :func:`add_arguments`.  The output is a file, or standard
            output, or a folder when there are several inputs, when it is one, when it is written
            as one, or when it has no ending.
        endings: what counts as input inside a folder.
        ending: of the output files.

    Raises:
        CodecError: for missing inputs, empty folders and outputs that would collide.
    """
    inputs, output = arguments.inputs, arguments.output
    if STANDARD in (*inputs, output):
        return [_job_of_streams(arguments, ending)]
    told_so = arguments.output_is_folder
    folders = told_so or len(inputs) > 1 or inputs[0].is_dir() or output.is_dir()
    into_folder = folders or not (output.suffix or output.exists())
    jobs: list[Job] = []
    for path in inputs:
        if path.is_dir():
            for found in find([path], endings):
                jobs.append(Job(found, output / found.relative_to(path).with_suffix(ending)))
        elif not path.exists():
            raise CodecError(f"{path}: no such file")
        else:
            jobs.append(Job(path, output / (path.stem + ending) if into_folder else output))
    sources: dict[Path, Path] = {}
    for job in jobs:
        other = sources.setdefault(job.target, job.source)
        if other != job.source and other.resolve() != job.source.resolve():
            both = f"{other} and {job.source} would both become {job.target}"
            raise CodecError(f"{both}: rename one, or give each an output of its own")
        if job.target.resolve() == job.source.resolve():
            raise CodecError(f"{job.source}: input and output are the same file")
    if into_folder and output.is_file():
        raise CodecError(f"{output} is a file; several inputs need a folder")
    if into_folder and not told_so and not output.is_dir() and output.suffix == ending:
        raise CodecError(f"several inputs need a folder, and {output} looks like a file")
    # A file that is named twice is one job.
    return [Job(source, target) for target, source in sources.items()]


def _job_of_streams(arguments: argparse.Namespace, ending: str) -> Job:
    """What :func:`plan` makes of standard input or output."""
    source, *more = arguments.inputs
    output: Path = arguments.output
    if more:
        raise CodecError("- is standard input or output: of one file, not of several")
    if source.is_dir():
        raise CodecError(f"{source} is a folder: its files cannot go to standard output")
    nameless = arguments.output_is_folder or output.is_dir() or not output.suffix
    if source == STANDARD and output != STANDARD and nameless:
        raise CodecError(f"{output}: standard input needs a file, such as image{ending}")
    if source != STANDARD and not source.exists():
        raise CodecError(f"{source}: no such file")
    return Job(source, output)


def find(inputs: list[Path], endings: Iterable[str]) -> list[Path]:
    """The files among the inputs and, by their endings, in the folders among them, each once.

    Raises:
        CodecError: for missing files and folders without any.
    """
    paths: list[Path] = []
    for path in inputs:
        if path.is_dir():
            found = files_in(path, endings)
            if found == [path]:
                raise CodecError(f"{path}: this folder cannot be read")
            if not found:
                raise CodecError(f"{path}: no files that end in {', '.join(endings)}")
            paths += found
        elif path.exists():
            paths.append(path)
        else:
            raise CodecError(f"{path}: no such file")
    once: dict[str, Path] = {}
    for path in paths:
        once.setdefault(os.path.abspath(path), path)
    return list(once.values())


def run(
    jobs: list[Job],
    work: Callable[[Job], dict[str, Any]],
    line: Callable[[dict[str, Any]], str],
    arguments: argparse.Namespace,
) -> int:
    """Do the jobs, ``--jobs`` of them at once; see :func:`report` for the rest.

    Args:
        jobs: what to do; results are reported in this order.
        work: does one job; called by several threads at once.
        line: what to print of a result.
        arguments: parsed ones of :func:`add_arguments`.
    """

    def do(job: Job) -> dict[str, Any]:
        if job.target != STANDARD:
            refuse_to_overwrite(job.target, arguments.force)
        return work(job)

    workers = worker_count(arguments.jobs, len(jobs))
    with closing(in_order(do, jobs, workers, EXPECTED)) as outcomes:
        return report(outcomes, len(jobs), line, arguments.json, told(arguments.output))


def report(
    outcomes: Iterator[Outcome[Job, dict[str, Any]]],
    count: int,
    line: Callable[[dict[str, Any]], str],
    as_json: bool,
    file: TextIO,
) -> int:
    """Print what became of jobs; one that failed gets one line, and the others go on.

    Args:
        outcomes: in the order in which to print them; ``count`` of them.
        count: for the progress bar.
        line: what to print of a result.
        as_json: print all results at the end, as JSON.
        file: what to print results to.

    Returns:
        The exit code: 0, or 2 when any job failed.
    """
    results, failed = [], 0
    untold: CodecError | None = None

    def tell(text: str, stream: TextIO) -> None:
        nonlocal untold
        try:
            say(text, stream)
        except CodecError as error:
            untold = untold or error  # the other files are wanted all the same

    hidden = count < 2 or not sys.stderr.isatty()
    try:
        for outcome in tqdm(outcomes, total=count, disable=hidden, unit="file"):
            for text in outcome.warnings:
                tell(f"warning: {' '.join(text.split())}", sys.stderr)
            if outcome.error is not None or outcome.result is None:
                failed += 1
                text = one_line(outcome.error or CodecError("no result"))
                tell(f"error: {with_name(outcome.item.source, text)}", sys.stderr)
                results.append({"source": str(outcome.item.source), "error": text})
                continue
            results.append(outcome.result)
            if not as_json:
                tell(line(outcome.result), file)
    finally:  # what is done is done, when it is interrupted, too
        if as_json:
            for text in json.dumps(results, indent=2).splitlines():
                tell(text, file)
    if untold is not None:
        raise untold
    return 2 if failed else 0
