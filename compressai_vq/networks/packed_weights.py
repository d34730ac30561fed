"""Weights of bf16 convolutions on a CPU, packed once as its routines read them.

oneDNN packs them at each call otherwise, which counts where channels are many and positions few.
The sums are the same to the bit.
"""

from __future__ import annotations

import functools
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from .recording import recorded

_ONES = [1, 1]
_GEOMETRY = (_ONES, _ONES, _ONES, 1)  # padding, stride, dilation, groups
_NOTHING: tuple[str, list[float], str] = ("none", [], "")  # is done with the sums in passing


def serves(x: Tensor, weight: Tensor) -> bool:
    """Whether a 3x3 convolution of ``x`` can go by a packed weight: bf16, and nothing learned."""
    if torch.is_grad_enabled() or not x.dtype == weight.dtype == torch.bfloat16:
        return False
    on_cpu = x.device.type == weight.device.type == "cpu"
    return on_cpu and not weight.requires_grad and available() and not recorded()


class Packed:
    """A weight (C', C, 3, 3), packed, best for inputs of the size of ``x``."""

    def __init__(self, weight: Tensor, x: Tensor) -> None:
        # Kept: where it was freed, another could come to lie in its memory and pass for it.
        self._of = weight
        self._state = _state(weight)
        self.weight = pack(weight, x)

    def is_of(self, weight: Tensor) -> bool:
        """Whether it is that weight, and unchanged; changes of its ``.data`` are not seen."""
        return weight is self._of and _state(weight) == self._state


def _state(weight: Tensor) -> tuple[int, int]:
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version


def pack(weight: Tensor, x: Tensor) -> Tensor:
    """A weight (C', C, 3, 3) for :func:`convolve`, best for inputs of the size of ``x``."""
    weight = weight.detach().to_mkldnn()
    size = list(x.shape)
    reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight  # its signature lacks the size
    return cast(Tensor, reorder(weight, *_GEOMETRY, size))


def convolve(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    """3x3 convolution, stride 1, padding 1, of ``x`` (N, C, h, w) by a packed weight.

    The result is channels-last, whatever ``x`` is.
    """
    operation = torch.ops.mkldnn._convolution_pointwise
    x = x.contiguous(memory_format=torch.channels_last)
    return cast(Tensor, operation(x, packed, bias, *_GEOMETRY, *_NOTHING))


@functools.cache
def available() -> bool:
    """Whether torch has the routines, on this CPU, and they do as its own do."""
    if not torch.backends.mkldnn.is_available():
        return False
    x = (torch.arange(96.0) % 7 - 3).view(1, 16, 2, 3).bfloat16()
    weight = (torch.arange(2304.0) % 5 - 2).view(16, 16, 3, 3).bfloat16()
    x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    try:
        found = convolve(x, pack(weight, x), None)
    except (AttributeError, RuntimeError):
        return False
    return torch.equal(found, F.conv2d(x, weight, padding=1))
