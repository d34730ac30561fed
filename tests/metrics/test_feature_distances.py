"""Distances that gradients go through, against the metrics' own packages."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.metrics.dists import load_dists
from compressai_vq.metrics.feature_distances import (
    dists_distance,
    dists_features,
    lpips_distance,
)
from compressai_vq.metrics.lpips import load_lpips


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
    distance = dists_distance(metric, dists_features(metric, x), dists_features(metric, y))
    assert torch.allclose(distance, expected, atol=1e-5)
