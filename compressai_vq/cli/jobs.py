"""What commands over files share: which files, where to, one line for each that fails."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from ..errors import CodecError


class Job(NamedTuple):
    """One file to read and the file to write from it."""

    source: Path
    target: Path


def add_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Arguments of commands that read files and write files."""
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="IN", help=f"{what}, or folders of them"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT",
        help="file; or folder, for several inputs, when it is one or has no ending",
    )  # fmt: skip
    parser.add_argument("-f", "--force", action="store_true", help="overwrite existing files")
    add_json_argument(parser)
    add_weights_arguments(parser)


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print results as JSON")


def add_weights_arguments(parser: argparse.ArgumentParser) -> None:
    """``-a``, ``--weights``, ``--device``, ``--precision``."""
    parser.add_argument(
        "-a", "--architecture", default=None, metavar="ARCH",
        help="mao2024-vqgan-lite (default) or mao2024-vqgan",
    )  # fmt: skip
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="safetensors file (default: the zoo's)"
    )
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")


def plan(inputs: list[Path], output: Path, endings: Iterable[str], ending: str) -> list[Job]:
    """Pair the inputs with output files; folders are searched and keep their layout.

    Args:
        inputs: files and folders.
        output: a file, or a folder when there are several inputs, when it is one, or when
            it has no ending.
        endings: what counts as input inside a folder.
        ending: of the output files.

    Raises:
        CodecError: for missing inputs, empty folders and outputs that would collide.
    """
    into_folder = len(inputs) > 1 or inputs[0].is_dir() or output.is_dir() or not output.suffix
    jobs: list[Job] = []
    for path in inputs:
        if path.is_dir():
            names = (p for p in path.rglob("*") if p.suffix.lower() in tuple(endings))
            found = sorted(p for p in names if p.is_file())
            if not found:
                raise CodecError(f"{path}: no files that end in {', '.join(endings)}")
            jobs += [Job(p, output / p.relative_to(path).with_suffix(ending)) for p in found]
        elif not path.exists():
            raise CodecError(f"{path}: no such file")
        elif into_folder:
            jobs.append(Job(path, output / (path.stem + ending)))
        else:
            jobs.append(Job(path, output))
    sources: dict[Path, Path] = {}
    for job in jobs:
        other = sources.setdefault(job.target, job.source)
        if other != job.source:
            raise CodecError(f"{other} and {job.source} would both become {job.target}")
        if job.target.resolve() == job.source.resolve():
            raise CodecError(f"{job.source}: input and output are the same file")
    if into_folder and output.exists() and not output.is_dir():
        raise CodecError(f"{output} is a file; several inputs need a folder")
    return list(dict.fromkeys(jobs))  # a file that is named twice is one job


def run(
    jobs: list[Job],
    work: Callable[[Job], dict[str, Any]],
    line: Callable[[dict[str, Any]], str],
    arguments: argparse.Namespace,
) -> int:
    """Do the jobs; a file that fails gets one line, and the others are done all the same.

    Returns:
        The exit code: 0, or 2 when any job failed.
    """
    results, failed = [], 0
    bar = tqdm(jobs, disable=len(jobs) < 2 or not sys.stderr.isatty(), unit="file")
    for job in bar:
        try:
            if job.target.exists() and not arguments.force:
                raise CodecError(f"{job.target} exists; --force overwrites it")
            if job.target.is_dir():
                raise CodecError(f"{job.target} is a folder")
            try:
                job.target.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CodecError(f"cannot make {job.target.parent}: {error.strerror}") from error
            result = work(job)
        except (CodecError, OSError) as error:
            failed += 1
            text = str(error)
            named = text if str(job.source) in text else f"{job.source}: {text}"
            tqdm.write(f"error: {named}", file=sys.stderr)
            results.append({"source": str(job.source), "error": text})
            continue
        results.append(result)
        if not arguments.json:
            tqdm.write(line(result))
    if arguments.json:
        print(json.dumps(results, indent=2))
    return 2 if failed else 0
