"""The hinge discriminator: patches judged on features that the perceptual loss has anyway.

::

      VGG16 features of a picture, four depths, each vector of unit length
        |            |            |            |
      head 64      head 128     head 256     head 512
        |            |            |            |
      scores of patches of about 12, 30, 50 and 120 pixels: high says "a photograph"

The heads train in a handful of matrix products where a discriminator on pixels would cost
more than the codec itself, and they start from features that already tell textures apart
(Sauer et al., 2021, "Projected GANs Converge Faster").  The hinge loss and the adaptive
weight are those of Esser et al., 2021, "Taming Transformers", section 3.1, except that the
gradients compared are those on the decoded picture and not those on the decoder's last
layer, and that the comparison is made now and then, and averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn as nn
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn.utils.parametrizations import spectral_norm

_CHANNELS = (64, 128, 256, 512)  # of VGG16's relu1_2, relu2_2, relu3_3, relu4_3
_STRIDES = (2, 2, 1, 1)
_WIDTH = 48  # channels of a head
_LARGEST = 100.0  # of the adaptive weight


class Adversary(nn.Module):
    """Discriminator, its optimizer, and the weight of its term in the codec's loss.

    Args:
        fabric: the processes that share the discriminator; this one alone when left out.
        learning_rate: of the discriminator.
    """

    def __init__(self, fabric: Fabric | None = None, learning_rate: float = 2e-4) -> None:
        super().__init__()
        self.fabric = fabric
        self.heads = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(channels, _WIDTH, 1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(_WIDTH, _WIDTH, 3, stride, 1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(_WIDTH, 1, 1)),
            )
            for channels, stride in zip(_CHANNELS, _STRIDES, strict=True)
        )
        self.register_buffer("balance", torch.zeros(()))
        self.balance: Tensor
        self.optimizer = torch.optim.Adam(self.parameters(), learning_rate, betas=(0.5, 0.99))

    def scores(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Features of the first four depths (N, C, h, w) to patch scores (N, 1, h', w')."""
        return [
            head(F.normalize(feature.float()) * feature.shape[1] ** 0.5).float()
            for head, feature in zip(self.heads, features, strict=False)
        ]

    def fooled(self, features: Sequence[Tensor]) -> Tensor:
        """The codec's term: minus the mean score of decoded pictures."""
        self.requires_grad_(False)
        term = -torch.stack([score.mean() for score in self.scores(features)]).mean()
        self.requires_grad_(True)
        return term

    def weigh(self, reconstruction: Tensor, adversarial: Tensor, x_hat: Tensor) -> None:
        """Compare both terms' gradients on ``x_hat`` (N, 3, H, W) and adapt ``balance``."""
        norms = [
            torch.autograd.grad(term, x_hat, retain_graph=True)[0].float().norm()
            for term in (reconstruction, adversarial)
        ]
        target = self._shared((norms[0] / (norms[1] + 1e-6)).clamp(max=_LARGEST))
        self.balance.copy_(torch.lerp(self.balance, target, 0.1) if self.balance else target)

    def update(self, real: Sequence[Tensor], fake: Sequence[Tensor]) -> float:
        """One step of the discriminator on features without gradient; returns its loss."""
        terms = [
            (F.relu(1 - on_real).mean() + F.relu(1 + on_fake).mean()) / 2
            for on_real, on_fake in zip(
                self.scores([f.detach() for f in real]),
                self.scores([f.detach() for f in fake]),
                strict=True,
            )
        ]
        loss = torch.stack(terms).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad = self._shared(parameter.grad)
        self.optimizer.step()
        return loss.item()

    def _shared(self, value: Tensor) -> Tensor:
        """The mean over all processes."""
        if self.fabric is None or self.fabric.world_size == 1:
            return value
        return cast(Tensor, self.fabric.all_reduce(value, reduce_op="mean"))

    def state(self) -> dict[str, Any]:
        """What :meth:`resume` needs."""
        return {"model": self.state_dict(), "optimizer": self.optimizer.state_dict()}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
