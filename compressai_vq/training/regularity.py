"""A term against lattices: patterns that repeat from block to block where the image is flat.

Distances of features reward a regular pattern in place of grain, since every position of it is
near to what grain has on average; the eye sees the lattice.  So the autocorrelation of the
picture's details at distances of one and two blocks is held down to the original's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LAGS = ((0, 8), (8, 0), (0, 16), (16, 0), (16, 16), (16, -16), (0, 32), (32, 0))
"""Rows and columns, in pixels: half a block, one block and two."""

SMALLEST_CROP = 80
"""Side in pixels from which on every lag has a window."""

_BOX = 17  # side of the mean that is taken off: what is larger is no pattern
_WINDOW = 32  # side of the windows that are judged, by themselves
_VISIBLE = (1.0 / 127.5) ** 2  # variance of the details: one grey level
_FLAT = (5.0 / 127.5) ** 2


def regularity(x: Tensor, x_hat: Tensor) -> Tensor:
    """How much more regular flat areas are than in the original: 0 for as much, up to about 1.

    Args:
        x: originals (N, 3, S, S) in [-1, 1], S at least :data:`SMALLEST_CROP`.
        x_hat: reconstructions, likewise; differentiable in them.

    Returns:
        The mean over windows and :data:`LAGS` of the correlation in excess of the original's,
        weighted by how flat the original is.
    """
    details = details_of(x_hat)
    with torch.no_grad():
        reference = details_of(x)
    squares, reference_squares = _squares(details), _squares(reference)
    total = details.new_zeros(())
    for rows, columns in LAGS:
        ours, _ = _correlation(details, squares, rows, columns)
        with torch.no_grad():
            theirs, energy = _correlation(reference, reference_squares, rows, columns)
            flat = 1 / (1 + (energy / _FLAT).square())
        total = total + (flat * (ours - theirs.relu()).relu()).mean()
    return total / len(LAGS)


def details_of(x: Tensor) -> Tensor:
    """A picture without its local means, which are over 17x17 pixels.

    Args:
        x: (N, C, H, W), of any range.

    Returns:
        fp32 (N, C, H - 16, W - 16): without the margin where the means would be lopsided.
    """
    edge = _BOX // 2
    planes = x.float().contiguous(memory_format=torch.contiguous_format)  # pools 10 times faster
    means = F.avg_pool2d(F.avg_pool2d(planes, (1, _BOX), 1), (_BOX, 1), 1)
    return planes[..., edge:-edge, edge:-edge] - means


def _squares(details: Tensor) -> Tensor:
    return details.square().mean(1, keepdim=True)


def _correlation(
    details: Tensor, squares: Tensor, rows: int, columns: int
) -> tuple[Tensor, Tensor]:
    """Of windows with themselves so far away, and their mean variance; both (N, 1, h, w)."""
    height, width = details.shape[-2] - rows, details.shape[-1] - abs(columns)
    left, right = max(-columns, 0), max(columns, 0)
    here = details[..., :height, left : left + width]
    there = details[..., rows:, right : right + width]
    shared = _windows((here * there).mean(1, keepdim=True))
    energy = _windows(squares[..., :height, left : left + width])
    energy = (energy + _windows(squares[..., rows:, right : right + width])) / 2
    return shared / (energy + _VISIBLE), energy


def _windows(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, _WINDOW, _WINDOW // 2)
