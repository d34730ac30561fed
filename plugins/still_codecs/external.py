"""Encoders and decoders that are programs of their own and work on files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from compressai_vq.errors import CodecError


def program(name: str) -> str:
    """The path of a program.

    Raises:
        CodecError: when it is not on PATH.
    """
    found = shutil.which(name)
    if found is None:
        raise CodecError(f"{name} is not on the PATH")
    return found


def run(command: list[object]) -> None:
    """Run a program to its end.

    CompressAI's own ``run_command`` ends the whole process when a program fails.

    Raises:
        CodecError: when it fails.
    """
    arguments = [str(part) for part in command]
    name = Path(arguments[0]).name
    try:
        result = subprocess.run(arguments, capture_output=True, check=False)
    except OSError as error:
        raise CodecError(f"cannot run {name}: {error.strerror}") from None
    if result.returncode:
        said = (result.stderr or result.stdout).decode(errors="replace").strip().splitlines()
        raise CodecError(f"{name} failed: {said[-1] if said else 'no reason given'}")
