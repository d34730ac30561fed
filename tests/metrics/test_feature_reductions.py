"""Reductions of features, and their gradients, against autograd's."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from compressai_vq.metrics.feature_reductions import moments, unit_vectors, weighted_distance

from ..fixtures import seeded


def test_moments() -> None:
    a, b = torch.randn(2, 2, 3, 5, 4, generator=seeded(), dtype=torch.float64)
    b.requires_grad_()
    mean, square, product = moments(a, b)
    assert torch.allclose(mean, b.mean((2, 3)))
    assert torch.allclose(square, (b * b).mean((2, 3)))
    assert torch.allclose(product, (a * b).mean((2, 3)))
    assert torch.autograd.gradcheck(lambda t: moments(a, t), (b,))


def test_moments_of_channels_last() -> None:
    a, b = torch.randn(2, 2, 3, 5, 4, generator=seeded())
    last = [t.contiguous(memory_format=torch.channels_last) for t in (a, b)]
    for plain, other in zip(moments(a, b), moments(*last), strict=True):
        assert torch.allclose(plain, other, atol=1e-6)


def test_weighted_distance() -> None:
    a, b = torch.randn(2, 2, 3, 5, 4, generator=seeded(), dtype=torch.float64)
    weight = torch.rand(3, generator=seeded(1), dtype=torch.float64)
    unit, length = unit_vectors(a)
    assert torch.allclose(unit, F.normalize(a)) and length.shape == (2, 1, 5, 4)
    b.requires_grad_()
    difference = (F.normalize(a) - F.normalize(b)).square()
    expected = (difference * weight[:, None, None]).sum(1).mean()
    assert torch.allclose(weighted_distance(unit, b, weight), expected)
    assert torch.autograd.gradcheck(lambda t: weighted_distance(unit, t, weight), (b,))


def test_a_position_without_features_has_a_finite_gradient() -> None:
    unit, _ = unit_vectors(torch.randn(1, 3, 2, 2, generator=seeded()))
    b = torch.zeros(1, 3, 2, 2, requires_grad=True)
    distance = weighted_distance(unit, b, torch.ones(3))
    assert torch.isclose(distance, torch.tensor(1.0))
    (gradient,) = torch.autograd.grad(distance, b)
    assert gradient.isfinite().all() and gradient.abs().max() < 1e7
