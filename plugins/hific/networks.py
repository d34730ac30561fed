"""Encoder E and generator G of HiFiC (Mentzer et al., 2020, figure 2).

Modules are named, and numbered within sequences, as in the reimplementation: reflection
padding is therefore a module of its own before each convolution.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

WIDTHS = (60, 120, 240, 480, 960)
"""Channels at 1/1, 1/2, 1/4, 1/8 and 1/16 of the picture's size, as published."""

LATENT_CHANNELS = 220
RESIDUAL_BLOCKS = 9


class ChannelNorm(nn.Module):
    """Normalises each position over its channels, then scales and shifts each channel.

    Unlike instance normalisation it does not depend on the picture's size (Mentzer et al.,
    section 3.2).  The variance is the unbiased one and epsilon 1e-3, as in the
    reimplementation.

    Args:
        channels: C of the input (N, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        variance, mean = torch.var_mean(x, dim=1, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + 1e-3) * self.gamma + self.beta


def normalization(kind: str, channels: int) -> nn.Module:
    """``"channel"``, as published, or ``"instance"``, the reimplementation's other choice."""
    if kind == "channel":
        return ChannelNorm(channels)
    return nn.InstanceNorm2d(channels, affine=True)


class HiFiCEncoder(nn.Module):
    """Picture (N, 3, 16 h, 16 w) to latent (N, C, h, w).

    Args:
        latent_channels: C.
        widths: channels at the five sizes.
        norm: see :func:`normalization`.
    """

    def __init__(self, latent_channels: int, widths: Sequence[int], norm: str) -> None:
        super().__init__()
        self.conv_block1 = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, widths[0], 7),
            normalization(norm, widths[0]),
            nn.ReLU(),
        )
        for n, (before, after) in enumerate(itertools.pairwise(widths), start=2):
            block = nn.Sequential(
                nn.ReflectionPad2d((0, 1, 1, 0)),  # right and top, as the reimplementation has it
                nn.Conv2d(before, after, 3, stride=2),
                normalization(norm, after),
                nn.ReLU(),
            )
            self.add_module(f"conv_block{n}", block)
        self.conv_block_out = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(widths[-1], latent_channels, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        for block in self.children():
            x = block(x)
        return x


class ResidualBlock(nn.Module):
    """Two convolutions, each normalised, around which the input is added."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(1)
        self.conv1 = nn.Conv2d(channels, channels, 3)
        self.conv2 = nn.Conv2d(channels, channels, 3)
        self.norm1 = normalization(norm, channels)
        self.norm2 = normalization(norm, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        y = torch.relu(self.norm1(self.conv1(self.pad(x))))
        return self.norm2(self.conv2(self.pad(y))) + x


class HiFiCGenerator(nn.Module):
    """Quantised latent (N, C, h, w) to picture (N, 3, 16 h, 16 w), not clipped.

    Args:
        latent_channels: C.
        widths: channels at the five sizes, from the picture's down.
        blocks: residual blocks at 1/16 of the size, around all of which there is a skip.
        norm: see :func:`normalization`.
    """

    def __init__(
        self, latent_channels: int, widths: Sequence[int], blocks: int, norm: str
    ) -> None:
        super().__init__()
        self.conv_block_init = nn.Sequential(
            normalization(norm, latent_channels),
            nn.ReflectionPad2d(1),
            nn.Conv2d(latent_channels, widths[-1], 3),
            normalization(norm, widths[-1]),
        )
        self.blocks = blocks
        for n in range(blocks):
            self.add_module(f"resblock_{n}", ResidualBlock(widths[-1], norm))
        upward = list(reversed(widths))
        for n, (before, after) in enumerate(itertools.pairwise(upward), start=1):
            block = nn.Sequential(
                nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1),
                normalization(norm, after),
                nn.ReLU(),
            )
            self.add_module(f"upconv_block{n}", block)
        self.conv_block_out = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(widths[0], 3, 7))

    def forward(self, y: Tensor) -> Tensor:
        """See the class."""
        _, *middle, last = self.children()
        head = self.conv_block_init(y)
        x = head
        for n, block in enumerate(middle):
            if n == self.blocks:
                x = x + head
            x = block(x)
        return last(x)
