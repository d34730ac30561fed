"""A virtual environment in ``.venv`` of this clone, with pinned versions, made when needed.

Standard library only, and written so that an older Python too gets as far as the message that
tells its user which one is wanted.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
REQUIREMENT = ".[test,metrics,train,baselines,report,onnx,ray]"

# What an installed environment depends on; a change to any of them updates it.
INPUTS = (
    "constraints.txt",
    "setup.cfg",
    "setup.py",
    "pyproject.toml",
    "plugins/autoload/compressai_vq.pth",
    "plugins/autoload/compressai_vq.start",
)


def ensure_environment(root: Path = ROOT) -> Path:
    """Make or update ``root/.venv`` unless it is as it should be.

    Nothing is installed, and no network needed, when an earlier call finished with the same
    inputs. An environment that is half made or whose Python is gone is made anew.

    Returns:
        The environment's Python.

    Raises:
        SystemExit: with code 2, after one line that says why, when it cannot be made.
    """
    if sys.version_info < OLDEST_PYTHON:
        running = ".".join(map(str, sys.version_info[:3]))
        _fail(f"Python 3.11 or newer is needed, this is {running}; run it with python3.11")
    folder = root / ".venv"
    stamp = folder / "compressai-vq-installed.txt"
    python = environment_python(folder)
    version = _version(python)
    finished = stamp.read_text(encoding="utf-8") if stamp.is_file() else ""
    if version and finished == _fingerprint(root, version):
        return python

    print(f"compressai-vq: installing into {folder} (minutes, once)", file=sys.stderr, flush=True)
    # Gone before anything changes and written last: whatever interrupts this, the next call
    # knows that it did not finish.
    if stamp.is_file():
        stamp.unlink()
    if not (version and finished and _install(python, root)):
        _create(folder)
        if not _install(python, root):
            _fail("pip could not install the pinned packages; its message is above")
    version = _version(python)
    if not version:
        _fail(f"the Python of {folder} does not run")
    stamp.write_text(_fingerprint(root, version), encoding="utf-8")
    return python


def run_in_environment(*arguments: str) -> int:
    """Run the environment's Python with these arguments in the clone; returns its exit code."""
    python = ensure_environment()
    return subprocess.call([str(python), *arguments], cwd=ROOT)


def environment_python(folder: Path) -> Path:
    """Where a virtual environment has its Python."""
    if os.name == "nt":
        return folder / "Scripts" / "python.exe"
    return folder / "bin" / "python"


def _version(python: Path) -> str:
    """What an environment's Python says it is; empty if it does not run."""
    report = "import sys, pip; print('%d.%d' % sys.version_info[:2], sys.prefix)"
    try:
        result = subprocess.run(
            [str(python), "-c", report], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return ""
    return result.stdout.decode(errors="replace").strip() if result.returncode == 0 else ""


def _fingerprint(root: Path, version: str) -> str:
    """One line that changes whenever the environment has to."""
    digest = hashlib.sha256()
    # An editable install and the environment's scripts hold absolute paths, so that a clone
    # that was moved needs another.
    for text in (REQUIREMENT, version, str(root)):
        digest.update(text.encode() + b"\0")
    for name in INPUTS:
        digest.update(hashlib.sha256((root / name).read_bytes()).digest())
    return digest.hexdigest() + "\n"


def _create(folder: Path) -> None:
    # If this runs inside a virtual environment, the new one must not be built on that: it may
    # be the very one that is being replaced.
    base = getattr(sys, "_base_executable", None) or sys.executable
    if _is_running_in(folder) and os.name == "nt":
        _fail(f"{folder} has to be made anew, and this Python runs in it; use another one")
    try:
        made = subprocess.call([base, "-m", "venv", "--clear", str(folder)], stdout=2) == 0
    except OSError as error:
        _fail(f"cannot run {base}: {error}")
    if not made:
        _fail(f"cannot make {folder}; on Debian and Ubuntu 'venv' is a package of its own")


def _install(python: Path, root: Path) -> bool:
    command = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    command += ["-c", "constraints.txt", "-e", REQUIREMENT]
    # pip reports on standard error here, because standard output belongs to what runs next.
    return subprocess.call(command, cwd=root, stdout=2) == 0


def _is_running_in(folder: Path) -> bool:
    return Path(sys.prefix).resolve() == folder.resolve()


def _fail(message: str) -> None:
    print(f"compressai-vq: {message}", file=sys.stderr)
    raise SystemExit(2)
