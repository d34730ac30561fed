"""Backbones come by checksum, whichever way: made-up ones here, and nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from compressai_vq.errors import CodecError, CodecWarning
from compressai_vq.metrics import backbones
from compressai_vq.metrics.backbones import backbone

RIGHT = {"features.0.weight": torch.arange(6.0).view(2, 3), "features.0.bias": torch.ones(2)}
OTHER = {**RIGHT, "features.0.bias": torch.tensor([1.0, 1.0 + 2**-20])}


def _gives(weights: dict[str, Tensor]) -> Callable[[str], dict[str, Tensor]]:
    return lambda name: weights


def _fails(name: str) -> dict[str, Tensor]:
    raise OSError("no network")


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPRESSAI_VQ_CACHE", str(tmp_path))
    monkeypatch.setitem(backbones._CHECKSUMS, "alexnet", backbones._checksum(RIGHT))
    monkeypatch.setattr(backbones, "_from_torchvision", _fails)
    monkeypatch.setattr(backbones, "_from_archive", _fails)
    return tmp_path / "backbones" / "alexnet.safetensors"


def _same(weights: dict[str, Tensor]) -> bool:
    return weights.keys() == RIGHT.keys() and all(
        torch.equal(value, RIGHT[name]) for name, value in weights.items()
    )


def test_the_next_way_is_taken_where_one_gives_other_values(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbones, "_from_torchvision", _gives(OTHER))
    with pytest.raises(CodecError, match="no alexnet backbone"):
        backbone("alexnet")
    assert not cached.exists()
    monkeypatch.setattr(backbones, "_from_archive", _gives(RIGHT))
    assert _same(backbone("alexnet"))
    monkeypatch.setattr(backbones, "_from_archive", _fails)
    assert _same(backbone("alexnet", allow_download=False)), "it is kept"


def test_a_cache_that_cannot_be_written_is_a_warning(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached.parent.write_bytes(b"where the folder would be")
    monkeypatch.setattr(backbones, "_from_torchvision", _gives(RIGHT))
    with pytest.warns(CodecWarning, match="alexnet cannot be kept, and is fetched anew: cannot w"):
        assert _same(backbone("alexnet"))


@pytest.mark.parametrize("content", [b"", b"no tensors", safetensors.torch.save(OTHER)])
def test_what_the_cache_has_is_checked(
    cached: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    cached.parent.mkdir()
    cached.write_bytes(content)
    with pytest.raises(CodecError, match="put it at"):
        backbone("alexnet", allow_download=False)
    monkeypatch.setattr(backbones, "_from_torchvision", _gives(RIGHT))
    assert _same(backbone("alexnet"))
    assert _same(safetensors.torch.load_file(cached)), "it is repaired"


def test_names_count() -> None:
    renamed = {name.replace("0", "1"): value for name, value in RIGHT.items()}
    assert backbones._checksum(renamed) != backbones._checksum(RIGHT)
