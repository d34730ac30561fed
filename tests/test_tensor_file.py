from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import safetensors.torch
import torch

from compressai_vq.errors import CodecError
from compressai_vq.tensor_file import read_facts, read_tensors, write_tensors

FACTS = {"format": 1, "name": "a"}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    across = torch.arange(6.0).view(2, 3).t()  # not contiguous
    fingerprint = write_tensors(path, "key", FACTS, {"b": across, "a": torch.zeros(0)})
    facts, tensors, read = read_tensors(path, "key", "weights")
    assert facts == FACTS == read_facts(path, "key")
    assert torch.equal(tensors["b"], across) and tensors["a"].shape == (0,)
    assert read == fingerprint == hashlib.sha256(path.read_bytes()).digest()
    assert write_tensors(path, "key", FACTS, tensors) == fingerprint


@pytest.mark.parametrize("metadata", [None, {"other": "1"}, {"key": "[1]"}])
def test_files_without_facts_have_none(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(1)}, metadata))
    assert read_facts(path, "key") == {} == read_tensors(path, "key", "weights").facts


@pytest.mark.parametrize("data", [b"", b"no tensors", b"\xff" * 64, bytes(64)])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(CodecError, match=r"cannot read weights .*a\.safetensors: No such file"):
        read_tensors(path, "key", "weights")
    path.write_bytes(data)
    with pytest.raises(CodecError, match=r"a\.safetensors is not a safetensors file"):
        read_tensors(path, "key", "weights")
    with pytest.raises(CodecError, match=r"a\.safetensors is not a safetensors file"):
        read_facts(path, "key")


def test_facts_that_are_no_json_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(1)}, {"key": "[" * 100_000}))
    with pytest.raises(CodecError, match="not a safetensors file"):
        read_facts(path, "key")


def test_facts_are_of_the_same_file_as_the_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, "key", FACTS, {"a": torch.zeros(1)})
    before = path.read_bytes()
    write_tensors(path, "key", {"format": 2}, {"a": torch.ones(1)})
    monkeypatch.setattr(Path, "read_bytes", lambda _: before)  # replaced while it is read
    found = read_tensors(path, "key", "weights")
    assert found.facts == FACTS and found.tensors["a"] == 0


def test_what_may_have_no_end_is_not_read() -> None:
    with pytest.raises(CodecError, match=r"cannot read weights /dev/zero: no regular file"):
        read_tensors(Path("/dev/zero"), "key", "weights")
