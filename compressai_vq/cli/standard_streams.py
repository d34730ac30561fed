"""``-`` in the place of a file's name: standard input, and standard output."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..atomic_file import write_atomically
from ..errors import CodecError
from ..picture import image_file

if TYPE_CHECKING:
    from torch import Tensor

STANDARD = Path("-")

_LONGEST = 1 << 30  # bytes; a stream may never end


def contents(path: Path, longest: int = _LONGEST) -> bytes | None:
    """Standard input where ``path`` is :data:`STANDARD`; None for files.

    Args:
        path: as it was given.
        longest: bytes after which no more is read.

    Raises:
        CodecError: when there is no standard input.
    """
    if path != STANDARD:
        return None
    if sys.stdin is None:
        raise CodecError("-: there is no standard input")
    return sys.stdin.buffer.read(longest)


def write(path: Path, data: bytes) -> None:
    """Write a whole file, or to standard output where ``path`` is :data:`STANDARD`.

    Raises:
        CodecError: when it cannot be written.
    """
    if path != STANDARD:
        write_atomically(path, data)
        return
    if sys.stdout is None:
        raise CodecError("-: there is no standard output")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        silence()
        raise CodecError(f"-: standard output: {error.strerror}") from error


def write_picture(path: Path, picture: Tensor) -> None:
    """Write uint8 (3, H, W) as an image file; PNG to standard output.

    Raises:
        CodecError: for an unknown ending, or when it cannot be written.
    """
    write(path, image_file(path, picture))


def told(output: Path) -> TextIO:
    """Where to say what was done: standard error where ``output`` is standard output.

    Nowhere, for a process without standard output, which some services start.
    """
    stream = sys.stderr if output == STANDARD or _is_standard_output(output) else sys.stdout
    return stream or Path(os.devnull).open("w")


def _is_standard_output(path: Path) -> bool:
    """Whether a name, such as ``/dev/stdout``, is one of the stream that this process has."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if not path.is_file():
            return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    return False


def silence() -> None:
    """Print to nowhere: the reader has gone, of which Python would complain again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
