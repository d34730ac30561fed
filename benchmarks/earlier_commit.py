"""What benchmarks that hold today's package against an earlier commit's have in common."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.environment import ROOT
from benchmarks.loss import images_of
from compressai_vq.argument_parser import ArgumentParser
from compressai_vq.atomic_file import write_atomically
from compressai_vq.errors import CodecError
from compressai_vq.ladder_weights import packaged_weights
from compressai_vq.machine import describe_machine

CODE = "compressai_vq"


class Earlier(NamedTuple):
    """The package as a commit has it."""

    commit: str  # its full name
    code: Path  # the folder that the package is in
    weights: Path  # of mao2024-vqgan-lite, in the package


def code_of(commit: str, folder: Path) -> Earlier:
    """The package as a commit has it, put into a folder.

    Raises:
        CodecError: when there is no such commit.
    """
    found = _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if found.returncode:
        raise CodecError(f"this repository has no commit {commit}")
    name = found.stdout.decode().strip()
    packed = _git("archive", name, CODE)
    if packed.returncode:
        raise CodecError(f"commit {name[:12]} has no folder {CODE}")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    weights = folder / packaged_weights("mao2024-vqgan-lite").relative_to(ROOT)
    return Earlier(name, folder, weights)


def run_against(
    program: str,
    description: str | None,
    argv: list[str] | None,
    measure: Callable[[Earlier, list[Path]], dict[str, Any]],
) -> int:
    """The command line of such a benchmark: measure and write the results.

    Args:
        program: what it is called by.
        description: its help.
        argv: arguments: a folder of images, ``--against COMMIT`` and ``-o FILE``.
        measure: the report of that commit's package and the images.

    Returns:
        The exit code.
    """
    parser = ArgumentParser(prog=program, description=description)
    parser.add_argument("folder", type=Path, help="images")
    parser.add_argument("--against", required=True, metavar="COMMIT")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args(argv)
    try:
        pictures = images_of(arguments.folder)
        with tempfile.TemporaryDirectory() as name:
            earlier = code_of(arguments.against, Path(name).resolve())
            measured = measure(earlier, pictures)
        report = {
            "dataset": arguments.folder.name,
            "images": len(pictures),
            **measured,
            "machine": describe_machine(),
        }
        text = json.dumps(report, indent=1)
        if arguments.output:
            write_atomically(arguments.output, (text + "\n").encode())
    except CodecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
