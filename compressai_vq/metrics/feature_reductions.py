"""What LPIPS and DISTS reduce features to, with gradients in closed form.

Autograd would keep and go over a dozen intermediate maps at full resolution, and each pass would
wait for memory.  Here a CPU takes positions in blocks that stay in its caches, where features of
any number format become fp32; nothing of a map's size is kept but the features themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_SHORTEST = 1e-6  # a position with no features at all would get a gradient without bounds

_BLOCK = 1 << 16  # numbers for each thread: a handful of these in fp32 fit into a core's cache


class Moments(NamedTuple):
    """Means over positions, (N, C) each, in fp32 or better."""

    mean_a: Tensor
    square_a: Tensor
    mean_b: Tensor
    square_b: Tensor
    product: Tensor


def moments(a: Tensor, b: Tensor) -> Moments:
    """Means of ``a``, ``b``, of their squares and of ``a * b`` over positions.

    Args:
        a: (N, C, H, W), of any floating-point type; gets no gradient.
        b: likewise; gets one, from its own three means.
    """
    return Moments(*_Moments.apply(a, b))


def weighted_distance(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """The mean, over positions, of weighted squared differences of vectors made unit length.

    Args:
        a: (N, C, H, W), of any floating-point type; gets no gradient.
        b: likewise; gets one.
        weight: (C,).
    """
    distance: Tensor = _WeightedDistance.apply(a, b, weight)
    return distance


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(a, b)
        sums = torch.zeros(5, *b.shape[:2], dtype=exact_type(b), device=b.device)
        for n, (x, y) in _blocks(a, b):
            for total, of in zip(sums[:, n], (x, x * x, y, y * y, x * y), strict=True):
                total += of.sum(0)
        return (sums / _positions(b)).unbind()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        a, b = ctx.saved_tensors
        mean, square, product = (g / _positions(b) for g in gradients[2:])
        gradient = torch.empty_like(b)
        for n, (x, y, out) in _blocks(a, b, gradient):
            out.copy_(torch.addcmul(mean[n], y, 2 * square[n]).addcmul_(x, product[n]))
        return None, gradient


class _WeightedDistance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(a, b, weight)
        total = torch.zeros_like(weight, dtype=exact_type(b))
        for _, (x, y) in _blocks(a, b):
            total += (y / _length(y)).sub_(x / _length(x)).square_().sum(0)
        return torch.dot(total, weight.to(total.dtype)) / (len(b) * _positions(b))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        a, b, weight = ctx.saved_tensors
        scaled = weight.to(exact_type(b)) * (2 * gradients[0] / (len(b) * _positions(b)))
        gradient = torch.empty_like(b)
        for _, (x, y, out) in _blocks(a, b, gradient):
            length = _length(y)
            unit = y / length
            pull = torch.sub(unit, x / _length(x)).mul_(scaled)
            along = (unit * pull).sum(1, keepdim=True)
            out.copy_(pull.addcmul_(unit, along, value=-1).div_(length))
        return None, gradient, None


def _blocks(*maps: Tensor) -> Iterator[tuple[int, list[Tensor]]]:
    """The number in the batch and the same positions of all maps, (M, C) each.

    The first two are given in :func:`exact_type`, and may be views; any more as they are, to be
    written to.
    """
    exact = exact_type(maps[1])
    rows = positions_at_once(maps[0], _BLOCK)
    for n in range(len(maps[0])):
        # Views, both of channels-last maps and of those in the default layout.
        flat = [each[n].flatten(1).t() for each in maps]
        for part in zip(*(each.split(rows) for each in flat), strict=True):
            yield n, [*(each.to(exact) for each in part[:2]), *part[2:]]


def positions_at_once(like: Tensor, block: int) -> int:
    """How many positions of (N, C, H, W) are a block.

    Args:
        like: on a GPU all are one, since each block would wait for the one before.
        block: numbers for each thread of the CPU.
    """
    if like.device.type != "cpu":
        return like[:, 0].numel()
    return max(1, block * torch.get_num_threads() // like.shape[1])


def exact_type(features: Tensor) -> torch.dtype:
    """The number format that features are reduced in."""
    return torch.float64 if features.dtype == torch.float64 else torch.float32


def _positions(features: Tensor) -> int:
    return features.shape[2] * features.shape[3]


def _length(vectors: Tensor) -> Tensor:
    # Quicker than torch's norm, which goes over planes one number at a time.
    return vectors.square().sum(1, keepdim=True).sqrt_().clamp_min_(_SHORTEST)
