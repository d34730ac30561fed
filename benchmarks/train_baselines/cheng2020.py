"""Cheng2020 (arXiv 2001.01568), CompressAI's ``cheng2020-anchor``, for MSE at low rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from compressai.models import Cheng2020Anchor
from torch import Tensor

from compressai_vq.plugins.hific.losses import bits_per_pixel
from compressai_vq.precision import autocast

from .recipe import descend, learned
from .schedule import Moment, RateControl


@dataclass(frozen=True)
class Cheng2020Settings:
    """Sizes and rates of learning; the published model has N = 128 to 192."""

    width: int = 64  # N
    batch: int = 8
    crop: int = 128  # pixels a side
    learning_rate: float = 8e-4
    distortion: float = 2e-3  # lambda, to start from
    seed: int = 11


class MixedPrecisionAnchor(Cheng2020Anchor):
    """The same model; its transforms can run in bfloat16 while the entropy models do not.

    Nothing is laid out channels-last: on CPUs, torch 2.12's backward pass of this model then
    corrupts memory.
    """

    def forward(self, x: Tensor) -> dict[str, Any]:
        """As CompressAI's in training mode, but for what the decoder sees.

        Noise stands in for rounding where the rate is estimated only; the decoder is given
        rounded latents, and their gradients pass straight through (Minnen & Singh 2020, 3.4).
        At a few hundredths of a bit per pixel nearly all latents round to their means, and a
        decoder that learned from noise has learned another task than it is given in use.

        Returns:
            As CompressAI's, and ``rounded_likelihoods``: nearly those of what would be coded, of
            which each value's context is what has been coded before it.
        """
        with autocast(x.device):
            y = self.g_a(x)
        y = y.float()
        z = self.h_a(y)
        z_hat, z_likelihoods = self.entropy_bottleneck(z)
        noisy = self.gaussian_conditional.quantize(y, "noise")
        scales, means = self._entropy_parameters(z_hat, noisy)
        _, y_likelihoods = self.gaussian_conditional(y, scales, means=means)
        rounded = self.gaussian_conditional.quantize(y, "dequantize", means)
        y_hat = y + (rounded - y).detach()
        with autocast(x.device):
            x_hat = self.g_s(y_hat)
        return {
            "x_hat": x_hat.float(),
            "likelihoods": {"y": y_likelihoods, "z": z_likelihoods},
            "rounded_likelihoods": self._rounded_likelihoods(y, y_hat, z),
        }

    def _entropy_parameters(self, z_hat: Tensor, y_hat: Tensor) -> tuple[Tensor, Tensor]:
        context = torch.cat((self.h_s(z_hat), self.context_prediction(y_hat)), dim=1)
        scales, means = self.entropy_parameters(context).chunk(2, 1)
        return scales, means

    @torch.no_grad()
    def _rounded_likelihoods(self, y: Tensor, y_hat: Tensor, z: Tensor) -> dict[str, Tensor]:
        training = self.training
        self.eval()
        z_hat, z_likelihoods = self.entropy_bottleneck(z)
        scales, means = self._entropy_parameters(z_hat, y_hat)
        _, y_likelihoods = self.gaussian_conditional(y, scales, means=means)
        self.train(training)
        return {"y": y_likelihoods, "z": z_likelihoods}


class Cheng2020Recipe:
    """Rate plus lambda times the squared error; lambda follows the schedule's targets.

    The loss has the rate of noisy latents, which has a floor above the lowest targets; lambda
    is steered by the rate of rounded ones, which files have.
    """

    name = "cheng2020"
    architecture = "cheng2020-anchor"

    def __init__(self, settings: Cheng2020Settings) -> None:
        self.settings = settings
        torch.manual_seed(settings.seed)
        self.model = MixedPrecisionAnchor(settings.width).train()
        groups = learned(self.model)
        self._parameters = [p for group in groups for p in group["params"]]
        self._optimizer = torch.optim.Adam(groups, settings.learning_rate)
        self._control = RateControl(settings.distortion, True, (1e-6, 0.05))

    def train_step(self, x: Tensor, moment: Moment) -> dict[str, float]:
        """See :class:`.recipe.Recipe`."""
        x = x.contiguous()
        out = self.model(x)
        pixels = x.numel() // 3
        estimated = bits_per_pixel(out["likelihoods"].values(), pixels)
        actual = bits_per_pixel(out["rounded_likelihoods"].values(), pixels).item()
        error = F.mse_loss(out["x_hat"], x)
        loss = self._control.weight * 255**2 * error + estimated
        rate = moment.learning_rate * self.settings.learning_rate
        finite = descend(loss, self._parameters, self._optimizer, rate)
        if finite and moment.controlled:
            self._control.update(actual, moment.target)
        return {
            "bpp": actual,
            "noisy_bpp": estimated.item(),
            "psnr": -10 * error.detach().log10().item(),
            "lambda": self._control.weight,
            "skipped": float(not finite),
        }

    def state(self) -> dict[str, Any]:
        """See :class:`.recipe.Recipe`."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "control": self._control.state(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """See :class:`.recipe.Recipe`."""
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._control.resume(state["control"])
