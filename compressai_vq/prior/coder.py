"""Index maps to bytes and back with the prior, on CompressAI's rANS coder.

::

    for each pass of the order:
      indices known so far --network--> a distribution for each position of the pass
      each index --> its run, with the runs' CDF; then its place in it, with that run's CDF

All symbols go through one rANS stream: of a pass, by POSITIONS_AT_ONCE positions, first the
runs of all of them, then the places.  Encoder and decoder compute the same CDFs on any
machine, for the network's arithmetic is exact; see ``integer_layers.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from compressai import ans
from torch import Tensor

from ..errors import CodecError
from ..frequencies import PRECISION
from ..rans_limits import FEWEST_SYMBOLS, with_room
from .bands import hidden_bands, in_one_band
from .distribution import cumulative_rows, low_bits, weights_of
from .network import PriorNetwork
from .order import coding_order

POSITIONS_AT_ONCE = 1 << 12
"""Bounds memory.  Part of the format: it decides in which order symbols are written."""

_TOTAL = 1 << PRECISION

_SYMBOLS_AT_ONCE = 1 << 16  # as lists of numbers, which take some hundred bytes for each

# A stream has at least as many bits as its symbols' shares say.  Dividing whole numbers spares
# at most 2^-15 of the coder's state for a symbol, of which a position has one or two.
_SPARED_BITS = 2**-12

_FILLER = (0, _TOTAL - 1)  # as good as free


@dataclass(frozen=True)
class _Part:
    """Positions that are coded together, and what the prior knows of them."""

    positions: Tensor  # int64 (P,)
    weights: Tensor  # int64 (P, K)


class PriorCoder:
    """Codes index maps of all rates that the network has.

    Args:
        network: the integer network, on the device where it shall run.
    """

    def __init__(self, network: PriorNetwork) -> None:
        self.network = network

    def encode(self, indices: Tensor, rate: int) -> bytes:
        """An index map, integers (h, w), to a string of a multiple of 4 bytes.

        Raises:
            ValueError: for an empty map and for indices that are not in [0, K).
            CodecError: for a rate that the network does not have.
        """
        return _write(torch.cat(list(self._intervals(indices, rate)), 1))

    def likelihoods(self, indices: Tensor, rate: int) -> Tensor:
        """The probability that each index of a map (h, w) is coded with, fp32 (h, w).

        Raises:
            ValueError: as :meth:`encode`.
        """
        shares = torch.ones(indices.numel(), dtype=torch.float64)
        position = torch.cat(coding_order(*indices.shape)).cpu()
        at = 0
        levels = 2 if low_bits(self._size(rate)) else 1
        for part in self._intervals(indices, rate):
            share = (part[1] - part[0]).cpu().double() / _TOTAL
            share = share.view(levels, -1).prod(0)
            shares[position[at : at + len(share)]] = share
            at += len(share)
        return shares.view(indices.shape).float()

    def bits(self, indices: Tensor, rate: int) -> float:
        """How many bits :meth:`encode` needs for a map (h, w), less a few bytes at its end.

        Raises:
            ValueError: as :meth:`encode`.
        """
        parts = self._intervals(indices, rate)
        return sum(map(_bits, parts))

    def decode(self, string: bytes, height: int, width: int, rate: int) -> Tensor:
        """What :meth:`encode` gave to the map, int64 (height, width).

        Time and memory hang on the map's size at most, whatever the string; a string that is
        too short for what it says is refused as soon as that shows.

        Raises:
            CodecError: when the string is not one that :meth:`encode` writes for this size.
            ValueError: when the size is empty.
        """
        size = self._size(rate)
        if height < 1 or width < 1:
            raise ValueError("an index map cannot be empty")
        if len(string) < 8 or len(string) % 4:
            raise CodecError(f"index stream of {len(string)} bytes is damaged")
        low = low_bits(size)
        decoder = ans.RansDecoder()
        decoder.set_stream(with_room(string, (2 if low else 1) * height * width))
        known = torch.full((height * width,), size, device=self.network.device)
        intervals: list[Tensor] = []
        bits = 0.0

        def read(weights: Tensor) -> Tensor:
            nonlocal bits
            rows = cumulative_rows(weights).cpu()
            found = torch.tensor(_read(decoder, rows))
            intervals.append(_interval(rows, found).int())
            bits += _bits(intervals[-1])
            return found.to(weights.device)

        for part in self._parts(known, height, width, rate):
            if low:
                runs = part.weights.view(len(part.weights), -1, 1 << low)
                high = read(runs.sum(2))
                members = runs[torch.arange(len(runs), device=runs.device), high]
                found = high << low | read(members)
            else:
                found = read(part.weights)
            known[part.positions] = found
            if bits > 8 * len(string) + _SPARED_BITS * len(known):
                raise CodecError("index stream is damaged: it is too short for its image")
        # Decoding never fails by itself; but only the stream that was written comes out of
        # encoding its own result again.
        if _write(torch.cat(intervals, 1)) != string:
            raise CodecError(
                "index stream is damaged, or was written with another prior or by frequencies"
            )
        return known.view(height, width).cpu()

    def _size(self, rate: int) -> int:
        if rate not in self.network.sizes:
            raise CodecError(f"the prior has rates {sorted(self.network.sizes)}, not {rate}")
        return self.network.sizes[rate]

    def _parts(self, known: Tensor, height: int, width: int, rate: int) -> Iterator[_Part]:
        """The prior's weights in coding order.

        ``known`` (height * width,) is read anew at each pass: by then the caller has put the
        indices of earlier parts into it.
        """
        whole = in_one_band(height, width)
        first = self.network.first_sums(rate, height, width) if whole else None
        before: Tensor | None = None
        for coded in coding_order(height, width):
            coded = coded.to(known.device)
            if first is not None and before is not None:
                first.fill(before, known[before])
            before = coded
            waiting = torch.empty(0, self.network.channels, device=known.device, dtype=torch.uint8)
            start = 0
            shown = known.view(height, width)
            for hidden in hidden_bands(self.network, shown, rate, coded, first):
                waiting = torch.cat([waiting, hidden.to(torch.uint8)])
                seen = start + len(waiting)
                # A part ends where it did if there were one band.
                while len(waiting) >= POSITIONS_AT_ONCE or start < seen == len(coded):
                    positions = coded[start : start + POSITIONS_AT_ONCE]
                    logits = self.network.logits(waiting[: len(positions)], rate)
                    yield _Part(positions, weights_of(logits))
                    waiting = waiting[len(positions) :]
                    start += len(positions)

    def _intervals(self, indices: Tensor, rate: int) -> Iterator[Tensor]:
        """Start and end of each symbol's share, int64 (2, symbols), in the stream's order."""
        size = self._size(rate)
        if indices.dim() != 2 or not indices.numel():
            raise ValueError("an index map cannot be empty")
        if indices.min() < 0 or indices.max() >= size:
            raise ValueError(f"indices must be between 0 and {size - 1}")
        height, width = indices.shape
        flat = indices.to(self.network.device, torch.int64).flatten()
        known = torch.full_like(flat, size)
        low = low_bits(size)
        for part in self._parts(known, height, width, rate):
            coded = flat[part.positions]
            if low:
                runs = part.weights.view(len(coded), -1, 1 << low)
                high = coded >> low
                members = runs[torch.arange(len(coded), device=flat.device), high]
                both = [
                    _interval(cumulative_rows(runs.sum(2)), high),
                    _interval(cumulative_rows(members), coded & ((1 << low) - 1)),
                ]
                yield torch.cat(both, 1)
            else:
                yield _interval(cumulative_rows(part.weights), coded)
            known[part.positions] = coded


def _interval(rows: Tensor, symbols: Tensor) -> Tensor:
    """Start and end of each symbol's share in its CDF, (2, P)."""
    return rows.gather(1, torch.stack([symbols, symbols + 1], 1)).t()


def _bits(intervals: Tensor) -> float:
    return -((intervals[1] - intervals[0]).cpu().double() / _TOTAL).log2().sum().item()


def _write(intervals: Tensor) -> bytes:
    """The stream of symbols with these shares, (2, symbols).

    The encoder only reads the two entries around a symbol: so each one gets a CDF of three
    symbols with its own as the middle one, and no long rows are handed over.
    """
    coder = ans.BufferedRansEncoder()
    missing = max(FEWEST_SYMBOLS - intervals.shape[1], 0)
    fillers = torch.tensor([_FILLER] * missing).view(-1, 2).t().to(intervals)
    for part in torch.cat([intervals, fillers], 1).split(_SYMBOLS_AT_ONCE, 1):
        rows = [(0, start, end, _TOTAL, _TOTAL) for start, end in part.t().tolist()]
        count = len(rows)
        coder.encode_with_indexes([1] * count, list(range(count)), rows, [5] * count, [0] * count)
    return coder.flush()


def _read(decoder: Any, rows: Tensor) -> list[int]:
    """One symbol for each CDF, int64 (P, n + 1); the escape bin behind each has no mass."""
    count, entries = rows.shape
    escape = torch.full((count, 1), _TOTAL)
    lists = torch.cat([rows, escape], 1).tolist()
    return decoder.decode_stream(list(range(count)), lists, [entries + 1] * count, [0] * count)
