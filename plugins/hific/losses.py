"""What HiFiC is trained for (Mentzer et al., 2020, section 3.3 and appendix A.6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

DISTORTION = 0.075 * 2**-5
"""k_M: weight of the squared error on the scale of 0 to 255."""

PERCEPTUAL = 1.0
"""k_P: weight of LPIPS."""

ADVERSARIAL = 0.15
"""beta: weight of the generator's adversarial term."""


@dataclass(frozen=True)
class RateTarget:
    """The switched rate weight that steers training to a rate.

    Args:
        bpp: the target, bits per pixel; 0.14, 0.3 and 0.45 as published.
        above: weight of the rate while it exceeds the target, lambda_A.
        below: weight otherwise, lambda_B.
    """

    bpp: float = 0.14
    above: float = 2.0
    below: float = 2**-4

    def loss(self, estimated: Tensor, actual: float, allowance: float = 1.0) -> Tensor:
        """The weighted rate.

        Args:
            estimated: bits per pixel of the noisy latents, differentiable.
            actual: bits per pixel of the rounded ones, which decide.
            allowance: factor of the target; above 1 while training warms up.
        """
        return (self.above if actual > allowance * self.bpp else self.below) * estimated


def bits_per_pixel(likelihoods: Iterable[Tensor], pixels: int) -> Tensor:
    """Bits that coding symbols of these probabilities takes, per pixel of all pictures."""
    bits = [-torch.log2(values.float()).sum() for values in likelihoods]
    return torch.stack(bits).sum() / pixels


def distortion(x: Tensor, x_hat: Tensor) -> Tensor:
    """Weighted mean squared error of pictures in [0, 1]."""
    return DISTORTION * 255**2 * F.mse_loss(x_hat.float(), x.float())


class AdversarialLoss(NamedTuple):
    """A pair of losses on patch logits of any shape."""

    kind: str = "non-saturating"

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Low when real patches score high and decoded ones low."""
        real, fake = real.float(), fake.float()
        if self.kind == "hinge":
            return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def generator(self, fake: Tensor) -> Tensor:
        """Low when decoded patches score high."""
        fake = fake.float()
        return -fake.mean() if self.kind == "hinge" else F.softplus(-fake).mean()
