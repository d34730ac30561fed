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
from .network import PriorNetwork

POSITIONS_AT_ONCE = 1 << 16
"""Positions of a tile without its margin; for each the network holds a few KiB."""

_FEWEST_ROWS = 32  # of a band, so that margins stay a small part of it


def hidden_bands(
    network: PriorNetwork, known: Tensor, rate: int
) -> Iterator[tuple[int, int, Tensor]]:
    """What is known around each position, by bands of rows from top to bottom.

    Args:
        network: the integer network.
        known: int64 (h, w) in [0, K], K being a gap.  It may change while bands are taken:
            all of them are those of the map as it was at first.
        rate: one of the network's.

    Yields:
        First position of a band, and of what is behind it, in raster order, and what
        :meth:`PriorNetwork.hidden` gives for the positions between: integers in [0, 255],
        float32 or uint8 (positions, C).
    """
    height, width = known.shape
    if height * width <= POSITIONS_AT_ONCE:
        yield 0, height * width, network.hidden(known[None], rate).flatten(0, 2)
        return
    known = known.clone()
    everything, margin = whole(height, width), len(network.blocks)
    rows = min(max(POSITIONS_AT_ONCE // width, _FEWEST_ROWS), height)
    columns = min(max(POSITIONS_AT_ONCE // rows, 1), width)
    for top in range(0, height, rows):
        band = Region(top, min(top + rows, height), 0, width)
        hidden = torch.empty(
            (band.height, width, network.channels), dtype=torch.uint8, device=network.device
        )
        for inner, outer in tiles(band, max(rows, columns), margin, everything):
            found = network.hidden(known[outer.slices()][None], rate)[0]
            hidden[inner.slices(band)] = found[inner.slices(outer)].to(torch.uint8)
        yield width * band.top, width * band.bottom, hidden.flatten(0, 1)
