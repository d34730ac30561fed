"""3x3 convolutions whose results are integers, the same ones on every machine.

Where a CPU multiplies bytes they are a convolution routine's for bytes, which sums integers.  In
float32 they are matrix products of shifted copies, since a routine may choose an algorithm
(Winograd, FFT) that multiplies other numbers than ours; or Winograd's filtering of our own, which
is exact where ``integer_winograd.py`` finds that it is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from . import integer_winograd
from .integer_layers import IntegerLinear

# Copies of shifted activations are made for so many positions at once: they stay in the cache
# (at 128 channels, 9 MB), and memory is bounded.
_POSITIONS_AT_ONCE = 1 << 11

# Of fewer the kernel's transform and the smaller matrix products cost more than is saved.
_FEWEST_FOR_WINOGRAD = 1 << 8


class IntegerConvolution(IntegerLinear):
    """A 3x3 convolution with zeros around; as for :class:`IntegerLinear`, with the weight's
    columns ordered (row offset, column offset, channel).
    """

    _kernel: integer_winograd.Kernel | None = None
    _transformed = False

    def over(self, x: Tensor, low: int, high: int) -> Tensor:
        """At all positions: (N, h, w, C) to (N, h, w, out), with values as of a linear layer."""
        bytewise = self._bytewise(x)
        if bytewise is not None:
            return bytewise.results(x, low, high)
        x = x.float()
        kernel = self._fast(x)
        if kernel is not None:
            return integer_winograd.convolve(x, kernel).floor_().clamp_(low, high)
        n, h, w, _ = x.shape
        padded = F.pad(x, (0, 0, 1, 1, 1, 1))
        rows = max(1, _POSITIONS_AT_ONCE // (n * w))
        strips = []
        for top in range(0, h, rows):
            bottom = min(top + rows, h)
            shifted = [
                padded[:, top + i : bottom + i, j : j + w] for i in range(3) for j in range(3)
            ]
            strips.append(self(torch.cat(shifted, -1), low, high))
        return strips[0] if len(strips) == 1 else torch.cat(strips, 1)

    def at(self, x: Tensor, positions: Tensor, low: int, high: int) -> Tensor:
        """At some positions, int64 (P,) of the flat (N h w): (P, out)."""
        n, h, w, channels = x.shape
        if 2 * len(positions) > n * h * w or self._bytewise(x) is not None:
            return self.over(x, low, high).flatten(0, 2)[positions]
        padded = F.pad(x.float(), (0, 0, 1, 1, 1, 1)).view(-1, channels)
        row, column = positions // w, positions % w
        corner = (row + row // h * 2) * (w + 2) + column
        offsets = torch.arange(3, device=x.device)
        taps = (offsets[:, None] * (w + 2) + offsets).flatten()
        parts = [
            self(padded[some[:, None] + taps].flatten(1), low, high)
            for some in corner.split(_POSITIONS_AT_ONCE)
        ]
        return torch.cat(parts)

    def by_tap(self) -> tuple[Tensor, Tensor]:
        """For sums that inputs are added to one by one, all times the sums' scale.

        Returns:
            Weight, float32 (9 out, C), whose ``out`` rows of tap ``3 i + j`` give what an input
            adds to the sums ``i - 1`` rows above and ``j - 1`` columns left of it; and the bias
            that sums begin with, float32 (out,).
        """
        out, columns = self._weight.shape
        taps = self._weight.view(out, 9, columns // 9).transpose(0, 1)
        return taps.reshape(9 * out, -1), self._bias

    def _kernel_of_bytes(self) -> Tensor:
        return self.weight.view(len(self.weight), 3, 3, -1).permute(0, 3, 1, 2).contiguous()

    def _fast(self, x: Tensor) -> integer_winograd.Kernel | None:
        if x.device.type != "cpu" or x[..., 0].numel() < _FEWEST_FOR_WINOGRAD:
            return None
        if not integer_winograd.exact_products():
            return None
        if not self._transformed:
            kernel = integer_winograd.transformed(self.weight, self.bias, self._scale)
            object.__setattr__(self, "_kernel", kernel)
            object.__setattr__(self, "_transformed", True)
        return self._kernel
