"""The zoo's two entry points and the weights that ship."""

from __future__ import annotations

import hashlib
import json
import socket
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from compressai_vq import zoo
from compressai_vq.errors import CodecError
from compressai_vq.evaluation import psnr
from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import packaged_weights
from compressai_vq.pretrained import pretrained_weights
from compressai_vq.rates import LADDER

LITE = "mao2024-vqgan-lite"


@pytest.fixture(scope="module")
def flower() -> Tensor:
    with files("sklearn.datasets").joinpath("images", "flower.jpg").open("rb") as file:
        pixels = np.array(Image.open(file).crop((160, 64, 480, 384)))
    return torch.from_numpy(pixels).permute(2, 0, 1)


@pytest.mark.parametrize("quality", [0, 10, -1, 3.0, "3", None])
@pytest.mark.parametrize("pretrained", [False, True])
def test_other_qualities_are_refused(quality: Any, pretrained: bool) -> None:
    for model in (zoo.mao2024_vqgan_lite, zoo.hific):
        with pytest.raises(ValueError, match="Invalid quality"):
            model(quality, pretrained=pretrained)


def test_integers_of_other_kinds_are_qualities() -> None:
    assert zoo.mao2024_vqgan_lite(np.int64(3)).rate == 2  # type: ignore[arg-type]


def test_weights_of_a_pretrained_model_load_into_the_zoos_own(flower: Tensor) -> None:
    trained = zoo.mao2024_vqgan_lite(5, pretrained=True)
    state = trained.state_dict()
    assert "decoder.grain.field" in state
    fresh = zoo.mao2024_vqgan_lite(5)
    fresh.load_state_dict(state)
    indices = trained.encode(flower[None])
    assert torch.equal(fresh.eval().decode(indices), trained.decode(indices))
    # As a part of something larger, too.
    outer = torch.nn.ModuleDict({"net": zoo.mao2024_vqgan_lite(5)})
    outer.load_state_dict({f"net.{name}": value for name, value in state.items()})
    assert outer["net"].decoder.grain is not None  # type: ignore[union-attr]


def test_a_model_has_the_same_parameters_pretrained_or_not() -> None:
    fresh, trained = (zoo.mao2024_vqgan_lite(5, pretrained=known) for known in (False, True))
    names = [name for name, _ in fresh.named_parameters()]
    assert names == [name for name, _ in trained.named_parameters()]
    trained.load_state_dict(fresh.state_dict())
    assert torch.equal(trained.codebook.weight, fresh.codebook.weight)


def test_weights_without_grain_load_as_well() -> None:
    plain = zoo.mao2024_vqgan_lite(5, grain_channels=0)
    model = zoo.mao2024_vqgan_lite(5)
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict({})
    assert model.decoder.grain is not None
    model.load_state_dict(plain.state_dict())
    assert model.decoder.grain is None
    more = zoo.mao2024_vqgan_lite(5, grain_channels=3)
    model = zoo.mao2024_vqgan_lite(5)
    model.load_state_dict(more.state_dict())
    assert len(model.decoder.grain.field) == 3


@torch.inference_mode()
def test_models_made_in_inference_mode_can_be_trained() -> None:
    model = zoo.mao2024_vqgan_lite(5)
    with torch.inference_mode(False):
        model.train()(torch.rand(1, 3, 32, 32))["x_hat"].mean().backward()


def test_other_metrics_are_refused() -> None:
    with pytest.raises(ValueError, match="Invalid metric"):
        zoo.mao2024_vqgan(1, metric="niqe")


def test_quality_is_the_codebooks_size() -> None:
    for quality, size in enumerate(LADDER, start=1):
        codec = zoo.mao2024_vqgan_lite(quality)
        assert codec.codebook.weight.shape[0] == size
        assert codec.rate == quality - 1


def test_pretrained_lite_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    for quality in range(1, 10):
        codec = zoo.mao2024_vqgan_lite(quality, pretrained=True)
        assert not codec.training
        assert codec.index_coder.quantiles.std() > 0


def test_provenance_is_that_of_the_shipped_file() -> None:
    path = packaged_weights(LITE)
    provenance = json.loads(path.with_suffix(".json").read_text())
    assert provenance["fingerprint"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert provenance["stages"]["finetune"]["crops"] > 0


def test_no_weights_under_another_name() -> None:
    with pytest.raises(CodecError, match="unknown architecture mao2024-vqgan-light; known: "):
        pretrained_weights("mao2024-vqgan-light")


def test_a_photograph_comes_back_better_at_higher_quality(flower: Tensor) -> None:
    codec = FileCodec(pretrained_weights(LITE))
    values, sizes = [], []
    for quality in (1, 5, 9):
        data = codec.compress(flower, quality)
        sizes.append(len(data))
        values.append(psnr(flower, codec.decompress(data)))
    assert values == sorted(values) and sizes == sorted(sizes)
    # A picture of its mean colour has 11.2 dB.
    assert values[0] > 15


def test_every_quality_is_coded_below_its_uniform_rate(flower: Tensor) -> None:
    codec = FileCodec(pretrained_weights(LITE))
    blocks = (flower.shape[1] // 16) * (flower.shape[2] // 16)
    for quality, size in enumerate(LADDER, start=1):
        header_and_state = 16 + 8
        data = codec.compress(flower, quality)
        # One picture may be unlike those that were counted on; 10% is far from a bug's cost.
        assert len(data) <= 1.1 * blocks * np.log2(size) / 8 + header_and_state
