"""What LPIPS and DISTS reduce features to, with gradients in closed form.

Autograd would keep and go over a dozen intermediate maps at full resolution, where two serve:
next to VGG16 by Winograd's filtering that is almost half of the time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_SHORTEST = 1e-6  # a position with no features at all would get a gradient without bounds


def moments(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means of ``b``, of its squares and of ``a * b`` over positions, (N, C) each.

    Args:
        a: (N, C, H, W), fp32; gets no gradient.
        b: likewise; gets one.
    """
    means: tuple[Tensor, Tensor, Tensor] = _Moments.apply(a.flatten(2), b.flatten(2))
    return means


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(a, b)
        return b.mean(-1), _mean_product(b, b), _mean_product(a, b)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        a, b = ctx.saved_tensors
        mean, square, product = (g[..., None] / b.shape[-1] for g in gradients)
        return None, torch.addcmul(mean, b, 2 * square).addcmul_(a, product)


def _mean_product(a: Tensor, b: Tensor) -> Tensor:
    n, channels, positions = a.shape
    row = a.reshape(n * channels, 1, positions)
    return torch.bmm(row, b.reshape(n * channels, positions, 1)).view(n, channels) / positions


def unit_vectors(features: Tensor) -> tuple[Tensor, Tensor]:
    """Every position's (N, C, H, W) features at length 1, and their length (N, 1, H, W)."""
    # Quicker than torch's norm, which goes over planes one number at a time.
    length = features.square().sum(1, keepdim=True).sqrt_().clamp_min_(_SHORTEST)
    return features / length, length


def weighted_distance(unit: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """The mean, over positions, of weighted squared differences of unit vectors.

    Args:
        unit: (N, C, H, W), fp32, of length 1; gets no gradient.
        b: likewise, of any length; gets one.
        weight: (C,).
    """
    distance: Tensor = _WeightedDistance.apply(unit, b, weight)
    return distance


class _WeightedDistance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, unit: Tensor, b: Tensor, weight: Tensor) -> Tensor:
        other, length = unit_vectors(b)
        difference = other - unit
        pull = difference * weight[:, None, None]
        total = torch.dot(pull.flatten(), difference.flatten())
        ctx.save_for_backward(other, length, pull)
        return total / length.numel()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        other, length, pull = ctx.saved_tensors
        along = (other * pull).sum(1, keepdim=True)
        scale = 2 * gradients[0] / length.numel() / length
        return None, torch.addcmul(pull, other, along, value=-1).mul_(scale), None
