"""The prior in training: floating point that can pretend to be the integer network."""

from __future__ import annotations

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ...prior.fixed_point import (
    ACTIVATION_BITS,
    EMBEDDING_BITS,
    EMBEDDING_MAX,
    LOGIT_BITS,
    STREAM_BITS,
    STREAM_MAX,
)
from ...prior.integer_layers import ACTIVATION_MAX, EXACT_LIMIT, WEIGHT_MAX

_MAX_SHIFT = 15  # of channels whose weights are next to nothing


def fraction_bits(weight: Tensor, bias: Tensor, to: int) -> Tensor:
    """Fractional bits that the 8-bit weights of each output channel can have.

    As many as keep the largest weight within 127 and every sum below 2^24.

    Args:
        weight: (out, ...), bias (out,).
        to: fractional bits of the layer's output.

    Returns:
        Whole numbers in fp32 (out,); the layer's shift is ``ACTIVATION_BITS + bits - to``.
    """
    flat = weight.detach().flatten(1).abs().float()
    largest = flat.amax(1).clamp(min=1e-12)
    total = flat.sum(1) * ACTIVATION_MAX + bias.detach().abs().float() * 2**ACTIVATION_BITS
    rounding = ACTIVATION_MAX * flat.shape[1] / 2 + (1 << _MAX_SHIFT)
    by_size = ((WEIGHT_MAX + 0.49) / largest).log2().floor()
    by_sum = ((EXACT_LIMIT - rounding) / total.clamp(min=1e-12)).log2().floor()
    least = max(to - ACTIVATION_BITS, 0)
    return torch.minimum(by_size, by_sum).clamp(least, _MAX_SHIFT + to - ACTIVATION_BITS)


def _round(x: Tensor) -> Tensor:
    """Rounds as the integer network does; its gradient is that of no rounding."""
    return x + (torch.floor(x.detach() + 0.5) - x.detach())


def fake_quantize(weight: Tensor, bias: Tensor, to: int) -> tuple[Tensor, Tensor]:
    """Weights and biases as the integer network will have them; see :func:`fraction_bits`."""
    bits = fraction_bits(weight, bias, to)
    scale = torch.exp2(bits).view(-1, *[1] * (weight.dim() - 1))
    weight = _round(weight * scale).clamp(-WEIGHT_MAX, WEIGHT_MAX) / scale
    unit = torch.exp2(bits + ACTIVATION_BITS)
    return weight, _round(bias * unit) / unit


class PriorModel(nn.Module):
    """The network of ``compressai_vq.prior.network`` with parameters.

    A rate's tables are functions of its codewords, the same functions at all rates, plus free
    values that start at zero: what is learned about one codeword serves its neighbours and
    the other rates.  Only the tables are exported.

    Args:
        codewords: (K, D) of each rate.
        log2_frequencies: (K,) of each rate; the logits' biases start there.
        channels: C.
        depth: L, the number of blocks.
    """

    def __init__(
        self,
        codewords: dict[int, Tensor],
        log2_frequencies: dict[int, Tensor],
        channels: int,
        depth: int,
    ) -> None:
        super().__init__()
        self.rates = sorted(codewords)
        dimensions = next(iter(codewords.values())).shape[1]
        spread = torch.cat(list(codewords.values())).std(0)
        for rate in self.rates:
            self.register_buffer(f"codewords_{rate}", codewords[rate] / spread)
        self.read = _table_function(dimensions, channels)
        self.write = _table_function(dimensions, channels)
        sizes = {rate: len(codewords[rate]) for rate in self.rates}
        self.read_free = _per_rate({r: torch.zeros(k + 1, channels) for r, k in sizes.items()})
        self.write_free = _per_rate({r: torch.zeros(k, channels) for r, k in sizes.items()})
        self.write_bias = _per_rate({r: log2_frequencies[r].clone() for r in self.rates})
        self.rate_bias = nn.Parameter(torch.zeros(len(self.rates), channels))
        self.gap = nn.Parameter(torch.zeros(channels))
        self.gather = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(depth)
        )
        mix = [nn.Conv2d(channels, channels, 1) for _ in range(depth)]
        for layer in mix:
            nn.init.zeros_(layer.weight)
        self.mix = nn.ModuleList(mix)

    def embedding(self, rate: int) -> Tensor:
        """The input table of a rate, (K + 1, C); its last row stands for a gap."""
        words = self.read(self.get_buffer(f"codewords_{rate}"))
        table = torch.cat([words, self.gap[None]]) + self.read_free[str(rate)]
        return table + self.rate_bias[self.rates.index(rate)]

    def head(self, rate: int) -> tuple[Tensor, Tensor]:
        """The output table of a rate: weight (K, C) and bias (K,), in bits."""
        words = self.write(self.get_buffer(f"codewords_{rate}")) + self.write_free[str(rate)]
        return words / math.sqrt(words.shape[1]), self.write_bias[str(rate)]

    def forward(self, indices: dict[int, Tensor], quantize: bool = False) -> dict[int, Tensor]:
        """Activations before the heads.

        Args:
            indices: by rate, int64 (N, h, w) with K for gaps; h and w are the same for all.
            quantize: round everything as the integer network does.

        Returns:
            By rate, (N, h, w, C), each within [0, 8).
        """
        tables = {rate: self.embedding(rate) for rate in indices}
        if quantize:
            unit, largest = 2.0**EMBEDDING_BITS, EMBEDDING_MAX
            tables = {
                rate: _round(table * unit).clamp(-largest, largest) / unit
                for rate, table in tables.items()
            }
        x = torch.cat([F.embedding(i, tables[r]) for r, i in indices.items()])
        x = x.permute(0, 3, 1, 2)  # channels-last memory
        for gather, mix in zip(self.gather, self.mix, strict=True):
            y = activate(
                _convolve(gather, activate(x, quantize), quantize, ACTIVATION_BITS), quantize
            )
            y = _convolve(mix, y, quantize, STREAM_BITS)
            x = x + (_round(y * 2.0**STREAM_BITS) / 2.0**STREAM_BITS if quantize else y)
            limit = STREAM_MAX / 2.0**STREAM_BITS
            x = F.hardtanh(x, -limit, limit)
        x = activate(x, quantize).permute(0, 2, 3, 1)
        return dict(zip(indices, x.split([len(i) for i in indices.values()]), strict=True))

    def logits(self, hidden: Tensor, rate: int, quantize: bool = False) -> Tensor:
        """Rows of what :meth:`forward` gives, (P, C), to (P, K) in bits."""
        weight, bias = self.head(rate)
        if quantize:
            weight, bias = fake_quantize(weight, bias, LOGIT_BITS)
        return F.linear(hidden, weight, bias)


def activate(x: Tensor, quantize: bool) -> Tensor:
    """ReLU with the integer network's upper limit and, if asked for, its steps."""
    unit = 2.0**ACTIVATION_BITS
    x = F.hardtanh(x, 0.0, ACTIVATION_MAX / unit)  # clamp's gradient takes four passes
    return _round(x * unit) / unit if quantize else x


def _convolve(layer: nn.Module, x: Tensor, quantize: bool, to: int) -> Tensor:
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    weight, bias = layer.weight, layer.bias
    if quantize:
        weight, bias = fake_quantize(weight, bias, to)
    return F.conv2d(x, weight, bias, padding=layer.padding)


def _table_function(dimensions: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(dimensions, channels),
        nn.GELU(),
        nn.Linear(channels, channels),
        nn.GELU(),
        nn.Linear(channels, channels),
    )


def _per_rate(tensors: dict[int, Tensor]) -> nn.ParameterDict:
    return nn.ParameterDict({str(rate): nn.Parameter(value) for rate, value in tensors.items()})
