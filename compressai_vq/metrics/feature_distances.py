"""LPIPS and DISTS that gradients go through: features first, then their distance.

The features of an original are computed once, and for as many pictures as are compared with
it; and one pass of VGG16 serves both metrics: DISTS's, which pools by local means of squares
where LPIPS takes the maximum.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .feature_reductions import moments, weighted_distance


def dists_features(metric: Any, x: Tensor) -> list[Tensor]:
    """Pixels and VGG16's features at five depths, of (N, 3, H, W) in [-1, 1]."""
    return list(metric.forward_once((x + 1) / 2))


def dists_distance(metric: Any, reference: list[Tensor], features: list[Tensor]) -> Tensor:
    """Mean DISTS of a batch from its features, with the statistics in fp32."""
    total = reference[0].new_zeros((), dtype=torch.float32)
    sizes = [feature.shape[1] for feature in reference]
    weight = metric.alpha.sum() + metric.beta.sum()
    alpha = (metric.alpha / weight).split(sizes, 1)
    beta = (metric.beta / weight).split(sizes, 1)
    with torch.autocast(total.device.type, enabled=False):
        for n, (a, b) in enumerate(zip(reference, features, strict=True)):
            mean_a, square_a, mean_b, square_b, product = moments(a, b)
            texture = (2 * mean_a * mean_b + 1e-6) / (mean_a**2 + mean_b**2 + 1e-6)
            spread = square_a - mean_a**2 + square_b - mean_b**2
            structure = (2 * (product - mean_a * mean_b) + 1e-6) / (spread + 1e-6)
            weighted = alpha[n][..., 0, 0] * texture + beta[n][..., 0, 0] * structure
            total = total + weighted.sum(1).mean()
    return 1 - total


def lpips_features(metric: Any, x: Tensor) -> list[Tensor]:
    """The backbone's features at five depths, of (N, 3, H, W) in [-1, 1]."""
    return list(metric.net(metric.scaling_layer(x)))


def feature_distance(metric: Any, reference: list[Tensor], features: list[Tensor]) -> Tensor:
    """Mean LPIPS of a batch from its features, which may be in the caller's autocast type.

    The package's own forward would take the differences of normalised features in bf16 too,
    where little is left of them; here they are taken in fp32.
    """
    total = reference[0].new_zeros((), dtype=torch.float32)
    with torch.autocast(total.device.type, enabled=False):
        for lin, a, b in zip(metric.lins, reference, features, strict=True):
            (weight,) = lin.parameters()
            total = total + weighted_distance(a, b, weight.detach().flatten())
    return total


def lpips_distance(metric: Any, x: Tensor, x_hat: Tensor) -> Tensor:
    """Mean LPIPS of two batches (N, 3, H, W) in [-1, 1], differentiable in ``x_hat``."""
    with torch.no_grad():
        reference = lpips_features(metric, x)
    return feature_distance(metric, reference, lpips_features(metric, x_hat))
