"""What a run needs to go on: a file that is written whole or not at all, and checked when read."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import torch

from ..errors import CodecError


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write tensors, numbers, strings and lists and dicts of them; what was there is replaced.

    Raises:
        CodecError: when it cannot be written; what was there is still there then.
    """
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:  # torch by itself tells of a full disk in words of its own
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise CodecError(f"cannot write {path}: {reason}") from error
    finally:  # by a signal, too
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


class State(dict[str, Any]):
    """A run's state; what it is asked for and lacks, the file of another program does."""

    def __init__(self, values: dict[str, Any], path: Path) -> None:
        super().__init__(values)
        self._path = path

    def __missing__(self, name: str) -> Any:
        raise CodecError(
            f"{self._path} is no state of such a run, without {name}: remove it to begin this anew"
        )


def load_state(path: Path, device: str | torch.device = "cpu", mmap: bool = False) -> State:
    """Read what :func:`save_state` wrote; code in the file is not run.

    Args:
        path: of the file.
        device: where its tensors go.
        mmap: leave tensors in the file until they are used.

    Raises:
        CodecError: when it cannot be read or is no such file; and later, where something is taken
            out of it that it lacks.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True, mmap=mmap)
    except OSError as error:
        raise CodecError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # torch names no class of what a damaged file raises
        raise CodecError(f"{path} is damaged: remove it to begin this anew") from error
    if not isinstance(state, dict):
        raise CodecError(f"{path} is no state of a run: remove it to begin this anew")
    return State(state, path)
