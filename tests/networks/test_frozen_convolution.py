"""Convolutions with fixed weights give the same results and gradients as torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn as nn

from compressai_vq.networks import winograd
from compressai_vq.networks.convolution import Convolution
from compressai_vq.networks.frozen_convolution import freeze_convolution, freeze_convolutions

from ..fixtures import seeded


def _convolution(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)


@pytest.mark.parametrize("size", [(4, 5), (24, 31), (64, 48)])
@pytest.mark.parametrize(("batch", "channels"), [(1, (3, 64)), (2, (64, 32))])
def test_results_and_gradients(
    size: tuple[int, int], batch: int, channels: tuple[int, int]
) -> None:
    plain = _convolution(*channels)
    x = torch.randn(batch, channels[0], *size, generator=seeded()).requires_grad_()
    weights = torch.randn(batch, channels[1], *size, generator=seeded(1))
    expected = plain(x)
    (gradient,) = torch.autograd.grad((expected * weights).sum(), x)
    frozen = freeze_convolution(plain)
    found = frozen(x)
    assert torch.allclose(found, expected, atol=1e-3)
    (found_gradient,) = torch.autograd.grad((found * weights).sum(), x)
    assert torch.allclose(found_gradient, gradient, atol=1e-3)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


def test_other_number_formats_go_torchs_way() -> None:
    plain = _convolution(32, 32)
    x = torch.randn(1, 32, 32, 32, generator=seeded())
    frozen = freeze_convolution(plain.double())
    assert torch.equal(frozen(x.double()), plain(x.double()))


def test_where_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "available", lambda: False)
    plain = _convolution(32, 32)
    x = torch.randn(1, 32, 32, 32, generator=seeded())
    assert torch.equal(freeze_convolution(plain)(x), plain(x))


def test_only_what_it_can_be_is_replaced() -> None:
    strided, pointwise = _convolution(8, 8, stride=2), nn.Conv2d(8, 8, 1)
    network = nn.Sequential(nn.Sequential(_convolution(3, 8), nn.ReLU()), strided, pointwise)
    x = torch.rand(1, 3, 20, 20, generator=seeded())
    expected = network(x)
    assert freeze_convolutions(network) is network
    assert torch.allclose(network(x), expected, atol=1e-4)
    inner = network[0]
    assert isinstance(inner, nn.Sequential) and isinstance(inner[0], Convolution)
    assert network[1] is strided and network[2] is pointwise
