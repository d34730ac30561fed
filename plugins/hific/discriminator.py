"""HiFiC's discriminator: patches judged under the condition of the latent."""

from __future__ import annotations

import itertools

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.parametrizations import spectral_norm

_CONTEXT = 12
_SLOPE = 0.2


class Discriminator(nn.Module):
    """Pictures and the latents they were decoded from, to patch logits: high says "real".

    Four spectrally normalised convolutions of stride 2 on the picture joined with the
    latent, which is first reduced to 12 channels and enlarged to the picture's size
    (Mentzer et al., 2020, figure 2 and appendix A).

    Args:
        latent_channels: C of the latent.
        width: channels behind the first convolution; 64 as published.
    """

    def __init__(self, latent_channels: int, width: int = 64) -> None:
        super().__init__()
        self.context_conv = nn.Conv2d(
            latent_channels, _CONTEXT, 3, padding=1, padding_mode="reflect"
        )
        channels = [3 + _CONTEXT, *(width << n for n in range(4))]
        self.convolutions = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 4, 2, 1, padding_mode="reflect"))
            for before, after in itertools.pairwise(channels)
        )
        self.conv_out = nn.Conv2d(channels[-1], 1, 1)

    def forward(self, x: Tensor, y_hat: Tensor) -> Tensor:
        """Judge.

        Args:
            x: (N, 3, 16 h, 16 w) in [0, 1].
            y_hat: quantised latents (N, C, h, w) of the same pictures.

        Returns:
            Logits (N, 1, h, w).
        """
        context = F.leaky_relu(self.context_conv(y_hat), _SLOPE)
        enlarged = F.interpolate(context, x.shape[-2:], mode="nearest")
        features = torch.cat((x, enlarged), dim=1)
        for convolution in self.convolutions:
            features = F.leaky_relu(convolution(features), _SLOPE)
        return self.conv_out(features)
