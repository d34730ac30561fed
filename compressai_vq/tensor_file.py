"""Safetensors files with facts in their header, as JSON under one key of the metadata."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from .atomic_file import write_atomically
from .errors import CodecError

_NOT_ONE = (safetensors.SafetensorError, ValueError, KeyError, RecursionError)


class TensorFile(NamedTuple):
    """The contents of a file."""

    facts: dict[str, Any]
    tensors: dict[str, Tensor]
    fingerprint: bytes  # SHA-256 of the file, 32 bytes


def read_tensors(path: Path | str, key: str, what: str) -> TensorFile:
    """Read a file; nothing in it is executed.

    Args:
        path: of the file.
        key: of the facts in the metadata.
        what: what the file should be, for the message.

    Returns:
        Its contents; no facts where it has none under the key.

    Raises:
        CodecError: when it is missing or is no safetensors file.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise CodecError(f"cannot read {what} {path}: no regular file")  # it may have no end
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CodecError(f"cannot read {what} {path}: {error.strerror}") from error
    try:
        # Tensors that can learn, whatever the caller works in.
        with torch.inference_mode(False):
            tensors = safetensors.torch.load(data)
        # Of the same bytes: the file may have been replaced since.
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts = json.loads((header.get("__metadata__") or {}).get(key, "{}"))
    except _NOT_ONE as error:
        raise CodecError(f"{path} is not a safetensors file: {error}") from error
    facts = facts if isinstance(facts, dict) else {}
    return TensorFile(facts, tensors, hashlib.sha256(data).digest())


def read_facts(path: Path, key: str) -> dict[str, Any]:
    """The facts alone, from the header.

    Raises:
        CodecError: when the file cannot be read or is no safetensors file.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {}).get(key, "{}"))
    except (*_NOT_ONE, OSError) as error:
        raise CodecError(f"{path} is not a safetensors file: {error}") from error
    return facts if isinstance(facts, dict) else {}


def write_tensors(
    path: Path | str, key: str, facts: dict[str, Any], tensors: dict[str, Tensor]
) -> bytes:
    """Write a file; returns its fingerprint.

    Args:
        path: of the file.
        key: of the facts in the metadata; the only one, for of several safetensors would
            change the order from run to run, and with it the fingerprint.
        facts: fit for JSON.
        tensors: by name.

    Raises:
        CodecError: when it cannot be written.
    """
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    data = safetensors.torch.save(contiguous, {key: json.dumps(facts, sort_keys=True)})
    write_atomically(Path(path), data)
    return hashlib.sha256(data).digest()
