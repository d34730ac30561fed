"""DISTS's pooling, and its gradient, against the package's own layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from compressai_vq.metrics import square_pooling
from compressai_vq.metrics.square_pooling import SquarePooling

from ..fixtures import seeded

CHANNELS = 4


def _packages() -> Any:
    package = pytest.importorskip("DISTS_pytorch.DISTS_pt")
    return package.L2pooling(channels=CHANNELS).double()


@pytest.mark.parametrize("at_once", [1, 1000], ids=["row by row", "at once"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(16, 24), (15, 24), (16, 23), (17, 21), (2, 3), (1, 1)])
def test_it_is_the_packages(
    size: tuple[int, int],
    layout: torch.memory_format,
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(square_pooling, "positions_at_once", lambda *_: at_once)
    x = torch.randn(2, CHANNELS, *size, generator=seeded(), dtype=torch.float64)
    x = x.to(memory_format=layout).requires_grad_()
    expected, found = _packages()(x), SquarePooling()(x)
    assert found.shape == expected.shape and torch.allclose(found, expected)
    pull = torch.randn(expected.shape, generator=seeded(1), dtype=torch.float64)
    exact, gradient = (torch.autograd.grad((y * pull).sum(), x)[0] for y in (expected, found))
    assert torch.allclose(gradient, exact)


def test_result_has_the_type_and_layout_of_what_it_is_of() -> None:
    x = torch.randn(1, CHANNELS, 8, 6, generator=seeded()).to(
        torch.bfloat16, memory_format=torch.channels_last
    )
    y = SquarePooling()(x)
    assert y.dtype == torch.bfloat16 and y.is_contiguous(memory_format=torch.channels_last)
    exact = SquarePooling()(x.float())
    assert torch.allclose(y.float(), exact, rtol=0.005)


def test_nothing_pools_to_next_to_nothing() -> None:
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    y = SquarePooling()(x)
    assert torch.allclose(y, torch.full_like(y, 1e-6))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert not gradient.any()


def test_second_derivatives_are_refused_and_not_wrong() -> None:
    x = torch.rand(1, CHANNELS, 4, 6, generator=seeded()).requires_grad_()
    (gradient,) = torch.autograd.grad(SquarePooling()(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()
