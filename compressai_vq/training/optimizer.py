"""The optimizers of the codec's weights.

Muon (Jordan et al., 2024, "Muon: An optimizer for hidden layers in neural networks") makes the
update of a matrix orthogonal, so that every direction of it moves alike.  Here it has the
convolutions between wide layers, each as a matrix of its filters; AdamW has the rest: what meets
pixels and latents, normalisation, biases.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from ..errors import CodecError
from ..precision import for_training
from .muon import MuonInFp32

OPTIMIZERS = ("adamw", "muon")

_NARROWEST = 64  # input and output channels of a convolution that Muon has
_DECAY = 0.01


class MuonAndAdamW:
    """Both, with the part of :class:`torch.optim.Optimizer`'s interface that training needs.

    One learning rate serves both: Muon's updates are scaled to the root mean square that AdamW's
    have (Liu et al., 2025, "Muon is Scalable for LLM Training").

    Args:
        model: on the device and in the memory layout that it keeps; parameters that do not
            require a gradient are left alone.
        learning_rate: of both.
        decay: weight decay of both.
    """

    def __init__(self, model: nn.Module, learning_rate: float, decay: float = _DECAY) -> None:
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._matrices = [(p, as_matrix(p.detach(), p)) for p in self._trained if _is_hidden(p)]
        rest = [p for p in self._trained if not _is_hidden(p)]
        self._parts: list[torch.optim.Optimizer] = [adamw(rest, learning_rate, decay)]
        if self._matrices:
            matrices = [matrix for _, matrix in self._matrices]
            slow = for_training(matrices[0].device.type) == "32-true"
            muon = (MuonInFp32 if slow else torch.optim.Muon)(
                matrices, learning_rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
            )
            self._parts.append(muon)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Of both, to set the learning rate in."""
        return [group for part in self._parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget gradients."""
        for parameter in self._trained:
            parameter.grad = None

    def step(self) -> None:
        """Update every trained parameter by its gradient."""
        for parameter, matrix in self._matrices:
            gradient = parameter.grad
            matrix.grad = None if gradient is None else as_matrix(gradient, parameter)
        for part in self._parts:
            part.step()
        for _, matrix in self._matrices:
            matrix.grad = None

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs."""
        layouts = [_is_channels_last(p) for p, _ in self._matrices]
        return {"parts": [part.state_dict() for part in self._parts], "channels_last": layouts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        for part, saved in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(saved)
        # Where it was saved, weights may have been laid out in another way.
        layouts = state.get("channels_last", [True] * len(self._matrices))
        for (parameter, matrix), last in zip(self._matrices, layouts, strict=True):
            mean = self._parts[-1].state[matrix].get("momentum_buffer")
            if mean is not None and last != _is_channels_last(parameter):
                out, channels, *window = parameter.shape
                shape = (out, *window, channels) if last else parameter.shape
                order = (0, 3, 1, 2) if last else (0, 2, 3, 1)
                mean.copy_(mean.reshape(shape).permute(order).flatten(1))


def make_optimizer(
    name: str, model: nn.Module, learning_rate: float, decay: float = _DECAY
) -> MuonAndAdamW | torch.optim.AdamW:
    """The optimizer of one of :data:`OPTIMIZERS`.

    Raises:
        CodecError: for another name.
    """
    check_optimizer(name)
    if name == "muon":
        return MuonAndAdamW(model, learning_rate, decay)
    return adamw([p for p in model.parameters() if p.requires_grad], learning_rate, decay)


def check_optimizer(name: str) -> None:
    """Raise CodecError unless it is one of :data:`OPTIMIZERS`."""
    if name not in OPTIMIZERS:
        raise CodecError(f"optimizer is {' or '.join(OPTIMIZERS)}, not {name!r}")


def take_step(
    model: nn.Module, optimizer: MuonAndAdamW | torch.optim.Optimizer, step: int
) -> None:
    """Update a model by its gradients, clipped together to norm 1.

    Of several processes all have the same gradients, so that all of them fail or none.

    Args:
        model: whose gradients are there.
        optimizer: of its parameters.
        step: which one it is, for the message.

    Raises:
        CodecError: when a gradient is not finite; nothing has changed then.
    """
    if not torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).isfinite():
        raise CodecError(
            f"the gradients of step {step} are not finite: training goes on from the last state "
            "that was saved; give it a lower learning_rate"
        )
    optimizer.step()


def adamw(
    parameters: list[nn.Parameter], learning_rate: float, decay: float = _DECAY
) -> torch.optim.AdamW:
    """AdamW with this pipeline's settings."""
    return torch.optim.AdamW(parameters, learning_rate, betas=(0.9, 0.99), weight_decay=decay)


def as_matrix(filters: Tensor, like: Tensor) -> Tensor:
    """Filters (out, in, h, w) as a matrix, a row a filter.

    Args:
        filters: a weight or its gradient.
        like: the weight; columns are in the order of its memory, contiguous or channels-last,
            so that a weight's matrix is a view of it.
    """
    return (filters.permute(0, 2, 3, 1) if _is_channels_last(like) else filters).flatten(1)


def _is_channels_last(weight: Tensor) -> bool:
    return weight.is_contiguous(memory_format=torch.channels_last)


def _is_hidden(parameter: Tensor) -> bool:
    return parameter.ndim == 4 and min(parameter.shape[:2]) >= _NARROWEST
