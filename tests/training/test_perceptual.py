"""The training loss's distances against the metrics' own packages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.metrics.dists import load_dists
from compressai_vq.metrics.lpips import load_lpips
from compressai_vq.training.perceptual import (
    PerceptualLoss,
    dists_distance,
    dists_features,
    feature_distance,
    lpips_distance,
)


def _pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1
    noise = torch.randn(x.shape, generator=generator)
    return x, (x + 0.3 * noise).clamp(-1, 1)


def _loaded(load: Any, *arguments: Any) -> Any:
    try:
        return load(*arguments, allow_download=False)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")


def test_lpips_is_the_packages() -> None:
    metric = _loaded(load_lpips, "alex")
    x, y = _pair()
    expected = metric(x, y).mean()
    assert torch.allclose(lpips_distance(metric, x, y), expected, atol=1e-5)


def test_dists_is_the_packages() -> None:
    metric = _loaded(load_dists)
    x, y = _pair()
    expected = metric((x + 1) / 2, (y + 1) / 2).mean()
    distance = dists_distance(metric, *dists_features(metric, x, y))
    assert torch.allclose(distance, expected, atol=1e-5)


def test_without_backbones_it_is_l1() -> None:
    x, y = _pair()
    y.requires_grad_()
    loss = PerceptualLoss(0.0, 0.0)(x, y, np.random.default_rng(0))
    assert torch.isclose(loss.total, (x - y).abs().mean())
    assert loss.real == loss.fake == []
    loss.total.backward()
    assert y.grad is not None


def test_with_dists_one_pass_of_vgg_serves_both_terms() -> None:
    x, y = _pair()
    try:
        loss = PerceptualLoss(alex=0.0, vgg=0.5, dists=2.0, window=64)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    for net in loss.nets.values():
        first = next(m for m in net.modules() if isinstance(m, torch.nn.Conv2d))
        first.register_forward_hook(count)
    y.requires_grad_()
    given = loss(x, y, np.random.default_rng(0))
    assert passes == 2
    assert [len(given.real), len(given.fake)] == [5, 5]
    real, fake = dists_features(loss.nets["dists"], x[::2], y[::2])
    distances = 2.0 * dists_distance(loss.nets["dists"], real, fake)
    distances = distances + 0.5 * feature_distance(loss.nets["vgg"], real[1:], fake[1:])
    assert torch.isclose(given.total, (x - y).abs().mean() + distances, atol=1e-5)
    given.total.backward()
    assert y.grad is not None
    assert y.grad.isfinite().all()
