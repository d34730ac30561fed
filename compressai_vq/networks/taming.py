"""The f16 pair of ``mao2024-vqgan``: taming-transformers' networks, written for inference.

::

    image (3, H, W)                                      image (3, H, W)
      | conv                                               ^ norm, SiLU, conv
    1 @ 1      2 blocks    halve                         1 @ 1      3 blocks
    1 @ 1/2    2 blocks    halve                         1 @ 1/2    3 blocks    double
    2 @ 1/4    2 blocks    halve                         2 @ 1/4    3 blocks    double
    2 @ 1/8    2 blocks    halve                         2 @ 1/8    3 blocks    double
    4 @ 1/16   2 blocks, attention in each               4 @ 1/16   3 blocks, attention, double
      | block, attention, block                            ^ block, attention, block
      | norm, SiLU, conv, 1x1 conv                         ^ 1x1 conv, conv
    latent (D, H/16, W/16)  -->  nearest codeword  -->   latent (D, H/16, W/16)

The figures are channels, in multiples of the width.  Results are those of the package's own
modules (:mod:`.taming_blocks` says what differs), and so are the parameters' names, but for
two: ``quant_conv`` belongs to the encoder and ``post_quant_conv`` to the decoder here, and the
strided convolutions are called ``halve``, because CompressAI's loaders rewrite the name
``downsample``.  :func:`state_from_taming` translates.
"""

from __future__ import annotations

import itertools
from typing import cast

import torch
import torch.nn as nn
from torch import Tensor

from .convolution import Convolution
from .taming_blocks import Attention, Double, Halve, Norm, ResidualBlock

WIDTH = 128  # channels at full size, in the published models
_MULTIPLES = (1, 1, 2, 2, 4)  # of the width, from full size to a sixteenth
# How many sizes, from the full one down, run in bf16 where that is fast: most of the time goes
# to these.  At the others a rounding moves whole blocks of the image: there only the branches
# around skips do, and what they are added to keeps fp32.
_IN_BF16 = 4
_PREFIXES = {
    "encoder.": "encoder.net.",
    "decoder.": "decoder.net.",
    "quant_conv.": "encoder.quant_conv.",
    "post_quant_conv.": "decoder.post_quant_conv.",
    "quantize.embedding.": "codebook.",
}
TAMING_PREFIXES = tuple(_PREFIXES)
"""Of the names in taming's checkpoints that :func:`state_from_taming` takes."""


class _Level(nn.Module):
    """The blocks of one size, and the way to the next size."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        depth: int,
        attention: bool,
        halve: bool = False,
        double: bool = False,
    ) -> None:
        super().__init__()
        sizes = (in_channels, *[channels] * depth)
        self.block = nn.ModuleList(ResidualBlock(a, b) for a, b in itertools.pairwise(sizes))
        self.attn = nn.ModuleList(Attention(channels) for _ in range(depth if attention else 0))
        if halve:
            self.halve = Halve(channels)
        if double:
            self.upsample = Double(channels)

    def forward(self, x: Tensor) -> Tensor:
        # Sizes differ in their number format.  (Replicas of DataParallel have no parameters.)
        x = x.to(cast(ResidualBlock, self.block[0]).norm1.weight.dtype)
        for n, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[n](x)
        for name in ("halve", "upsample"):
            if hasattr(self, name):
                x = getattr(self, name)(x)
        return x


class _Middle(nn.Module):
    """Two blocks with attention between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels)
        self.attn_1 = Attention(channels)
        self.block_2 = ResidualBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class _Encoder(nn.Module):
    def __init__(self, width: int, latent_channels: int) -> None:
        super().__init__()
        sizes = [width * multiple for multiple in (1, *_MULTIPLES)]
        last = len(_MULTIPLES) - 1
        self.conv_in = Convolution(3, width)
        self.down = nn.ModuleList(
            _Level(sizes[n], sizes[n + 1], 2, attention=n == last, halve=n < last)
            for n in range(len(_MULTIPLES))
        )
        self.mid = _Middle(sizes[-1])
        self.norm_out = Norm(sizes[-1])
        self.conv_out = Convolution(sizes[-1], latent_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        x = x.to(self.norm_out.weight.dtype)
        return self.conv_out(self.norm_out(self.mid(x)), silu=True)


class _Decoder(nn.Module):
    def __init__(self, width: int, latent_channels: int) -> None:
        super().__init__()
        sizes = [width * multiple for multiple in (*_MULTIPLES, _MULTIPLES[-1])]
        last = len(_MULTIPLES) - 1
        self.conv_in = Convolution(latent_channels, sizes[-1])
        self.mid = _Middle(sizes[-1])
        self.up = nn.ModuleList(
            _Level(sizes[n + 1], sizes[n], 3, attention=n == last, double=n > 0)
            for n in range(len(_MULTIPLES))
        )
        self.norm_out = Norm(width)
        self.conv_out = Convolution(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.conv_in(x))
        for n in reversed(range(len(self.up))):
            x = self.up[n](x)
        return self.conv_out(self.norm_out(x), silu=True)


class TamingEncoder(nn.Module):
    """Image to latent, 16 times down (Esser et al., 2021, "Taming Transformers").

    Args:
        latent_channels: D, the dimension of a codeword.
        width: channels at full size; 128 in the published models.
    """

    def __init__(self, latent_channels: int = 256, width: int = WIDTH) -> None:
        super().__init__()
        self.net = _Encoder(width, latent_channels)
        self.quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)

    def use_bf16(self) -> None:
        """Turn what nearly all the time goes to into bf16; see ``_IN_BF16``."""
        for module in (self.net.conv_in, self.net.down[:_IN_BF16]):
            module.to(torch.bfloat16)
        _branches_in_bf16(self.net.down[_IN_BF16:], self.net.mid)

    def forward(self, x: Tensor, rate: int = 0) -> Tensor:
        """(N, 3, H, W) in [-1, 1], H and W multiples of 16, to (N, D, H/16, W/16)."""
        return self.quant_conv(self.net(x))


class TamingDecoder(nn.Module):
    """Latent to image, 16 times up; see :class:`TamingEncoder`."""

    def __init__(self, latent_channels: int = 256, width: int = WIDTH) -> None:
        super().__init__()
        self.net = _Decoder(width, latent_channels)
        self.post_quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)

    def use_bf16(self) -> None:
        """As the encoder's; the last layers, at full size, are among them.

        The middle's convolutions keep fp32: of all branches they lie farthest from the image,
        and their roundings would cost the most of its PSNR.
        """
        for module in (self.net.up[:_IN_BF16], self.net.norm_out, self.net.conv_out):
            module.to(torch.bfloat16)
        _branches_in_bf16(self.net.up[_IN_BF16:], self.net.mid.attn_1)

    def forward(self, z: Tensor, rate: int = 0) -> Tensor:
        """(N, D, h, w) to (N, 3, 16 h, 16 w), about [-1, 1] (not clipped)."""
        return self.net(self.post_quant_conv(z))


def _branches_in_bf16(*networks: nn.Module) -> None:
    for network in networks:
        for module in network.modules():
            if isinstance(module, ResidualBlock | Attention):
                module.branch_in_bf16()


def state_from_taming(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A taming checkpoint's state dict under this package's names.

    Anything that is neither network nor codebook (``loss.*``) is dropped.
    """
    renamed = {}
    for name, value in state.items():
        for theirs, ours in _PREFIXES.items():
            if name.startswith(theirs):
                name = ours + name.removeprefix(theirs)
                renamed[name.replace(".downsample.", ".halve.")] = value
                break
    return renamed
