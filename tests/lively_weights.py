"""Untrained weights of which every layer plays a part, at every rate a different one."""

from __future__ import annotations

import dataclasses
import functools

import torch

from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.networks.grain import PERIOD
from compressai_vq.networks.lite import WIDTHS

from .fixtures import seeded, untrained_weights


@functools.cache
def lively_weights() -> LadderWeights:
    """Lite weights with grain, without layers of zeros and norms that are the same for all rates.

    Before training, residual blocks add nothing and all rates' norms are one: a network that
    lacked them would pass for the same.
    """
    weights = untrained_weights()
    random = seeded(5)
    tensors = dict(weights.tensors)
    for name, value in tensors.items():
        if "norm" in name:
            tensors[name] = (value + 0.3 * torch.randn(value.shape, generator=random)).half()
        elif not value.any():
            tensors[name] = (0.05 * torch.randn(value.shape, generator=random)).half()
    field = torch.randn((2, PERIOD, PERIOD), generator=random)
    project = 0.3 * torch.randn((WIDTHS[-1], 2, 1, 1), generator=random)
    tensors["decoder.grain.field"] = field.half()
    tensors["decoder.grain.project.weight"] = project.half()
    return dataclasses.replace(weights, tensors=tensors)
