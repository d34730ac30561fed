"""3x3 convolutions whose weights are fixed: gradients go to their input alone.

VGG16 under LPIPS and DISTS is nothing but such convolutions, and takes most of the time where
pictures are made closer by them.  The gradient of the input is a convolution as well, with the
kernel turned by half a turn and its channels exchanged; so where Winograd's algorithm pays
(:mod:`.winograd`), it serves both ways.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from .winograd import convolve, pays


class FrozenConvolution(nn.Conv2d):
    """A convolution's results and, for its input, gradients.

    Args:
        convolution: 3x3, stride 1, padding 1; its parameters are used, and never learned.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        channels = convolution.in_channels, convolution.out_channels
        super().__init__(*channels, 3, padding=1, bias=False, device="meta")
        convolution.requires_grad_(False)
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H, W)."""
        fp32 = x.dtype == torch.float32 and not torch.is_autocast_enabled(x.device.type)
        if fp32 and pays(self.weight, *x.shape[2:]):
            return both_ways(x, self.weight, self.bias)
        return super().forward(x)


def both_ways(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """:func:`.winograd.convolve`, with gradients for ``x`` alone."""
    result: Tensor = _BothWays.apply(x, weight, bias)
    return result


class _BothWays(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.weight = weight
        return convolve(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        turned = ctx.weight.flip(2, 3).transpose(0, 1).contiguous()
        return convolve(gradients[0].contiguous(), turned), None, None


def freeze_convolutions(network: nn.Module) -> nn.Module:
    """Put a :class:`FrozenConvolution` in the place of every 3x3 convolution, in place."""
    for name, layer in list(network.named_children()):
        if isinstance(layer, nn.Conv2d):
            if (layer.kernel_size, layer.stride, layer.padding) == ((3, 3), (1, 1), (1, 1)):
                setattr(network, name, FrozenConvolution(layer))
        else:
            freeze_convolutions(layer)
    return network
