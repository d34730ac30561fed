"""A small training of the prior, on maps that are easy to predict or of a few rates."""

from __future__ import annotations

import dataclasses
import functools

import torch
from torch import Tensor

from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.rates import LADDER
from compressai_vq.training.prior.config import PriorConfig
from compressai_vq.training.prior.index_maps import IndexMaps

from ..fixtures import noise, seeded, untrained_weights

TINY = PriorConfig(
    steps=6,
    batch=4,
    masks=2,
    crop=160,
    channels=16,
    depth=2,
    learning_rate=1e-2,
    final_learning_rate=1e-4,
    warmup=4,
    weight_decay=0.01,
    average=0.8,
    random_share=0.25,
    quantize_from=4,
    seed=0,
    validation=3,
)


class Slopes(IndexMaps):
    """Index maps that grow by one from place to place: predictable from neighbours alone."""

    def __init__(self, rates: tuple[int, ...] = (0, 4)) -> None:
        self.device = torch.device("cpu")
        self.fingerprint = bytes(range(32))
        self.rates = list(rates)

    def codewords(self) -> dict[int, Tensor]:
        return {rate: torch.randn(LADDER[rate], 3, generator=seeded(rate)) for rate in self.rates}

    def log2_frequencies(self) -> dict[int, Tensor]:
        return {rate: torch.full((LADDER[rate],), -3.0 - rate) for rate in self.rates}

    def encode(self, images: Tensor, rate: int) -> Tensor:
        height, width = images.shape[2:]
        start = (images[:, 0, 0, 0] * 1000).long()[:, None, None]
        slope = torch.arange(height // 16)[:, None] + torch.arange(width // 16)
        return (start + slope) % LADDER[rate]


def pictures() -> list[Tensor]:
    return [noise(170, 160, seed) for seed in range(8)]


@functools.cache
def few_weights() -> LadderWeights:
    weights = untrained_weights()
    kept = {
        name: value
        for name, value in weights.tensors.items()
        if name.startswith(("encoder.", "decoder.")) or name.endswith((".2", ".9"))
    }
    return dataclasses.replace(weights, tensors=kept)


@functools.cache
def few_rates() -> IndexMaps:
    return IndexMaps(few_weights())
