"""Networks of others whose weights are fixed, on our convolutions.

VGG16 under LPIPS and DISTS is nothing but 3x3 convolutions, and takes most of the time where
pictures are made closer by them: with fixed weights Winograd's filtering serves both ways.
"""

from __future__ import annotations

import torch
import torch.nn as nn

from .convolution import Convolution


def freeze_convolution(convolution: nn.Conv2d) -> Convolution:
    """A :class:`Convolution` with the parameters of one, which are never learned from now on.

    Args:
        convolution: 3x3, stride 1, padding 1.
    """
    with torch.device("meta"):  # no time for initial values that are thrown away
        frozen = Convolution(convolution.in_channels, convolution.out_channels)
    convolution.requires_grad_(False)
    frozen.weight, frozen.bias = convolution.weight, convolution.bias
    return frozen


def freeze_convolutions(network: nn.Module) -> nn.Module:
    """Put :func:`freeze_convolution`'s in the place of all 3x3 convolutions, in place."""
    for name, layer in list(network.named_children()):
        if isinstance(layer, nn.Conv2d):
            if (layer.kernel_size, layer.stride, layer.padding) == ((3, 3), (1, 1), (1, 1)):
                setattr(network, name, freeze_convolution(layer))
        else:
            freeze_convolutions(layer)
    return network
