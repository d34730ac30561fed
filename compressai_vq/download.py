"""Files from the network that are whole and the same each time, or not there."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from .atomic_file import new_file, write_atomically
from .errors import CodecError

_CHUNK = 1 << 20
_TIMEOUT = 60.0  # seconds without a byte, after which a download has failed


def fetch_once(
    url: str,
    path: Path,
    validate: Callable[[Path], object],
    progress: bool = True,
) -> None:
    """Make sure that ``path`` holds what ``url`` gave the first time.

    The file's SHA-256 is recorded beside it, in ``<path>.sha256``, when it is first there,
    and is checked each time after.  It is written under a name that ends in ``.part`` and
    gets its own only when it is complete.

    Args:
        url: of the file.
        path: where it is kept; its folder is made if missing.
        validate: called with the complete file before it is kept; raises
            :class:`CodecError` to refuse it.
        progress: show a bar.

    Raises:
        CodecError: when it cannot be had whole, is refused, or differs from the record.
    """
    record = path.with_name(path.name + ".sha256")
    if path.exists():
        _check(str(path), _sha256(path), record)
        return
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: two processes may be downloading at once.
        handle, part = new_file(path.parent, f"{path.name}.", ".part")
        digest = _download(url, handle, progress)
        validate(part)
        _check(f"what {url} gives", digest, record)
        os.replace(part, path)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, CodecError):
            raise
        reason = getattr(error, "reason", None) or error
        reason = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
        raise CodecError(f"cannot download {url}: {reason}") from error
    finally:
        if part is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)


def _download(url: str, handle: int, progress: bool) -> str:
    """Write what ``url`` gives to an open file; returns its SHA-256."""
    digest, received = hashlib.sha256(), 0
    with (
        os.fdopen(handle, "wb") as file,
        urllib.request.urlopen(url, timeout=_TIMEOUT) as response,
    ):
        length = response.headers.get("Content-Length")
        total = int(length) if length else None
        with tqdm(
            total=total, desc="downloading", unit="B", unit_scale=True, disable=not progress
        ) as bar:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                bar.update(len(chunk))
        if total is not None and received != total:
            raise CodecError(f"cannot download {url}: it broke off at {received} of {total} bytes")
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _check(subject: str, digest: str, record: Path) -> None:
    """Compare a digest with the recorded one; record it when there is none."""
    if not record.exists():
        write_atomically(record, f"{digest}\n".encode())
        return
    expected = record.read_text(errors="replace").strip()
    if digest != expected:
        raise CodecError(
            f"{subject} has SHA-256 {digest}, not {expected} as at the first download; "
            f"delete {record} to accept it"
        )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CodecError(f"cannot read {path}: {error.strerror}") from error
