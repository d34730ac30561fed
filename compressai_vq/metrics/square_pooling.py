"""How DISTS halves a map: roots of local means of squares, with the gradient in closed form.

Means are by the filter (1 2 1)/4 along rows and columns, at every other position of both.  As a
convolution with a filter for each channel this is slow, backwards above all.  Rows are taken a few
at a time, for the same reason as in :mod:`feature_reductions`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .feature_reductions import exact_type, positions_at_once

_SMALLEST = 1e-12  # DISTS's own, added before the root is taken
_BLOCK = 1 << 18  # numbers of the result for each thread


class SquarePooling(nn.Module):
    """In the place of the package's ``L2pooling``, with its default filter of three by three."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), of any floating-point type, to half of that, rounded up."""
        pooled: Tensor = _SquarePooling.apply(x)
        return pooled


class _SquarePooling(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        y = x.new_empty(n, channels, -(-height // 2), -(-width // 2))
        y = y.to(memory_format=_layout(x))
        for first, last in _rows(y):
            top, bottom = 2 * first - 1, 2 * last
            squares = x[:, :, max(top, 0) : bottom].to(exact_type(x)).square()
            edges = (1, width % 2, int(top < 0), int(bottom > height))
            squares = F.pad(squares, edges)
            rows = squares[:, :, :-2:2] + squares[:, :, 2::2]
            rows.add_(squares[:, :, 1:-1:2], alpha=2)
            means = rows[..., :-2:2] + rows[..., 2::2]
            means.add_(rows[..., 1:-1:2], alpha=2)
            y[:, :, first:last] = means.mul_(1 / 16).add_(_SMALLEST).sqrt_()
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        x, y = ctx.saved_tensors
        gradient = torch.empty_like(x)
        for first, last in _rows(y):
            # With one row and one column more, whose windows reach back into these.
            more = slice(first, last + 1)
            pull = gradients[0][:, :, more].to(exact_type(x)) / y[:, :, more]
            pull = F.pad(pull.mul_(1 / 16), (0, 1, 0, int(last == y.shape[2])))
            beside = pull[..., :-1] + pull[..., 1:]
            pull = 2 * pull[..., :-1]
            for column, each in enumerate((pull, beside)):
                even, odd = 2 * each[:, :, :-1], each[:, :, :-1] + each[:, :, 1:]
                for row, of in ((2 * first, even), (2 * first + 1, odd)):
                    part = (..., slice(row, 2 * last, 2), slice(column, None, 2))
                    height, width = x[part].shape[2:]
                    gradient[part] = of[..., :height, :width] * x[part]
        return gradient


def _rows(y: Tensor) -> Iterator[tuple[int, int]]:
    """The first row, and the one after the last, of every block of a result."""
    count = max(1, positions_at_once(y, _BLOCK) // (y.shape[0] * y.shape[3]))
    for first in range(0, y.shape[2], count):
        yield first, min(first + count, y.shape[2])


def _layout(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format
