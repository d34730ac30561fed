"""What the training loop asks of a baseline."""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn as nn
from torch import Tensor

from .schedule import Moment


class Recipe(Protocol):
    """A model, its losses and optimizers."""

    name: str
    """Of the run's folder and of the operating points' files."""
    architecture: str
    """The model's name in CompressAI's zoo."""
    model: Any
    """A CompressionModel."""
    settings: Any
    """A dataclass, kept in the provenance; has ``batch``, ``crop`` and ``seed``."""

    def train_step(self, x: Tensor, moment: Moment) -> dict[str, float]:
        """One step on pictures (N, 3, S, S) in [0, 1]; returns figures for the log."""

    def state(self) -> dict[str, Any]:
        """Everything that :meth:`resume` needs."""

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""


def descend(
    loss: Tensor, parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer, rate: float
) -> bool:
    """One clipped step at a learning rate; not made, and False, when gradients are not finite.

    A parameter group's ``factor`` multiplies the rate.

    A single NaN that reached the weights would end a run that nobody watches.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    finite = bool(torch.nn.utils.clip_grad_norm_(parameters, 1.0).isfinite())
    if finite:
        optimizer.step()
    return finite


def learned(model: nn.Module) -> list[dict[str, Any]]:
    """Parameter groups of what losses reach: all but quantiles, which export computes.

    The density of hyper-latents starts at 4 bits a value, which alone is more than the rates
    wanted here; at the networks' pace it would still be wide when the run ends.
    """
    named = [(n, p) for n, p in model.named_parameters() if not n.endswith("quantiles")]
    density = [p for name, p in named if name.startswith("entropy_bottleneck.")]
    networks = [p for name, p in named if not name.startswith("entropy_bottleneck.")]
    return [{"params": networks, "factor": 1.0}, {"params": density, "factor": 10.0}]
