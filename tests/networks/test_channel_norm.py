from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from compressai_vq.networks.channel_norm import EPSILON, normalize


def layer_norm(x: Tensor) -> Tensor:
    return F.layer_norm(x.movedim(1, -1), (x.shape[1],), eps=EPSILON).movedim(-1, 1)


def picture() -> Tensor:
    torch.manual_seed(0)
    return 3 * torch.randn(2, 24, 5, 7, dtype=torch.float64) + 2


def test_is_layer_norm_over_channels() -> None:
    x = picture()
    with torch.no_grad():
        assert torch.allclose(normalize(x), layer_norm(x))
        assert torch.equal(x, picture())
    assert torch.allclose(normalize(x), layer_norm(x))


def test_gradients_are_layer_norms() -> None:
    x, other = picture().requires_grad_(), picture().requires_grad_()
    pull = torch.linspace(-1, 1, x.numel(), dtype=torch.float64).view(x.shape)
    (normalize(x).sin() * pull).sum().backward()
    (layer_norm(other).sin() * pull).sum().backward()
    assert x.grad is not None and other.grad is not None
    assert torch.allclose(x.grad, other.grad)
    assert x.grad.abs().max() > 0.01


def test_second_derivatives_are_refused_and_not_wrong() -> None:
    x = picture().requires_grad_()
    (gradient,) = torch.autograd.grad(normalize(x).sin().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()
