"""HiFiC's entropy model: mean and scale of each latent from a coded hyper-latent.

The mean and scale hyperprior of Minnen et al., 2018 (arXiv 1809.02736) on the factorised
density of Ballé et al., 2018 (arXiv 1802.01436), in the form of the reimplementation.
"""

from __future__ import annotations

import torch
import torch.nn as nn
from compressai.entropy_models import EntropyBottleneck
from torch import Tensor

HYPER_CHANNELS = 320


class HyperAnalysis(nn.Module):
    """Latent (N, C, 4 h, 4 w) to hyper-latent (N, M, h, w); h and w at least 2.

    Args:
        latent_channels: C.
        channels: M.
    """

    def __init__(self, latent_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(latent_channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 5, 2, 2, padding_mode="reflect")
        self.conv3 = nn.Conv2d(channels, channels, 5, 2, 2, padding_mode="reflect")

    def forward(self, y: Tensor) -> Tensor:
        """See the class."""
        return self.conv3(torch.relu(self.conv2(torch.relu(self.conv1(y)))))


class HyperSynthesis(nn.Module):
    """Quantised hyper-latent (N, M, h, w) to a parameter of each latent (N, C, 4 h, 4 w).

    Args:
        latent_channels: C.
        channels: M.
    """

    def __init__(self, latent_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.ConvTranspose2d(channels, channels, 5, 2, 2, 1)
        self.conv2 = nn.ConvTranspose2d(channels, channels, 5, 2, 2, 1)
        self.conv3 = nn.ConvTranspose2d(channels, latent_channels, 3, 1, 1)

    def forward(self, z: Tensor) -> Tensor:
        """See the class."""
        return self.conv3(torch.relu(self.conv2(torch.relu(self.conv1(z)))))


class Hyperprior(nn.Module):
    """The three networks; what they are coded with belongs to the codec.

    Scales are bounded from below by 0.11 in the coder; no softplus comes before that bound.
    """

    def __init__(self, latent_channels: int, channels: int) -> None:
        super().__init__()
        self.analysis_net = HyperAnalysis(latent_channels, channels)
        self.synthesis_mu = HyperSynthesis(latent_channels, channels)
        self.synthesis_std = HyperSynthesis(latent_channels, channels)


class HyperDensity(EntropyBottleneck):
    """The factorised density of hyper-latents, on CompressAI's contract.

    It differs from CompressAI's in three points, so that weights of the reimplementation
    keep their meaning: four layers instead of five, a nonlinearity behind the last of them
    too, and a grid of integers: hyper-latents are rounded as they are, not relative to the
    median.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, filters=(3, 3, 3))
        self.factors.append(nn.Parameter(torch.zeros(channels, 1, 1)))

    def _logits_cumulative(self, inputs: Tensor, stop_gradient: bool) -> Tensor:
        logits = super()._logits_cumulative(inputs, stop_gradient)
        factor = self.factors[-1].detach() if stop_gradient else self.factors[-1]
        return logits + torch.tanh(factor) * torch.tanh(logits)

    def _likelihood(
        self, inputs: Tensor, stop_gradient: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        lower = self._logits_cumulative(inputs - 0.5, stop_gradient)
        upper = self._logits_cumulative(inputs + 0.5, stop_gradient)
        # Far above the median both sigmoids are 1 in float32; below it their mirror images
        # are not.
        sign = -torch.sign(lower + upper).detach()
        likelihood = torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)
        return likelihood.abs(), lower, upper

    def _get_medians(self) -> Tensor:
        # Rounding relative to an integer is rounding.
        return self.quantiles[:, :, 1:2].round()

    def update(self, force: bool = False, update_quantiles: bool = False) -> bool:
        """Rebuild the coder's tables; returns whether that was done."""
        if self._offset.numel() > 0 and not force:
            return False
        if update_quantiles:
            self._update_quantiles()
        exact = self.quantiles.detach().clone()
        with torch.no_grad():
            self.quantiles[:, :, 1].round_()
        try:
            return super().update(force=True)
        finally:
            with torch.no_grad():
                self.quantiles.copy_(exact)
