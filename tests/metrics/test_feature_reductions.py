"""Reductions of features, and their gradients, against autograd's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from compressai_vq.metrics import feature_reductions
from compressai_vq.metrics.feature_reductions import (
    moments,
    positions_at_once,
    weighted_distance,
)

from ..fixtures import seeded

LAYOUTS = (torch.contiguous_format, torch.channels_last)


@pytest.fixture(autouse=True)
def _several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_reductions, "positions_at_once", lambda *_: 7)  # of 20


def _pair(
    layout: torch.memory_format = torch.contiguous_format, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    a, b = torch.randn(2, 2, 3, 5, 4, generator=seeded(), dtype=torch.float64)
    a, b = (t.to(dtype, memory_format=layout) for t in (a, b))
    return a, b.requires_grad_()


def _distance(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    difference = (F.normalize(a) - F.normalize(b)).square()
    return (difference * weight[:, None, None]).sum(1).mean()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_moments(layout: torch.memory_format) -> None:
    a, b = _pair(layout)
    found = moments(a, b)
    for mean, of in zip(found, (a, a * a, b, b * b, a * b), strict=True):
        assert torch.allclose(mean, of.mean((2, 3)))
    assert torch.autograd.gradcheck(lambda t: moments(a, t)[2:], (b,))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weighted_distance(layout: torch.memory_format) -> None:
    a, b = _pair(layout)
    weight = torch.rand(3, generator=seeded(1), dtype=torch.float64)
    assert torch.allclose(weighted_distance(a, b, weight), _distance(a, b, weight))
    assert torch.autograd.gradcheck(lambda t: weighted_distance(a, t, weight), (b,))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_coarse_features_are_reduced_in_fp32(layout: torch.memory_format) -> None:
    a, b = _pair(layout, torch.bfloat16)
    kept, weight = a.clone(), torch.rand(3, generator=seeded(1))
    found = moments(a, b)
    distance = weighted_distance(a, b, weight)
    assert {each.dtype for each in (distance, *found)} == {torch.float32}
    exact = _distance(a.float(), b.float(), weight)
    assert torch.allclose(distance, exact, rtol=1e-5)
    assert torch.allclose(found.product, (a.float() * b.float()).mean((2, 3)), atol=1e-6)
    gradient, expected = (torch.autograd.grad(d, b)[0] for d in (distance, exact))
    assert gradient.dtype == b.dtype and torch.equal(a, kept)
    assert torch.allclose(gradient, expected, rtol=0.01, atol=1e-6)


def test_a_position_without_features_has_a_finite_gradient() -> None:
    a = torch.randn(1, 3, 2, 2, generator=seeded())
    b = torch.zeros(1, 3, 2, 2, requires_grad=True)
    distance = weighted_distance(a, b, torch.ones(3))
    assert torch.isclose(distance, torch.tensor(1.0))
    (gradient,) = torch.autograd.grad(distance, b)
    assert gradient.isfinite().all() and gradient.abs().max() < 1e7


def test_a_block_is_small_on_a_cpu_and_everything_on_a_gpu() -> None:
    threads = torch.get_num_threads()
    assert positions_at_once(torch.empty(2, 64, 100, 90), 6400) == 100 * threads
    assert positions_at_once(torch.empty(2, 6401, 1, 1), 6400 // threads) == 1
    assert positions_at_once(torch.empty(2, 64, 100, 90, device="meta"), 6400) == 2 * 100 * 90


def test_second_derivatives_are_refused_and_not_wrong() -> None:
    a, b = _pair(torch.contiguous_format)
    for value in (weighted_distance(a, b, torch.ones_like(b[0, :, 0, 0])), moments(a, b).product):
        (gradient,) = torch.autograd.grad(value.square().sum(), b, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            gradient.square().sum().backward()
