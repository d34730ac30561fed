"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from pathlib import Path

from .errors import CodecError

_UMASK = threading.Lock()  # it can be read only by changing it, for all threads


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` beside ``path`` and move it there in one step.

    Missing folders are made.  Devices and pipes are written to, not replaced.

    Raises:
        CodecError: when the folder cannot be written to; no part of a file is left behind.
    """
    temporary = None
    try:
        path = path.resolve()
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # A short name: the whole one may be as long as names can be.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:16]}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with _UMASK:
            mask = os.umask(0)
            os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp makes files private
        os.replace(temporary, path)
    except OSError as error:
        raise CodecError(f"cannot write {path}: {error.strerror}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
