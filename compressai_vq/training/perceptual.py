"""The training loss on pixels: L1, LPIPS made hard to cheat, and DISTS.

AlexNet's first layer has stride 4, so a decoder trained against it alone learns a dot
pattern on that grid which the metric rewards and the eye does not.  Here the pair of images
is shifted and rescaled at random before AlexNet sees it, and VGG16, which has no such
stride, judges a random window: feature by feature (LPIPS), or by the features' means and
covariances (DISTS, Ding et al., 2020), which asks for the right texture and not for every
hair in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..metrics.feature_distances import (
    dists_distance,
    dists_features,
    feature_distance,
    lpips_distance,
    lpips_features,
)
from ..metrics.lpips import load_lpips
from ..metrics.picture_metrics import load_metric
from ..networks import winograd
from ..networks.frozen_convolution import freeze_convolutions
from ..networks.memory_layout import channels_last


class PixelLoss(NamedTuple):
    """The loss, and VGG16's features of both pictures, one tensor a depth."""

    total: Tensor
    real: list[Tensor]
    fake: list[Tensor]


class PerceptualLoss(nn.Module):
    """L1 + ``alex`` LPIPS-AlexNet + ``vgg`` LPIPS-VGG16 + ``dists`` DISTS, means of a batch.

    Args:
        alex: weight of the AlexNet term.
        vgg: weight of the LPIPS-VGG16 term; 0 leaves the backbone unloaded.
        dists: weight of the DISTS term; likewise.
        window: side of the random window that VGG16 sees, in pixels.
        fp32: whether VGG16 will compute in fp32 on a CPU, where Winograd's filtering is faster.
    """

    def __init__(
        self,
        alex: float = 1.0,
        vgg: float = 1.0,
        dists: float = 0.0,
        window: int = 64,
        fp32: bool = False,
    ) -> None:
        super().__init__()
        self.alex, self.vgg, self.dists, self.window = alex, vgg, dists, window
        self.nets = nn.ModuleDict()
        if alex:
            self.nets["alex"] = load_lpips("alex")
        if vgg:
            self.nets["vgg"] = load_lpips("vgg")
        if dists:
            self.nets["dists"] = load_metric("dists")  # an extra, which not every run needs
        for name, net in self.nets.items():
            if fp32 and name != "alex" and winograd.available():
                freeze_convolutions(net)
            else:
                channels_last(net)

    def forward(self, x: Tensor, x_hat: Tensor, rng: np.random.Generator) -> PixelLoss:
        """Two batches (N, 3, S, S) in [-1, 1]; ``rng`` draws shift, scale and window."""
        loss = F.l1_loss(x_hat.float(), x)
        if self.alex:
            top, left = rng.integers(0, 8, size=2)
            a, b = x[..., top:, left:], x_hat[..., top:, left:]
            if rng.random() < 0.5:
                scale = float(rng.uniform(0.7, 1.3))
                a, b = (F.interpolate(i, scale_factor=scale, mode="bilinear") for i in (a, b))
            loss = loss + self.alex * lpips_distance(self.nets["alex"], a, b)
        if not self.vgg and not self.dists:
            return PixelLoss(loss, [], [])
        top, left = rng.integers(0, x.shape[-1] - self.window + 1, size=2)
        rows, columns = slice(top, top + self.window), slice(left, left + self.window)
        # Every other picture: VGG16 costs more than the codec itself.  Odd or even by lot, since
        # pictures are in the order of their rates.
        first = int(rng.integers(0, min(2, len(x))))
        a, b = x[first::2, :, rows, columns], x_hat[first::2, :, rows, columns]
        if self.dists:
            real, fake = _features(dists_features, self.nets["dists"], a, b)
            loss = loss + self.dists * dists_distance(self.nets["dists"], real, fake)
            real, fake = real[1:], fake[1:]  # without the pixels
        else:
            real, fake = _features(lpips_features, self.nets["vgg"], a, b)
        if self.vgg:
            loss = loss + self.vgg * feature_distance(self.nets["vgg"], real, fake)
        return PixelLoss(loss, real, fake)


def _features(
    of: Callable[[Any, Tensor], list[Tensor]], metric: Any, x: Tensor, x_hat: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Features of both pictures, those of ``x`` without gradient."""
    with torch.no_grad():
        reference = of(metric, x)
    return reference, of(metric, x_hat)
