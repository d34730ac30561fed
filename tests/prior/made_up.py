"""A small prior whose weights are the same integers on every machine, and maps for it."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from compressai_vq.prior.coder import PriorCoder
from compressai_vq.prior.integer_convolution import IntegerConvolution
from compressai_vq.prior.integer_layers import IntegerLinear
from compressai_vq.prior.network import Block, PriorNetwork
from compressai_vq.rates import LADDER

CHANNELS = 12


def hashed(count: int, seed: int, limit: int) -> Tensor:
    """Integers in [-limit, limit], spread by a multiplicative hash (splitmix64)."""
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint64) + np.uint64(seed) * np.uint64(1 << 32)
        x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return torch.from_numpy((x % np.uint64(2 * limit + 1)).astype(np.int64) - limit)


def made_up_layer(out: int, into: int, seed: int, shift: int) -> IntegerLinear:
    return IntegerLinear(*_tensors(out, into, seed, shift))


def made_up_convolution(
    out: int, channels: int, seed: int, shift: int, limit: int = 127
) -> IntegerConvolution:
    return IntegerConvolution(*_tensors(out, 9 * channels, seed, shift, limit))


def _tensors(
    out: int, into: int, seed: int, shift: int, limit: int = 127
) -> tuple[Tensor, Tensor, Tensor]:
    weight = hashed(out * into, seed, limit).view(out, into)
    bias = hashed(out, seed + 1000, 1 << shift)
    shifts = shift + hashed(out, seed + 2000, 1)
    return weight.to(torch.int8), bias.to(torch.int32), shifts.to(torch.int8)


@functools.cache
def made_up_network(
    rates: tuple[int, ...] = tuple(range(len(LADDER))), channels: int = CHANNELS
) -> PriorNetwork:
    """Two blocks with random weights; distributions come out skewed, not uniform."""
    embeddings = {
        rate: hashed((LADDER[rate] + 1) * channels, 10 + rate, 127)
        .view(-1, channels)
        .to(torch.int8)
        for rate in rates
    }
    blocks = [
        Block(
            made_up_convolution(channels, channels, 30 + i, shift=9),
            made_up_layer(channels, channels, 40 + i, shift=5),
        )
        for i in range(2)
    ]
    heads = {rate: made_up_layer(LADDER[rate], channels, 50 + rate, shift=6) for rate in rates}
    return PriorNetwork(embeddings, blocks, heads)


@functools.cache
def made_up_coder() -> PriorCoder:
    """All nine rates; no test changes it."""
    return PriorCoder(made_up_network())


def random_map(rate: int, height: int, width: int, seed: int = 0) -> Tensor:
    size = LADDER[rate]
    return (hashed(height * width, seed + 77, 1 << 20) % size).view(height, width)


def likely_map(rate: int, height: int, width: int) -> Tensor:
    """The map of every position's most probable index, in coding order."""
    coder = made_up_coder()
    known = torch.full((height * width,), LADDER[rate])
    for part in coder._parts(known, height, width, rate):
        known[part.positions] = part.weights.argmax(1)
    return known.view(height, width)
