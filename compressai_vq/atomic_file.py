"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import CodecError


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
        write_together({path.resolve(): data})
    except OSError as error:
        raise CodecError(f"cannot write {path}: {error.strerror}") from error


def write_together(files: dict[Path, bytes]) -> None:
    """Write files that belong together: the first appears when all are whole on the disk.

    Raises:
        CodecError: when one cannot be written; what was there before stays, unless it is the
            moving that fails.
    """
    path = Path()
    try:
        with contextlib.ExitStack() as inside:
            whole: dict[Path, Path] = {}
            for path, data in files.items():
                # A short name: the whole one may be as long as names can be.
                whole[path] = inside.enter_context(_beside(path, data, path.name[:16]))
                if path.exists():
                    os.chmod(whole[path], stat.S_IMODE(path.stat().st_mode))
            for path, temporary in whole.items():
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
    dangling = path.is_symlink() and not path.exists()
    if (path.is_file() or dangling) and not force:
        raise CodecError(f"{path} exists; --force overwrites it")


def check_folder_of(path: Path) -> None:
    """Make sure, before anything is done, that a file's folder is there or can be made.

    Args:
        path: of a file to write; of devices and pipes no folder is needed.

    Raises:
        CodecError: when the nearest folder that is there cannot be written to.
    """
    if path.exists() and not path.is_file():
        return
    folder = next(parent for parent in path.resolve().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise CodecError(f"{path} cannot be written: {folder} is no folder to write to")


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
            return _publish(temporary, path)
    except OSError as error:
        raise CodecError(f"cannot write {path}: {error.strerror}") from error


def _publish(temporary: Path, path: Path) -> bool:
    """Give a whole file its name; False where another file has it."""
    try:
        os.link(temporary, path)  # unlike a rename, it does not replace
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: first an empty file takes the name
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        os.replace(temporary, path)
    return True


def new_file(folder: Path, prefix: str, suffix: str = "") -> tuple[int, Path]:
    """Make a file of a name that no other has, and open it to write.

    ``tempfile``'s would be private.  Its permissions are those of any new file, by the process's
    umask, which is not read: that takes changing it, for all threads.

    Args:
        folder: which is there.
        prefix: of the name.
        suffix: likewise.

    Returns:
        The open file's number and its path.

    Raises:
        OSError: when it cannot be made.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    while True:
        path = folder / f"{prefix}{secrets.token_hex(6)}{suffix}"
        with contextlib.suppress(FileExistsError):
            return os.open(path, flags, 0o666), path


@contextlib.contextmanager
def _beside(path: Path, data: bytes, mark: str) -> Iterator[Path]:
    """A file with the data in the same folder, gone at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = new_file(path.parent, f".{mark}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
