"""The prior's network over large maps: some rows at a time, the same integers.

Each of its blocks sees one position further, and all its sums are exact: rows that are
computed with a margin of as many rows as there are blocks are those of the whole map, bit for
bit.  Wide maps are cut into columns likewise.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..tiles import Region, tiles, whole
from .first_sums import FirstSums
from .network import PriorNetwork

BAND_POSITIONS = 1 << 16
"""Positions of a tile without its margin; for each the network holds a few KiB."""

_FEWEST_ROWS = 32  # of a band, so that margins stay a small part of it


def in_one_band(height: int, width: int) -> bool:
    """Whether a map is small enough to be taken as a whole."""
    return height * width <= BAND_POSITIONS


def hidden_bands(
    network: PriorNetwork,
    known: Tensor,
    rate: int,
    wanted: Tensor,
    first: FirstSums | None = None,
) -> Iterator[Tensor]:
    """What is known around some positions, by bands of rows from top to bottom.

    Args:
        network: the integer network.
        known: int64 (h, w) in [0, K], K being a gap.  It may change while bands are taken:
            all of them are those of the map as it was at first.
        rate: one of the network's.
        wanted: int64 (P,), positions of the flat map, ascending.
        first: of the network, filled with the same indices; only for maps of one band.

    Yields:
        What :meth:`PriorNetwork.hidden` gives for the next of them: integers in [0, 255],
        float32 or uint8 (positions, C).
    """
    height, width = known.shape
    if bool((known == network.sizes[rate]).all()):
        yield from _of_gaps(network, height, width, rate, wanted)
        return
    if in_one_band(height, width):
        yield network.hidden(known[None], rate, wanted, first)
        return
    known = known.clone()
    everything, margin = whole(height, width), len(network.blocks)
    rows = min(max(BAND_POSITIONS // width, _FEWEST_ROWS), height)
    columns = min(max(BAND_POSITIONS // rows, 1), width)
    for top in range(0, height, rows):
        band = Region(top, min(top + rows, height), 0, width)
        ends = torch.tensor([width * band.top, width * band.bottom], device=wanted.device)
        begin, end = torch.searchsorted(wanted, ends).tolist()
        row, column = wanted[begin:end] // width, wanted[begin:end] % width
        hidden = torch.empty(
            (len(row), network.channels), dtype=torch.uint8, device=network.device
        )
        # Tiles have all rows of the band.
        for inner, outer in tiles(band, max(rows, columns), margin, everything):
            (here,) = ((column >= inner.left) & (column < inner.right)).nonzero(as_tuple=True)
            there = (row[here] - outer.top) * outer.width + column[here] - outer.left
            found = network.hidden(known[outer.slices()][None], rate, there)
            hidden[here] = found.to(torch.uint8)
        yield hidden


def _of_gaps(
    network: PriorNetwork, height: int, width: int, rate: int, wanted: Tensor
) -> Iterator[Tensor]:
    """Of a map of gaps: all that the network sees of it is how far its edges are."""
    sight = len(network.blocks)
    seen = [min(length, 2 * sight + 1) for length in (height, width)]
    hidden = network.hidden_of_gaps(rate, *seen)
    for positions in wanted.split(BAND_POSITIONS):
        row, column = (
            place.clamp(max=sight) + (place - (length - 1 - sight)).clamp(min=0)
            if length > 2 * sight + 1
            else place
            for place, length in ((positions // width, height), (positions % width, width))
        )
        yield hidden[row, column]
