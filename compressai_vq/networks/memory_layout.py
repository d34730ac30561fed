"""How a network's weights lie in memory: inputs are given the same layout."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn as nn
from torch import Tensor

M = TypeVar("M", bound=nn.Module)


def channels_last(module: M) -> M:
    """Lay 4-dimensional weights out channels-last, in place; CPUs convolve faster so."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def like_weights(x: Tensor, network: nn.Module) -> Tensor:
    """``x`` in the number format and layout of a network's convolutions; pictures stay planes.

    Networks begin by moving a picture's pixels, and three channels side by side move slowly.
    """
    weight = _first_filters(network)
    last = x.shape[1] > 3 and weight.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    return x.to(weight.dtype).contiguous(memory_format=layout)


def number_format(network: nn.Module) -> torch.dtype:
    """Of a network's convolutions."""
    return _first_filters(network).dtype


def _first_filters(network: nn.Module) -> Tensor:
    # Of the modules, not the parameters: replicas of DataParallel have no parameters.
    convolutions = (m for m in network.modules() if isinstance(m, nn.Conv2d))
    return next(m.weight for m in convolutions if m.kernel_size[0] > 1)
