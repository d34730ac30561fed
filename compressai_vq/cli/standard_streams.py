"""``-`` in the place of a file's name: standard input, and standard output."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..atomic_file import write_atomically, write_once
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


def write(path: Path, data: bytes, force: bool = False) -> None:
    """Write a whole file, or to standard output where ``path`` is :data:`STANDARD`.

    Raises:
        CodecError: when it cannot be written, and when a file has come there meanwhile that
            ``force`` does not allow to be replaced.
    """
    if path != STANDARD:
        if force or (path.exists() and not path.is_file()):
            write_atomically(path, data)
        elif not write_once(path, data, path.name[:16]):
            raise CodecError(f"{path} exists by now; --force overwrites it")
        return
    check_standard_output()
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        silence(sys.stdout)
        raise CodecError(f"-: standard output: {error.strerror}") from error


def check_standard_output() -> None:
    """Raise CodecError where there is none."""
    if sys.stdout is None:
        raise CodecError("-: there is no standard output")


def write_picture(path: Path, picture: Tensor, force: bool = False) -> None:
    """Write uint8 (3, H, W) as an image file, PNG to standard output; as :func:`write`.

    Raises:
        CodecError: for an unknown ending, and as :func:`write`.
    """
    write(path, image_file(path, picture), force)


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


def say(text: str, stream: TextIO) -> None:
    """Print a line at once.  Where its reader has gone, this and what follows goes nowhere.

    Characters that are not for printing, as names of files may have, become escapes.

    Raises:
        CodecError: when it cannot be written, on a full disk for one; what follows goes nowhere.
    """
    from tqdm import tqdm  # around its bars

    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    with printing(stream):
        tqdm.write(shown, file=stream)


@contextlib.contextmanager
def printing(stream: TextIO) -> Iterator[None]:
    """For what prints, and has printed by the end; errors are as :func:`say` has them."""
    try:
        yield
        stream.flush()
    except BrokenPipeError:
        silence(stream)
    except OSError as error:
        silence(stream)
        name = "error" if stream is sys.stderr else "output"
        raise CodecError(f"standard {name}: {error.strerror}") from error


def show(text: str) -> None:
    """Print text of any number of lines to standard output, where there is one.

    Raises:
        CodecError: as :func:`say`.
    """
    if sys.stdout is not None:
        with printing(sys.stdout):
            print(text)


def remark(text: str) -> None:
    """Print a line to standard error; where it cannot be, nothing else is lost by that."""
    with contextlib.suppress(CodecError):
        say(" ".join(text.split()), sys.stderr)


def silence(stream: TextIO) -> None:
    """Print to nowhere from now on: of what cannot be written Python would complain at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)
