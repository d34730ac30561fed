"""The f16 pair of ``mao2024-vqgan``: the taming-transformers package's own modules.

Only the names differ from a published checkpoint's: ``quant_conv`` belongs to the encoder
and ``post_quant_conv`` to the decoder here, and the strided convolutions are called
``halve``, because CompressAI's loaders rewrite the name ``downsample``.
:func:`state_from_taming` translates.
"""

from __future__ import annotations

import contextlib
import io
from typing import cast

import torch.nn as nn
from taming.modules.diffusionmodules.model import Decoder, Encoder
from torch import Tensor

WIDTH = 128  # channels at full size, in the published models
_PREFIXES = {
    "encoder.": "encoder.net.",
    "decoder.": "decoder.net.",
    "quant_conv.": "encoder.quant_conv.",
    "post_quant_conv.": "decoder.post_quant_conv.",
    "quantize.embedding.": "codebook.",
}


def _arguments(width: int, latent_channels: int) -> dict[str, object]:
    return {
        "ch": width,
        "out_ch": 3,
        "ch_mult": (1, 1, 2, 2, 4),
        "num_res_blocks": 2,
        "attn_resolutions": [16],
        "in_channels": 3,
        "resolution": 256,
        "z_channels": latent_channels,
        "double_z": False,
        "dropout": 0.0,
    }


class _Level(nn.Module):
    """One level of the encoder, with its strided convolution under another name."""

    def __init__(self, level: nn.Module) -> None:
        super().__init__()
        self.block, self.attn = level.block, level.attn
        if hasattr(level, "downsample"):
            self.halve = level.downsample

    @property
    def downsample(self) -> nn.Module:
        return cast(nn.Module, self.halve)


class TamingEncoder(nn.Module):
    """Image to latent, 16 times down (Esser et al., 2021, "Taming Transformers").

    Args:
        latent_channels: D, the dimension of a codeword.
        width: channels at full size; 128 in the published models.
    """

    def __init__(self, latent_channels: int = 256, width: int = WIDTH) -> None:
        super().__init__()
        self.net = Encoder(**_arguments(width, latent_channels))
        self.net.down = nn.ModuleList(_Level(level) for level in self.net.down)
        self.quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)

    def forward(self, x: Tensor, rate: int = 0) -> Tensor:
        """(N, 3, H, W) in [-1, 1], H and W multiples of 16, to (N, D, H/16, W/16)."""
        return self.quant_conv(self.net(x))


class TamingDecoder(nn.Module):
    """Latent to image, 16 times up; see :class:`TamingEncoder`."""

    def __init__(self, latent_channels: int = 256, width: int = WIDTH) -> None:
        super().__init__()
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its latent's shape
            self.net = Decoder(**_arguments(width, latent_channels))
        self.post_quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)

    def forward(self, z: Tensor, rate: int = 0) -> Tensor:
        """(N, D, h, w) to (N, 3, 16 h, 16 w), about [-1, 1] (not clipped)."""
        return self.net(self.post_quant_conv(z))


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
