"""The training loss on pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.metrics.feature_distances import (
    dists_distance,
    dists_features,
    feature_distance,
)
from compressai_vq.training.perceptual import PerceptualLoss


def _pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1
    noise = torch.randn(x.shape, generator=generator)
    return x, (x + 0.3 * noise).clamp(-1, 1)


def test_without_backbones_it_is_l1() -> None:
    x, y = _pair()
    y.requires_grad_()
    loss = PerceptualLoss(0.0, 0.0)(x, y, np.random.default_rng(0))
    assert torch.isclose(loss.total, (x - y).abs().mean())
    assert loss.real == loss.fake == []
    loss.total.backward()
    assert y.grad is not None


@pytest.mark.parametrize("fp32", [False, True])
def test_with_dists_one_pass_of_vgg_serves_both_terms(fp32: bool) -> None:
    x, y = _pair()
    try:
        loss = PerceptualLoss(alex=0.0, vgg=0.5, dists=2.0, window=64, fp32=fp32)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    for net in loss.nets.values():
        layer = next(m for m in net.modules() if isinstance(m, torch.nn.Conv2d))
        layer.register_forward_hook(count)
    y.requires_grad_()
    expected = []
    for first in (0, 1):
        real, fake = (dists_features(loss.nets["dists"], batch[first::2]) for batch in (x, y))
        distances = 2.0 * dists_distance(loss.nets["dists"], real, fake)
        distances = distances + 0.5 * feature_distance(loss.nets["vgg"], real[1:], fake[1:])
        expected.append(((x - y).abs().mean() + distances).item())
    seen = set()
    for seed in range(8):
        passes = 0
        given = loss(x, y, np.random.default_rng(seed))
        assert passes == 2
        assert [len(given.real), len(given.fake)] == [5, 5]
        total = given.total.item()
        seen |= {n for n in (0, 1) if expected[n] == pytest.approx(total, abs=1e-5)}
    assert seen == {0, 1}, "pictures are in the order of rates: each must have its turn"
    given.total.backward()
    assert y.grad is not None
    assert y.grad.isfinite().all()
