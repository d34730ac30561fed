"""The prior's network: an index map with gaps to a distribution at every position.

::

    index or gap --table--> stream (128)
      block, L times:  ReLU, 3x3, ReLU, 1x1, added to the stream
    ReLU --table--> K logits

Bidirectional: a position sees whatever is known around it, before or behind it in the map
(as the masked transformers of MaskGIT, Chang et al., 2022, do; here with local context, so
that cost is proportional to the number of positions).  The blocks are shared by all rates;
the two tables are a rate's own.  All arithmetic is exact: see ``integer_layers.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import CodecError
from . import byte_products
from .first_sums import FirstSums
from .fixed_point import (
    ACTIVATION_BITS,
    EMBEDDING_BITS,
    LOGIT_MAX,
    STREAM_BITS,
    STREAM_MAX,
)
from .integer_convolution import IntegerConvolution
from .integer_layers import ACTIVATION_MAX, IntegerLinear


@dataclass(frozen=True)
class Block:
    """One residual block.

    Args:
        gather: 3x3, from C to C channels.
        mix: 1x1, from C to C channels.
    """

    gather: IntegerConvolution
    mix: IntegerLinear


class PriorNetwork:
    """The integer network.

    It is no torch module on purpose: casting a codec to bf16 must not reach it.

    Args:
        embeddings: one table for each rate, int8 (K + 1, C); row K stands for a gap.
        blocks: the shared trunk.
        heads: one layer for each rate, C channels to K logits.

    Raises:
        CodecError: when there is no block, sizes do not fit together, or K is not a power of
            two from 2 to 4096.
    """

    def __init__(
        self,
        embeddings: dict[int, Tensor],
        blocks: list[Block],
        heads: dict[int, IntegerLinear],
    ) -> None:
        if not heads or embeddings.keys() != heads.keys():
            raise CodecError("the prior's tables are not those of the same rates")
        if not blocks:
            raise CodecError("the prior has no blocks")
        self.channels = next(iter(heads.values())).weight.shape[1]
        for rate, head in heads.items():
            size, table = len(head.weight), embeddings[rate]
            if not 2 <= size <= 4096 or size & (size - 1):
                raise CodecError(f"the prior cannot code {size} codewords: not a power of two")
            if table.shape != (size + 1, self.channels) or table.dtype != torch.int8:
                raise CodecError("a table of the prior has a wrong type or shape")
            if head.weight.shape[1] != self.channels:
                raise CodecError("the prior's layers do not fit together")
        for block in blocks:
            gather, mix = block.gather.weight.shape, block.mix.weight.shape
            if gather != (self.channels, 9 * self.channels) or mix != (self.channels,) * 2:
                raise CodecError("the prior's layers do not fit together")
        self.embeddings, self.blocks, self.heads = embeddings, blocks, heads
        self.device = torch.device("cpu")
        self._tables = {rate: table.float() for rate, table in embeddings.items()}
        self._of_gaps: dict[int, Tensor] = {}

    @property
    def sizes(self) -> dict[int, int]:
        """K of each rate."""
        return {rate: len(head.weight) for rate, head in self.heads.items()}

    def to(self, device: str | torch.device) -> PriorNetwork:
        """The network on a device, itself where it is there; it computes the same integers."""
        device = torch.device(device)
        if device == self.device:
            return self
        blocks = [Block(b.gather.to(device), b.mix.to(device)) for b in self.blocks]
        heads = {rate: head.to(device) for rate, head in self.heads.items()}
        moved = PriorNetwork(self.embeddings, blocks, heads)
        moved.device = device
        moved._tables = {rate: table.to(device) for rate, table in self._tables.items()}
        return moved

    @torch.no_grad()
    def hidden(
        self,
        indices: Tensor,
        rate: int,
        wanted: Tensor | None = None,
        first: FirstSums | None = None,
    ) -> Tensor:
        """What is known around each position.

        Args:
            indices: int64 (N, h, w) in [0, K]; K marks a gap.
            rate: one of ``sizes``.
            wanted: int64 (P,), positions of the flat (N h w), when only these are.
            first: of :meth:`first_sums`, filled with the same indices, which can save time; N is
                1.

        Returns:
            Integers in [0, 255] as float32 or uint8 (N, h, w, C), or (P, C) of those that are
            wanted.
        """
        kind = torch.uint8 if byte_products.available(self.device) else torch.float32
        with torch.autocast(self.device.type, enabled=False):
            table = self._tables[rate]
            x = F.embedding(indices.to(self.device), table).mul_(_OF_EMBEDDING)
            for number, block in enumerate(self.blocks, 1):
                only = wanted if number == len(self.blocks) else None
                if first is not None and number == 1:
                    y = first.results(0, ACTIVATION_MAX)
                    y = y if only is None else y.flatten(0, 2)[only]
                elif only is None:
                    y = block.gather.over(_activate(x, kind), 0, ACTIVATION_MAX)
                else:
                    y = block.gather.at(_activate(x, kind), only, 0, ACTIVATION_MAX)
                x = x if only is None else x.flatten(0, 2)[only]
                y = block.mix(y, -STREAM_MAX, STREAM_MAX)
                x = x.add_(y).clamp_(-STREAM_MAX, STREAM_MAX)
            return _activate(x, kind)

    def hidden_of_gaps(self, rate: int, height: int, width: int) -> Tensor:
        """:meth:`hidden` of a map of gaps, (height, width, C).

        The smallest with a middle that sees no edge is kept: all but small maps begin with it.
        """
        kept = height == width == 2 * len(self.blocks) + 1
        if kept and rate in self._of_gaps:
            return self._of_gaps[rate]
        gaps = torch.full((1, height, width), self.sizes[rate], device=self.device)
        hidden = self.hidden(gaps, rate)[0]
        if kept:
            self._of_gaps[rate] = hidden
        return hidden

    @torch.no_grad()
    def first_sums(self, rate: int, height: int, width: int) -> FirstSums | None:
        """For :meth:`hidden` of a map (height, width) of gaps that are filled bit by bit; None
        where that would be slower than computing the sums anew.
        """
        if byte_products.available(self.device):
            return None
        rows = _activate(self._tables[rate] * _OF_EMBEDDING, torch.float32)
        return FirstSums(self.blocks[0].gather, rows, height, width)

    @torch.no_grad()
    def logits(self, hidden: Tensor, rate: int) -> Tensor:
        """Rows of :meth:`hidden`, (P, C), to logits (P, K): integers within +-2^23 as float32,
        in 1/256 bits, up to a constant.
        """
        with torch.autocast(self.device.type, enabled=False):
            return self.heads[rate](hidden, -LOGIT_MAX, LOGIT_MAX)


def _activate(stream: Tensor, kind: torch.dtype) -> Tensor:
    """ReLU: stream to activation units, rounded; float32 or uint8."""
    steps = 1 << (STREAM_BITS - ACTIVATION_BITS)
    x = torch.add(_HALF, stream, alpha=1 / steps).clamp_(0, ACTIVATION_MAX)
    # Conversions round towards 0; torch's is fast by way of int16 only.
    return x.to(torch.int16).to(kind) if kind == torch.uint8 else x.floor_()


_OF_EMBEDDING = 1 << (STREAM_BITS - EMBEDDING_BITS)

_HALF = torch.tensor(0.5, dtype=torch.float32)
