"""Products of bytes by the instructions that CPUs have for them: the same integers, much faster.

::

    activations, uint8 --+
                         * summed in int32 --times 2^-shift, plus bias--> float32, or its floor
    weights, int8 -------+                                                    as uint8

The prior's factors are bytes already.  VNNI (with AVX-512, or with AVX2 on newer desktops and
laptops) sums four products of them at once and AMX those of whole tiles, without rounding; on
either a 3x3 convolution takes less time as it is than Winograd's filtering in float32.  oneDNN has
the routines, and torch the door to them that quantised networks go through.  CPUs with neither add
pairs of products in 16 bits, which these sums do not fit in: :func:`available` asks for the
instructions by name and makes a trial.
"""

from __future__ import annotations

import functools
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

_OPERATIONS = torch.ops.onednn

_GEOMETRY = ([1, 1], [1, 1], [1, 1], 1)  # stride, padding, dilation, groups
_NOTHING: tuple[str, list[float], str] = ("none", [], "")  # is done with the sums in passing

# A floor is what is less by half, less half of the sums' smallest step, rounded to nearest.  With
# scales and biases up to these float32 holds that exactly wherever the result is a byte.
_SMALLEST_SCALE = 2.0**-14
_LARGEST_BIAS = 1 << 22


class ByteProducts:
    """A weight and a bias, packed for inputs of bytes.

    Args:
        weight: int8 (out, in), or (out, in, 3, 3) of a convolution with zeros around.
        bias: int32 (out,).
        scale: float32 (out,), powers of two up to 1.  That sums stay below 2^24 before they are
            multiplied with it is the caller's concern.
    """

    def __init__(self, weight: Tensor, bias: Tensor, scale: Tensor) -> None:
        self._parts = weight, bias, scale
        self._scale, self._bias = scale, bias.float() * scale
        self._zeros = torch.zeros(len(bias), dtype=torch.int64)
        self._bias_of_floors = (2 * bias.long() + 1).float() * (scale / 2) - 0.5
        held = (scale >= _SMALLEST_SCALE) & (bias.abs() < _LARGEST_BIAS)
        self._has_floors = bool(held.all())
        self._convolves = weight.dim() == 4
        if self._convolves:
            self._weight = _OPERATIONS.qconv_prepack(weight, scale, 1.0, 0, *_GEOMETRY)
        else:
            self._weight = _OPERATIONS.qlinear_prepack(weight, None)

    def __reduce__(self) -> tuple[type[ByteProducts], tuple[Tensor, Tensor, Tensor]]:
        return type(self), self._parts  # what is packed can be neither copied nor pickled

    def results(self, x: Tensor, low: int, high: int) -> Tensor:
        """``floor((weight . x + bias) * scale)``, clamped.

        Args:
            x: uint8 (..., in), or (N, h, w, in) of a convolution.
            low: an integer that float32 holds.
            high: likewise.

        Returns:
            Of the same shape but for the last axis; float32, or uint8 where that is quicker and
            the bounds are those of bytes.
        """
        if self._has_floors and (low, high) == (0, 255):
            return self._products(x, self._bias_of_floors, torch.uint8)
        return self._products(x, self._bias, torch.float32).floor_().clamp_(low, high)

    def _products(self, x: Tensor, bias: Tensor, kind: torch.dtype) -> Tensor:
        weight = (self._weight, self._scale, self._zeros, bias)
        if not self._convolves:
            multiply = _OPERATIONS.qlinear_pointwise
            return cast(Tensor, multiply(x, 1.0, 0, *weight, 1.0, 0, kind, *_NOTHING))
        x = x.permute(0, 3, 1, 2)  # of channels-last memory, as the routine wants it
        y = _OPERATIONS.qconv2d_pointwise(x, 1.0, 0, *weight, *_GEOMETRY, 1.0, 0, kind, *_NOTHING)
        return cast(Tensor, y).permute(0, 2, 3, 1)


def available(device: torch.device) -> bool:
    """Whether a device has the instructions, and they were tried and found exact."""
    if device.type != "cpu" or not torch.backends.mkldnn.enabled:
        return False
    return _has_instructions() and _trial()


@functools.lru_cache(maxsize=1)
def _has_instructions() -> bool:
    """VNNI in either form; CPUs with AMX have it as well."""
    if getattr(torch.cpu, "_is_vnni_supported", lambda: False)():
        return True
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx_vnni"))


@functools.lru_cache(maxsize=1)
def _trial() -> bool:
    try:
        return _exact(1) and _exact(3)
    except (AttributeError, RuntimeError):  # operations that this torch lacks, or has otherwise
        return False


def _exact(side: int) -> bool:
    """Whether the largest sums come out; the sizes leave routines a rest behind their blocks."""
    sign = torch.tensor([1, -1, 1, 0]).repeat(10)[:37]
    weight = (127 * sign).to(torch.int8)[:, None, None, None].repeat(1, 57, side, side)
    bias, scale = 3 - sign.int(), torch.tensor([128, 64, 1]).repeat(13)[:37].float() / 128
    x = torch.full((1, 9, 5, 57), 255, dtype=torch.uint8)
    x[:, 3, :, 1::2] = 1
    sums = F.conv2d(
        x.permute(0, 3, 1, 2).double(), weight.double(), bias.double(), padding=side // 2
    )
    wanted = (sums.permute(0, 2, 3, 1) * scale).floor()
    packed = ByteProducts(weight if side > 1 else weight[..., 0, 0], bias, scale)
    return all(
        torch.equal(packed.results(x, *bounds).double(), wanted.clamp(*bounds))
        for bounds in ((0, 255), (-(1 << 24), 1 << 24))
    )
