"""3x3 convolutions in fp32 on a CPU by Winograd's minimal filtering, where that is faster.

A tile of 6x6 results is a product of 8x8 numbers, channel by channel, instead of 36 times 9:
5.06 times fewer multiplications, for transforms of the tiles before and after (Lavin and Gray,
2016, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308, F(6x6, 3x3))::

    tile (8, 8) of x --B'xB--> (8, 8) --+
                                        * summed over channels --A'xA--> tile (6, 6) of y
    kernel (3, 3) -----GkG'--> (8, 8) --+

The arithmetic is NNPACK's, which torch is built with on Linux and macOS and calls by itself for
nothing that these networks do.  It takes the default memory layout, not channels-last; so a
network whose weights are laid out channels-last keeps torch's direct convolutions.  It brings
threads of its own; torch's, which wait for work at full speed, should be told to sleep instead
(``OMP_WAIT_POLICY=passive`` before torch is imported, as our command line does: see
``cli/quick_start.py``), or on two threads most of the gain is lost.

Results are those of the direct convolution with larger rounding errors, because the transforms
add and subtract numbers larger than the result: :data:`ERROR`.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .recording import recorded

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

_WHOLE = 1 << 27
"""Bytes of transformed tiles that may be in memory; beyond, strips of rows go one by one."""
_STRIP = 1 << 26
"""Bytes of transformed tiles of a strip: the same memory serves all of them.  With SiLU and sum
on the way, full size takes 0.86 of the time that it takes as a whole.  For smaller strips the
kernel's transform counts, and larger ones fall out of the caches."""


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
        and not recorded()
        and torch._C._get_nnpack_enabled()
        and available()
        # The library keeps the number of threads that it began with.
        and torch.get_num_threads() <= 2 * _threads()
    )


def available() -> bool:
    """Whether torch has the library, and the library knows this CPU (AVX2 or NEON)."""
    return _threads() > 0


def preferred() -> bool:
    """Whether networks for inference are faster by it as a whole, where it is available.

    Not where torch's own convolutions have AVX-512, which the library does not use.
    """
    return torch.backends.cpu.get_cpu_capability() != "AVX512"


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


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    silu: bool = False,
    skip: Tensor | None = None,
) -> Tensor:
    """Convolve with stride 1 and padding 1; only where :func:`available`.

    Args:
        x: (N, C, H, W), fp32, on the CPU; read in the default layout.
        weight: (C', C, 3, 3).
        bias: (C',) or None.
        silu: put ``x`` through SiLU first; its memory may become the result's.
        skip: (N, C', H, W), added to the result.

    Returns:
        (N, C', H, W) in the default layout.
    """
    n, channels, height, width = x.shape
    row = 4 * (_TILE + 2) ** 2 * sum(weight.shape[:2]) * _tiles(1, width)  # bytes, of 6 rows
    rows = height
    if row * _tiles(height, 1) > _WHOLE:
        rows = _TILE * max(_STRIP // row, 1)
    if n == 1 and rows >= height:
        y = torch._nnpack_spatial_convolution(F.silu(x) if silu else x, weight, bias, 1)
        return y if skip is None else y.add_(skip)
    in_place = silu and channels == len(weight) and x.is_contiguous()
    y = x if in_place else x.new_empty((n, len(weight), height, width))
    strip = x.new_empty((1, channels, 1 + min(rows, height) + 1, width))
    # One image at a time: the library would hold all tiles of a batch.
    for i in range(n):
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            # The row above, which may be overwritten in x; zeros outside of the image.
            strip[:, :, 0] = strip[:, :, rows] if top else 0
            part = x[i : i + 1, :, top : bottom + 1]
            inside = strip[:, :, 1 : 1 + part.shape[2]]
            if silu:
                torch.ops.aten.silu.out(part, out=inside)
            else:
                inside.copy_(part)
            if bottom == height:
                strip[:, :, 1 + part.shape[2]] = 0
            convolved = torch._nnpack_spatial_convolution(
                strip[:, :, : bottom - top + 2], weight, bias, (0, 1)
            )
            there = (slice(i, i + 1), slice(None), slice(top, bottom))
            if skip is None:
                y[there] = convolved
            else:
                torch.add(convolved, skip[there], out=y[there])
    return y


def convolve_learning(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """:func:`convolve`, with gradients for what wants them.

    The input's is a convolution as well, with the kernel turned by half a turn and its channels
    exchanged, so that the filtering serves both ways.  The kernel's is torch's.
    """
    result: Tensor = _BothWays.apply(x, weight, bias)
    return result


class _BothWays(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        learned = ctx.needs_input_grad[1:]
        # The input is kept in memory where something is learned only.
        ctx.save_for_backward(weight, *((x,) if any(learned) else ()))
        return convolve(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        weight, *kept = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        for_x = for_weight = for_bias = None
        if ctx.needs_input_grad[0]:
            for_x = convolve(gradient, weight.flip(2, 3).transpose(0, 1).contiguous())
        if kept:
            around = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)  # stride, padding, dilation
            learned = (False, *ctx.needs_input_grad[1:])
            _, for_weight, for_bias = torch.ops.aten.convolution_backward(
                gradient, kept[0], weight, [len(weight)], *around, learned
            )
        return for_x, for_weight, for_bias


def _tiles(height: int, width: int) -> int:
    return -(-height // _TILE) * -(-width // _TILE)
