"""3x3 convolutions in fp32 on a CPU by Winograd's minimal filtering, where that is faster.

A tile of 6x6 results is a product of 8x8 numbers, channel by channel, instead of 36 times 9:
5.06 times fewer multiplications, for transforms of the tiles before and after (Lavin and Gray,
2016, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308, F(6x6, 3x3))::

    tile (8, 8) of x --B'xB--> (8, 8) --+
                                        * summed over channels --A'xA--> tile (6, 6) of y
    kernel (3, 3) -----GkG'--> (8, 8) --+

The arithmetic is NNPACK's, which torch is built with on Linux and macOS and calls by itself for
nothing that these networks do.  It takes the default memory layout, not channels-last; so a
network whose weights are laid out channels-last keeps the library's direct convolutions.

Results are those of the direct convolution with larger rounding errors, because the transforms
add and subtract numbers larger than the result: :data:`ERROR`.
"""

from __future__ import annotations

import functools
import threading

import torch
import torch.nn as nn
from torch import Tensor

ERROR = 3e-4
"""Bound on the difference to the exact convolution, in units of what results would have as
their root mean square if weights and inputs were independent: the root of the sum of squares of
an output channel's weights, times the root mean square of the inputs.  A direct convolution
differs by up to 2e-5."""

_TILE = 6
_MIN_POSITIONS = 200
"""Of fewer, transforming the kernel costs more than it saves: 0.9 times as fast for 512
channels at 12x12 positions, 1.4 times at 16x16, 3 times at 32x48."""
_MIN_PRODUCTS = 384
"""Input times output channels: 3 to 128 still gains a tenth, 128 to 3 four fifths."""

_WHOLE = 3 << 28
"""Bytes of transformed tiles that may be in memory; beyond, strips of rows go one by one."""
_STRIP = 3 << 24
"""Bytes of transformed tiles of a strip.  Copies to and from strips cost a twelfth."""


class Convolution(nn.Conv2d):
    """3x3 convolution, stride 1, padding 1: as torch's, and faster where :func:`pays`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H, W)."""
        if not torch.is_grad_enabled() and pays(self.weight, *x.shape[2:]):
            return convolve(x, self.weight, self.bias)
        return super().forward(x)


def pays(weight: Tensor, height: int, width: int) -> bool:
    """Whether :func:`convolve` can be used and is faster than torch's convolution.

    Args:
        weight: (C', C, 3, 3).
        height: of the input, in positions.
        width: likewise.
    """
    positions = height * width
    return (
        weight.dtype == torch.float32
        and weight.device.type == "cpu"
        and weight.is_contiguous()
        and weight.shape[0] * weight.shape[1] >= _MIN_PRODUCTS
        and positions >= _MIN_POSITIONS
        # Narrow strips fill less than half of their tiles.
        and _TILE**2 * _tiles(height, width) <= 2 * positions
        and available()
        # The library keeps the number of threads that it began with.
        and torch.get_num_threads() <= 2 * _threads()
    )


def lays_out(network: nn.Module) -> bool:
    """Whether a network wants the default memory layout, for :class:`Convolution` to pay."""
    found = [m.weight for m in network.modules() if isinstance(m, Convolution)]
    return bool(found) and all(
        w.dtype == torch.float32 and w.device.type == "cpu" and available() for w in found
    )


def available() -> bool:
    """Whether torch has the library, and the library knows this CPU (AVX2 or NEON)."""
    return _threads() > 0


_starting = threading.Lock()


def _threads() -> int:
    """Start the library; the number of its threads, or 0 where it cannot be used."""
    with _starting:  # its own start is not safe in several threads at once
        return _start()


@functools.cache
def _start() -> int:
    if not hasattr(torch, "_nnpack_spatial_convolution") or not torch._nnpack_available():
        return 0
    with torch.no_grad():
        x = torch.zeros(1, 1, 8, 8)
        torch._nnpack_spatial_convolution(x, x[..., :3, :3], None, 1)  # makes its threads
    return torch.get_num_threads()


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve with stride 1 and padding 1; only where :func:`available`.

    Args:
        x: (N, C, H, W), fp32, on the CPU; read in the default layout.
        weight: (C', C, 3, 3).
        bias: (C',) or None.

    Returns:
        (N, C', H, W) in the default layout.
    """
    n, _, height, width = x.shape
    channels = len(weight)
    row = 4 * (_TILE + 2) ** 2 * (x.shape[1] + channels) * _tiles(1, width)  # bytes, of 6 rows
    whole = row * _tiles(height, 1) <= _WHOLE
    if n == 1 and whole:
        return torch._nnpack_spatial_convolution(x, weight, bias, 1)
    y = x.new_empty((n, channels, height, width))
    rows = height if whole else _TILE * max(_STRIP // row, 1)
    # One image at a time: the library would hold all tiles of a batch.
    for i in range(n):
        for top in range(0, height, rows):
            part = _with_edges(x[i : i + 1], top, rows)
            convolved = torch._nnpack_spatial_convolution(part, weight, bias, (0, 1))
            y[i, :, top : top + rows] = convolved[0]
    return y


def _tiles(height: int, width: int) -> int:
    return -(-height // _TILE) * -(-width // _TILE)


def _with_edges(x: Tensor, top: int, rows: int) -> Tensor:
    """Rows from ``top`` on, with the one above and the one below: zeros outside of the image."""
    height = x.shape[2]
    end = min(top + rows, height) + 1
    part = x[:, :, max(top - 1, 0) : end]
    missing = (int(top == 0), int(end > height))
    if not any(missing):
        return part
    return torch.nn.functional.pad(part, (0, 0, *missing))
