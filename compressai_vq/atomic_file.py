"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import CodecError

_UMASK = threading.Lock()  # it can be read only by changing it, for all threads


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` beside ``path`` and move it there in one step.

    Missing folders are made.  Devices and pipes are written to, not replaced.

    Raises:
        CodecError: when the folder cannot be written to; no part of a file is left behind.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        path = path.resolve()
        # A short name: the whole one may be as long as names can be.
        with _beside(path, data, path.name[:16]) as temporary:
            if path.exists():
                os.chmod(temporary, stat.S_IMODE(path.stat().st_mode))
            os.replace(temporary, path)
    except OSError as error:
        raise CodecError(f"cannot write {path}: {error.strerror}") from error


def refuse_to_overwrite(path: Path, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Make sure, before anything is done, that a command may write a file.

    Args:
        path: of the file.
        force: whether a file that is there may be replaced.
        inputs: which the command reads, and never replaces.

    Raises:
        CodecError: for folders and inputs, and without ``force`` for files that are there.
    """
    if path.resolve() in {each.resolve() for each in inputs}:
        raise CodecError(f"{path}: input and output are the same file")
    if path.is_dir():
        raise CodecError(f"{path} is a folder")
    if path.is_file() and not force:
        raise CodecError(f"{path} exists; --force overwrites it")


def write_once(path: Path, data: bytes, mark: str) -> bool:
    """Put a whole file there in one step, unless there is one already.

    Args:
        path: of the file; missing folders are made.
        data: its contents.
        mark: temporary files' names begin with it, after a dot.

    Returns:
        Whether this call made the file; False when there was one, which is left as it is.

    Raises:
        CodecError: when it cannot be written.
    """
    try:
        with _beside(path, data, mark) as temporary:
            os.link(temporary, path)  # unlike a rename, it does not replace
    except FileExistsError:
        return False
    except OSError as error:
        raise CodecError(f"cannot write {path}: {error.strerror}") from error
    return True


def give_usual_permissions(path: str | Path) -> None:
    """To a file that ``tempfile.mkstemp`` made, which is private: those of any new file."""
    with _UMASK:
        hidden = os.umask(0)
        os.umask(hidden)
    os.chmod(path, 0o666 & ~hidden)


@contextlib.contextmanager
def _beside(path: Path, data: bytes, mark: str) -> Iterator[str]:
    """A file with the data and the usual permissions in the same folder, gone at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{mark}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        give_usual_permissions(temporary)
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
