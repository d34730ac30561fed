"""Layers whose results are integers, the same ones on every machine.

Floating-point sums depend on the order in which they are taken, and that order on the CPU,
the GPU, the number of threads and the batch.  Sums of integers do not, as long as each
partial sum can be held exactly; float32 holds every integer below 2^24, and fast matrix
products exist for it everywhere.  So weights and activations here are integers kept in
float32, and no sum can reach 2^24, whatever the input: the weights are checked for that.

What else a machine may change is harmless as well: TF32 and bf16 keep 8 bits or more of a
factor, and no factor here needs more than 8 (weights within +-127, activations within 255),
while sums stay float32; fused multiply-add rounds nothing that has nothing to round; scaling
by a power of two is exact.  Convolutions are not left to a routine that may choose an algorithm
of other factors: see ``integer_convolution.py``, and ``integer_winograd.py``, whose factors have
up to 10 bits and which is used only where products are float32's own.

CPUs that multiply bytes are given them as bytes: see ``byte_products.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import CodecError
from . import byte_products
from .byte_products import ByteProducts

EXACT_LIMIT = 1 << 24
"""Sums stay below it in magnitude, so that float32 holds them exactly."""

ACTIVATION_MAX = 255
WEIGHT_MAX = 127
MAX_SHIFT = 23


@dataclass(frozen=True, eq=False)
class IntegerLinear:
    """``floor((weight . x + bias) / 2 ** shift)``, exactly, for each output channel.

    Args:
        weight: int8 (out, in), within +-127.
        bias: int32 (out,); half of ``2 ** shift`` is part of it where rounding is wanted.
        shift: int8 (out,), in [0, 23].

    Raises:
        CodecError: when types or shapes do not fit, or a sum could reach 2^24 for some input
            in [0, 255].
    """

    weight: Tensor
    bias: Tensor
    shift: Tensor
    # What inference uses, in float32 and times 2 ** -shift, which changes nothing about what is
    # exact; the integers stay for the bound and for saving.
    _weight: Tensor = field(init=False, repr=False)
    _bias: Tensor = field(init=False, repr=False)
    _scale: Tensor = field(init=False, repr=False)
    _packed: ByteProducts | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        out = len(self.weight)
        fits = self.weight.dim() == 2 and self.weight.numel() > 0
        fits = fits and self.bias.shape == self.shift.shape == (out,)
        types = (self.weight.dtype, self.bias.dtype, self.shift.dtype)
        if not fits or types != (torch.int8, torch.int32, torch.int8):
            raise CodecError("a layer of the prior has tensors of wrong types or shapes")
        if (self.shift < 0).any() or (self.shift > MAX_SHIFT).any() or (self.weight == -128).any():
            raise CodecError("a layer of the prior has weights or shifts out of range")
        if self.bound() >= EXACT_LIMIT:
            raise CodecError("a layer of the prior could overflow: its weights are too large")
        # Not by a vectorised power function, which need not be exact.
        powers = [math.ldexp(1.0, -shift) for shift in self.shift.tolist()]
        scale = torch.tensor(powers, dtype=torch.float32)
        object.__setattr__(self, "_weight", self.weight.float() * scale[:, None])
        object.__setattr__(self, "_bias", self.bias.float() * scale)
        object.__setattr__(self, "_scale", scale)

    def bound(self) -> int:
        """The largest magnitude that a sum can reach for inputs in [0, 255]."""
        sums = self.weight.long().abs().sum(1) * ACTIVATION_MAX + self.bias.long().abs()
        return int(sums.max())

    def to(self, device: torch.device) -> Self:
        """The layer with its tensors on a device."""
        layer = type(self)(self.weight, self.bias, self.shift)
        for name in ("_weight", "_bias", "_scale"):
            object.__setattr__(layer, name, getattr(self, name).to(device))
        return layer

    def __call__(self, x: Tensor, low: int, high: int) -> Tensor:
        """Integers (..., in) within [0, 255] to integers (..., out) within [low, high].

        ``x`` is float32, or uint8 where that is faster (:mod:`.byte_products`): then results may
        be uint8 as well.
        """
        packed = self._bytewise(x)
        if packed is not None:
            return packed.results(x, low, high)
        return F.linear(x.float(), self._weight, self._bias).floor_().clamp_(low, high)

    def _bytewise(self, x: Tensor) -> ByteProducts | None:
        """What multiplies these inputs, if they are bytes and the device is made for such."""
        if x.dtype != torch.uint8 or not x.numel() or not byte_products.available(x.device):
            return None
        if self._packed is None:
            packed = ByteProducts(self._kernel_of_bytes(), self.bias, self._scale)
            object.__setattr__(self, "_packed", packed)
        return self._packed

    def _kernel_of_bytes(self) -> Tensor:
        return self.weight
