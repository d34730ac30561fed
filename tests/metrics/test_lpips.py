from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn as nn
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.metrics import lpips as lpips_module
from compressai_vq.metrics.lpips import load_lpips

from ..fixtures import noise, photograph
from ..taming_reference import one_thread  # noqa: F401


@pytest.fixture(scope="module", params=["alex", "vgg"])
def metric(request: pytest.FixtureRequest) -> nn.Module:
    try:
        return load_lpips(request.param, allow_download=False)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")


def scaled(picture: Tensor) -> Tensor:
    return picture[None].float() / 127.5 - 1


@torch.no_grad()
def test_distances_are_sane(metric: nn.Module) -> None:
    original = scaled(photograph(64, 96))
    rough = scaled(noise(64, 96))
    slight, strong = (original.lerp(rough, share) for share in (0.05, 0.4))
    assert metric(original, original).item() == 0
    distances = [metric(original, x).item() for x in (slight, strong, rough)]
    assert 0 < distances[0] < distances[1] < distances[2]
    # An untrained backbone gives hundredths here.
    assert 0.4 < distances[2] < 2.5
    assert metric(slight, original).item() == pytest.approx(distances[0], rel=1e-3)
    assert metric(original, scaled(photograph(64, 96, 1))).item() > 0.4


def test_it_is_frozen_and_passes_gradients(metric: nn.Module) -> None:
    assert not metric.training
    assert not any(p.requires_grad for p in metric.parameters())
    x = scaled(photograph(64, 96)).requires_grad_()
    metric(x, scaled(noise(64, 96))).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize(("net", "backbone"), [("alex", "alexnet"), ("vgg", "vgg16")])
def test_a_missing_backbone_is_named(
    tmp_path: Path, net: str, backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPRESSAI_VQ_CACHE", str(tmp_path))
    with pytest.raises(CodecError, match=f"{backbone}.safetensors") as caught:
        load_lpips(net, allow_download=False)
    assert "\n" not in str(caught.value)


def test_every_convolution_gets_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3)}
    shapes[10] = (256, 256, 3)
    weights = {}
    for n, (out, into, side) in shapes.items():
        weights[f"features.{n}.weight"] = torch.full((out, into, side, side), float(n + 1))
        weights[f"features.{n}.bias"] = torch.full((out,), -float(n + 1))
    monkeypatch.setattr(lpips_module, "backbone", lambda *_: weights)
    metric: Any = load_lpips("alex")
    state = metric.net.state_dict()
    found = [sorted(value.unique().tolist()) for value in state.values()]
    assert found == [[sign * (n + 1)] for n in shapes for sign in (1, -1)]
