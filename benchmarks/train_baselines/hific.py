"""HiFiC, small, with its discriminator, at low rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from compressai_vq.metrics.feature_distances import lpips_distance
from compressai_vq.metrics.lpips import load_lpips
from compressai_vq.networks.memory_layout import channels_last
from compressai_vq.plugins.hific.codec import HiFiC
from compressai_vq.plugins.hific.discriminator import Discriminator
from compressai_vq.plugins.hific.losses import (
    ADVERSARIAL,
    PERCEPTUAL,
    AdversarialLoss,
    RateTarget,
    bits_per_pixel,
    distortion,
)
from compressai_vq.precision import autocast

from .recipe import descend, learned
from .schedule import Moment, RateControl


@dataclass(frozen=True)
class HiFiCSettings:
    """Sizes and weights; the published model has widths 60 to 960, 220 latents, 9 blocks."""

    widths: tuple[int, ...] = (16, 32, 64, 128, 192)
    latent_channels: int = 64
    blocks: int = 3
    hyper_channels: int = 64
    discriminator_width: int = 32
    batch: int = 8
    crop: int = 128  # pixels a side; at least 128
    learning_rate: float = 3e-4  # at 1e-3 everything decodes to one colour
    discriminator_rate: float = 2e-4
    perceptual: float = PERCEPTUAL  # 0 leaves LPIPS's backbone unloaded
    adversarial: float = ADVERSARIAL
    adversarial_loss: str = "hinge"  # the paper's is "non-saturating"
    above: float = 4.0  # lambda_A to start from; it follows the target
    below: float = 2**-4  # lambda_B
    seed: int = 12


class HiFiCRecipe:
    """Warm-up on rate, MSE and LPIPS; then the discriminator joins (Mentzer et al., A.6).

    The published weights of the rate hold 0.14 bits per pixel.  At a fifth of that the
    squared error would outweigh them, so lambda_A is moved until it holds the target.
    """

    name = "hific"
    architecture = "hific"

    def __init__(self, settings: HiFiCSettings) -> None:
        self.settings = s = settings
        torch.manual_seed(s.seed)
        model = HiFiC(s.latent_channels, s.widths, s.blocks, s.hyper_channels)
        _start_from_grey(model)
        self.model = channels_last(model).train()
        self.discriminator = Discriminator(s.latent_channels, s.discriminator_width)
        channels_last(self.discriminator)
        self._lpips = channels_last(load_lpips("alex")) if s.perceptual else None
        self._losses = AdversarialLoss(s.adversarial_loss)
        groups = learned(self.model)
        self._parameters = [p for group in groups for p in group["params"]]
        self._judging = list(self.discriminator.parameters())
        self._optimizer = torch.optim.Adam(groups, s.learning_rate)
        self._judges_optimizer = torch.optim.Adam(
            self._judging, s.discriminator_rate, betas=(0.5, 0.99)
        )
        self._control = RateControl(s.above, False, (2 * s.below, 1e4))

    def train_step(self, x: Tensor, moment: Moment) -> dict[str, float]:
        """See :class:`.recipe.Recipe`."""
        s, pixels = self.settings, x.numel() // 3
        x = x.contiguous(memory_format=torch.channels_last)
        with autocast(x.device):
            y = self.model.analyze(x)
        # Differences of cumulative densities are lost in bfloat16.
        y = y.float()
        y_hat, likelihoods = self.model.code(y)
        with autocast(x.device):
            x_hat = self.model.synthesize(y_hat)
        estimated = bits_per_pixel(likelihoods.values(), pixels)
        actual = self._rounded_rate(y, pixels)
        above = self._control.weight if moment.controlled else s.below
        rate = RateTarget(moment.target, above, s.below)
        error = distortion(x, x_hat)
        loss = rate.loss(estimated, actual) + error
        figures = {"bpp": actual, "distortion": error.item(), "lambda_a": self._control.weight}
        if self._lpips is not None:
            with autocast(x.device):
                distance = lpips_distance(self._lpips, 2 * x - 1, 2 * x_hat - 1)
            loss = loss + s.perceptual * distance
            figures["lpips"] = distance.item()
        condition = y_hat.detach()
        if not moment.warming_up:
            self.discriminator.requires_grad_(False)
            loss = loss + s.adversarial * self._losses.generator(self._judge(x_hat, condition))
            self.discriminator.requires_grad_(True)
        finite = descend(
            loss, self._parameters, self._optimizer, moment.learning_rate * s.learning_rate
        )
        figures["skipped"] = float(not finite)
        if finite and moment.controlled:
            self._control.update(actual, moment.target)
        figures["discriminator"] = 0.0
        if not moment.warming_up:
            figures["discriminator"] = self._train_judge(x, x_hat.detach(), condition)
        return figures

    @torch.no_grad()
    def _rounded_rate(self, y: Tensor, pixels: int) -> float:
        self.model.eval()
        likelihoods = self.model.code(y.detach()).likelihoods
        self.model.train()
        return bits_per_pixel(likelihoods.values(), pixels).item()

    def _judge(self, x: Tensor, condition: Tensor) -> Tensor:
        with autocast(x.device):
            return self.discriminator(x.to(condition.dtype), condition)

    def _train_judge(self, real: Tensor, fake: Tensor, condition: Tensor) -> float:
        both = torch.cat((real, fake.to(real.dtype)))
        on_real, on_fake = self._judge(both, condition.repeat(2, 1, 1, 1)).chunk(2)
        loss = self._losses.discriminator(on_real, on_fake)
        descend(loss, self._judging, self._judges_optimizer, self.settings.discriminator_rate)
        return loss.item()

    def state(self) -> dict[str, Any]:
        """See :class:`.recipe.Recipe`."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "judges_optimizer": self._judges_optimizer.state_dict(),
            "control": self._control.state(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """See :class:`.recipe.Recipe`."""
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.discriminator.load_state_dict(state["discriminator"])
        self._judges_optimizer.load_state_dict(state["judges_optimizer"])
        self._control.resume(state["control"])


@torch.no_grad()
def _start_from_grey(model: HiFiC) -> None:
    """Let the untrained generator paint an almost even grey, its residual blocks do nothing.

    Else the first steps go into making a random picture fainter, and the shortest way there
    is an encoder that does not look at its input.
    """
    last = model.generator.conv_block_out[1]
    last.weight.mul_(0.1)
    last.bias.fill_(0.5)
    for name, parameter in model.generator.named_parameters():
        if name.endswith("norm2.gamma"):
            parameter.zero_()
