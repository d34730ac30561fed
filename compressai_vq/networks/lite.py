"""The convolutional pair of ``mao2024-vqgan-lite``: fast on CPUs, one pair for nine rates.

::

      image (3, H, W)                                   image (3, H, W)
        | pixel-unshuffle 4                               ^ pixel-shuffle 2
      48 @ 1/4                                          32 @ 1/2
        | conv                                            ^ pixel-shuffle 2
      64 @ 1/4   1 block                                64 @ 1/4   2 blocks
        | unshuffle 2, conv 1x1                           ^ conv 1x1, nearest x2
      128 @ 1/8  2 blocks                               128 @ 1/8  3 blocks
        | unshuffle 2, conv 1x1                           ^ conv 1x1, nearest x2
      256 @ 1/16 2 blocks                               256 @ 1/16 5 blocks
        | norm, conv 1x1                                  ^ conv 3x3, plus grain
      latent (D, H/16, W/16) --> nearest codeword --> latent (D, H/16, W/16)

Every normalisation is over the channels of one position, never over space: what a pixel
becomes depends on its surroundings alone, whatever the size of the image.  (Mentzer et
al., 2020, "High-Fidelity Generative Image Compression", give the same reason for their
ChannelNorm.)  Its scale and shift are the only parameters that differ between rates.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..rates import LADDER
from .channel_norm import normalize
from .convolution import Convolution
from .grain import Corner, Grain, grain_channels
from .shuffles import shuffle_2, unshuffle_4

Rate = int | Tensor

NUM_RATES = len(LADDER)
WIDTHS = (64, 128, 256)  # channels at 1/4, 1/8 and 1/16 of the image's side


class RateNorm(nn.Module):
    """Layer norm over channels, with a scale and a shift for each rate.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(NUM_RATES, channels))
        self.bias = nn.Parameter(torch.zeros(NUM_RATES, channels))

    def forward(self, x: Tensor, rate: Rate) -> Tensor:
        """Normalise ``x`` of shape (N, C, H, W); ``rate`` is one rate or one for each of N."""
        weight, bias = self.weight[rate].to(x.dtype), self.bias[rate].to(x.dtype)
        if x.dtype == torch.float32 and x.is_contiguous():
            # The default layout, without going through channels-last and back.
            y = normalize(x)
            weight, bias = weight[..., None, None], bias[..., None, None]
            return torch.addcmul(bias, y, weight, out=None if torch.is_grad_enabled() else y)
        last = x.permute(0, 2, 3, 1)  # a view of channels-last memory: no copy
        shape = (last.shape[-1],)
        if isinstance(rate, int):
            y = F.layer_norm(last, shape, weight, bias)
        else:
            weight, bias = weight[:, None, None], bias[:, None, None]
            y = torch.addcmul(bias, F.layer_norm(last, shape), weight)
        return y.permute(0, 3, 1, 2)


class ResidualBlock(nn.Module):
    """norm, SiLU, 3x3 convolution, twice, around a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = RateNorm(channels)
        self.conv1 = Convolution(channels, channels)
        self.norm2 = RateNorm(channels)
        self.conv2 = Convolution(channels, channels)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, rate: Rate) -> Tensor:
        """(N, C, H, W) to the same shape."""
        y: Tensor = self.conv1(self.norm1(x, rate), silu=True)
        return self.conv2(self.norm2(y, rate), silu=True, skip=x)


class _Halving(nn.Conv2d):
    """Pixel-unshuffle 2 and a 1x1 convolution in one: windows of 2x2 pixels, side by side.

    As a convolution of stride 2 nothing is moved before it.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(4 * in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H/2, W/2)."""
        window = self.weight.reshape(self.out_channels, -1, 2, 2)
        return F.conv2d(x, window, self.bias, stride=2)


class _Stage(nn.ModuleList):
    def __init__(self, channels: int, depth: int) -> None:
        super().__init__(ResidualBlock(channels) for _ in range(depth))

    def forward(self, x: Tensor, rate: Rate) -> Tensor:
        for block in self:
            x = block(x, rate)
        return x


class LiteEncoder(nn.Module):
    """Image to latent, 16 times down.

    Args:
        latent_channels: D, the dimension of a codeword.
        depths: blocks at 1/4, 1/8 and 1/16.
    """

    def __init__(self, latent_channels: int = 8, depths: tuple[int, int, int] = (1, 2, 2)) -> None:
        super().__init__()
        quarter, eighth, sixteenth = WIDTHS
        self.stem = Convolution(48, quarter)
        self.quarter = _Stage(quarter, depths[0])
        self.to_eighth = _Halving(quarter, eighth)
        self.eighth = _Stage(eighth, depths[1])
        self.to_sixteenth = _Halving(eighth, sixteenth)
        self.sixteenth = _Stage(sixteenth, depths[2])
        self.norm = RateNorm(sixteenth)
        self.head = nn.Conv2d(sixteenth, latent_channels, 1)

    def forward(self, x: Tensor, rate: Rate = 0) -> Tensor:
        """(N, 3, H, W) in [-1, 1], H and W multiples of 16, to (N, D, H/16, W/16)."""
        return self.coarse(self.fine(x, rate), rate)

    def fine(self, x: Tensor, rate: Rate) -> Tensor:
        """The half above 1/16: image (N, 3, H, W) to (N, C, H/16, W/16)."""
        x = self.quarter(self.stem(unshuffle_4(x)), rate)
        return self.to_sixteenth(self.eighth(self.to_eighth(x), rate))

    def coarse(self, x: Tensor, rate: Rate) -> Tensor:
        """The half at 1/16: what :meth:`fine` gave to latents (N, D, h, w)."""
        return self.head(F.silu(self.norm(self.sixteenth(x, rate), rate)))


class LiteDecoder(nn.Module):
    """Latent to image, 16 times up.

    Args:
        latent_channels: D, the dimension of a codeword.
        depths: blocks at 1/4, 1/8 and 1/16.
        grain_channels: of the field of noise that it paints grain from; 0 for none.
    """

    def __init__(
        self,
        latent_channels: int = 8,
        depths: tuple[int, int, int] = (2, 3, 5),
        grain_channels: int = 0,
    ) -> None:
        super().__init__()
        quarter, eighth, sixteenth = WIDTHS
        self.stem = Convolution(latent_channels, sixteenth)
        self.sixteenth = _Stage(sixteenth, depths[2])
        self.to_eighth = nn.Conv2d(sixteenth, eighth, 1)
        self.eighth = _Stage(eighth, depths[1])
        self.to_quarter = nn.Conv2d(eighth, quarter, 1)
        self.quarter = _Stage(quarter, depths[0])
        self.norm = RateNorm(quarter)
        # Two shuffles by 2 with a convolution between them, not one by 4: neighbouring
        # output pixels share filters, so no 4-pixel grid shows in flat areas.
        self.to_half = Convolution(quarter, 4 * 32)
        self.head = Convolution(32, 4 * 3)
        self.grain = Grain(grain_channels, sixteenth) if grain_channels else None

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *arguments: Any
    ) -> None:
        """As torch's; grain is as in what was saved, if there was any."""
        channels = grain_channels(state_dict, prefix)
        if channels and (self.grain is None or len(self.grain.field) != channels):
            self.grain = Grain(channels, self.stem.weight.shape[0]).to(self.head.weight)
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def forward(self, z: Tensor, rate: Rate = 0, corner: Corner = (0, 0)) -> Tensor:
        """(N, D, h, w) to (N, 3, 16 h, 16 w), about [-1, 1] (not clipped).

        The map may be a part of a larger one, that begins at the position ``corner`` of it.
        """
        return self.fine(self.coarse(z, rate, corner), rate)

    def coarse(self, z: Tensor, rate: Rate, corner: Corner = (0, 0)) -> Tensor:
        """The half at 1/16: latents (N, D, h, w) to (N, C, h, w)."""
        x = self.stem(z)
        if self.grain is not None:
            x = x + self.grain(z.shape[-2], z.shape[-1], corner)
        return self.to_eighth(self.sixteenth(x, rate))

    def fine(self, x: Tensor, rate: Rate) -> Tensor:
        """The half above 1/16: what :meth:`coarse` gave to the image."""
        x = self.eighth(F.interpolate(x, scale_factor=2, mode="nearest"), rate)
        x = F.interpolate(self.to_quarter(x), scale_factor=2, mode="nearest")
        x = self.quarter(x, rate)
        x = F.pixel_shuffle(self.to_half(self.norm(x, rate), silu=True), 2)
        return shuffle_2(self.head(x, silu=True))
