"""A 3x3 convolution with what stands around it, by the fastest way that there is."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from . import packed_weights, winograd


class Convolution(nn.Conv2d):
    """3x3 convolution, stride 1, padding 1: torch's, or :mod:`.winograd`'s where that pays.

    In bf16 and with fixed weights these are packed once (:mod:`.packed_weights`).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)
        self._packed: packed_weights.Packed | None = None

    def forward(self, x: Tensor, silu: bool = False, skip: Tensor | None = None) -> Tensor:
        """(N, C, H, W) to (N, C', H, W).

        Args:
            x: overwritten when it goes through SiLU and gradients are off.
            silu: whether it goes through SiLU first.
            skip: added to the result.
        """
        learning = torch.is_grad_enabled()
        fp32 = x.dtype == torch.float32 and not torch.is_autocast_enabled(x.device.type)
        fast = fp32 and winograd.pays(self.weight, *x.shape[2:])
        if fast and not learning:
            return winograd.convolve(x, self.weight, self.bias, silu, skip)
        x = F.silu(x, inplace=not learning) if silu else x
        x = like_bf16(x, self)
        if fast:
            y = winograd.convolve_learning(x, self.weight, self.bias)
        elif packed_weights.serves(x, self.weight):
            packed = self._packed
            if packed is None or not packed.is_of(self.weight):
                packed = self._packed = packed_weights.Packed(self.weight, x)
            y = packed_weights.convolve(x, packed.weight, self.bias)
        else:
            y = self._conv_forward(x, self.weight, self.bias)
        return y if skip is None else add(y, skip)

    def _apply(self, *arguments: Any, **options: Any) -> Any:
        self._packed = None  # the weight moves, or takes another format
        return super()._apply(*arguments, **options)

    def _load_from_state_dict(self, *arguments: Any, **options: Any) -> None:
        self._packed = None
        super()._load_from_state_dict(*arguments, **options)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": None}  # can be neither copied nor pickled


def like_bf16(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """``x``, in bf16 for a convolution whose weights are: what it reads may have more bits."""
    return x.bfloat16() if convolution.weight.dtype == torch.bfloat16 else x


def add(new: Tensor, old: Tensor) -> Tensor:
    """``new + old``; overwrites ``new`` when nothing is to be learned."""
    if torch.is_grad_enabled() or new.dtype != old.dtype:
        return new + old
    return new.add_(old)


def wants_default_layout(network: nn.Module) -> bool:
    """Whether a network's convolutions are faster in the default layout than channels-last."""
    found = [m.weight for m in network.modules() if isinstance(m, Convolution)]
    return bool(found) and all(
        w.dtype == torch.float32 and w.device.type == "cpu" and winograd.available() for w in found
    )
