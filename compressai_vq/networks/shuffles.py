"""Pixels of a picture to channels and back, several at a time.

::

    planes (N, 3, H, W)  --pixel_unshuffle 4-->  (N, 48, H/4, W/4), a position's channels together
    planes (N, 3, 2 h, 2 w)  <--pixel_shuffle 2--  (N, 12, h, w), likewise

The results are those of torch's functions of these names.  Those move pixel by pixel; but
neighbours in a row stay neighbours, so that in bf16 four or two of them can travel as one integer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def unshuffle_4(x: Tensor) -> Tensor:
    """(N, C, 4 h, 4 w) to (N, 16 C, h, w)."""
    n, channels, height, width = x.shape
    if not n:  # torch's own leaves empty batches as they are
        return x.reshape(n, 16 * channels, height // 4, width // 4)
    if torch.is_grad_enabled() or x.dtype != torch.bfloat16 or not x.is_contiguous():
        return F.pixel_unshuffle(x, 4)
    rows = x.view(torch.int64).view(n, channels, height // 4, 4, width // 4)
    moved = rows.permute(0, 2, 4, 1, 3).reshape(n, height // 4, width // 4, 4 * channels)
    return moved.view(torch.bfloat16).permute(0, 3, 1, 2)


def shuffle_2(x: Tensor) -> Tensor:
    """(N, 4 C, h, w) to (N, C, 2 h, 2 w), in planes when nothing is to be learned.

    Of three channels torch's own are slow to lay side by side, and would be parted again.
    """
    n, channels, height, width = x.shape
    if not n:
        return x.reshape(n, channels // 4, 2 * height, 2 * width)
    if torch.is_grad_enabled():
        return F.pixel_shuffle(x, 2)
    last = x.permute(0, 2, 3, 1)
    if x.dtype == torch.bfloat16 and last.is_contiguous():
        pairs = last.view(torch.int32).view(n, height, width, channels // 4, 2)
        planes = pairs.permute(0, 3, 1, 4, 2).reshape(n, channels // 4, 2 * height, width)
        return planes.view(torch.bfloat16)
    x = x.reshape(n, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(n, channels // 4, 2 * height, 2 * width)
