from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from compressai_vq.errors import CodecError
from compressai_vq.prior.coder import PriorCoder
from compressai_vq.prior.prior_weights import PriorWeights, tensors_of

from ..fixtures import untrained_weights
from .made_up import made_up_coder, made_up_network, random_map


def test_saved_and_loaded_it_codes_the_same(tmp_path: Path) -> None:
    path = tmp_path / "prior.safetensors"
    fingerprint = PriorWeights(made_up_network(), bytes(range(32))).save(path)
    loaded = PriorWeights.load(path)
    assert loaded.fingerprint == fingerprint and loaded.codec == bytes(range(32))
    indices = random_map(7, 9, 9)
    assert PriorCoder(loaded.network).encode(indices, 7) == made_up_coder().encode(indices, 7)
    assert PriorWeights(loaded.network, loaded.codec).save(path) == fingerprint


def test_the_codecs_weights_are_checked() -> None:
    weights = untrained_weights()
    PriorWeights(made_up_network(), weights.fingerprint).check_fits(weights)
    with pytest.raises(CodecError, match="belongs to weights 00000000"):
        PriorWeights(made_up_network(), bytes(32)).check_fits(weights)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("blocks.1.gather.weight", None, "lacks a part"),
        ("heads.3.bias", torch.full((32,), 1 << 24, dtype=torch.int32), "overflow"),
        ("heads.3.shift", torch.full((32,), 40, dtype=torch.int8), "out of range"),
        ("embeddings.2", torch.zeros(17, 12), "type or shape"),
        ("embeddings.x", torch.zeros(17, 12), "lacks a part"),
        ("blocks.0.mix.weight", torch.zeros(12, 13, dtype=torch.int8), "fit together"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, name: str, value: torch.Tensor | None, message: str
) -> None:
    tensors = tensors_of(made_up_network())
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    path = tmp_path / "prior.safetensors"
    metadata = {"compressai_vq_prior": '{"codec": "00", "format": 1}'}
    path.write_bytes(safetensors.torch.save(tensors, metadata))
    with pytest.raises(CodecError, match=message) as caught:
        PriorWeights.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "prior.safetensors"
    with pytest.raises(CodecError, match="cannot read"):
        PriorWeights.load(path)
    path.write_bytes(b"no safetensors")
    with pytest.raises(CodecError, match="not a safetensors"):
        PriorWeights.load(path)
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(1)}))
    with pytest.raises(CodecError, match="no index prior"):
        PriorWeights.load(path)
