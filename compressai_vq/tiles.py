"""A map cut into tiles that overlap: its parts can be computed one after the other.

What a network without statistics over space gives at a position hangs on the positions within
its receptive radius alone.  A tile that is computed with a margin of at least that radius,
and then loses the margin, is therefore the same as that part of the whole; where the map ends,
the margin does too, so that a convolution's zeros lie where they lie for the whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple


class Region(NamedTuple):
    """Rows ``top`` to ``bottom`` (exclusive) and columns ``left`` to ``right`` of a map."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    def grown(self, margin: int, bounds: Region) -> Region:
        """With ``margin`` more rows and columns on each side, as far as ``bounds`` has any."""
        return Region(
            max(self.top - margin, bounds.top),
            min(self.bottom + margin, bounds.bottom),
            max(self.left - margin, bounds.left),
            min(self.right + margin, bounds.right),
        )

    def slices(self, inside: Region | None = None, scale: int = 1) -> tuple[slice, slice]:
        """Where the region lies in a tensor, as an index of its last two dimensions.

        Args:
            inside: the region that the tensor holds; by default the whole map.
            scale: rows of the tensor for each row of the map.
        """
        top, left = (inside.top, inside.left) if inside else (0, 0)
        return (
            slice(scale * (self.top - top), scale * (self.bottom - top)),
            slice(scale * (self.left - left), scale * (self.right - left)),
        )


class Tile(NamedTuple):
    """What is wanted of a tile, and what it must be computed from."""

    inner: Region
    outer: Region


def whole(height: int, width: int) -> Region:
    """All of a map."""
    return Region(0, height, 0, width)


def tiles(region: Region, side: int, margin: int, bounds: Region) -> Iterator[Tile]:
    """Tiles of about equal size, row by row, that cover a region once.

    Args:
        region: what to cover.
        side: the most rows and the most columns of a tile without its margin.
        margin: added on each side where the map goes on.
        bounds: the map, or the part of it that is at hand.
    """
    for top, bottom in _cuts(region.top, region.bottom, side):
        for left, right in _cuts(region.left, region.right, side):
            inner = Region(top, bottom, left, right)
            yield Tile(inner, inner.grown(margin, bounds))


def _cuts(start: int, stop: int, longest: int) -> list[tuple[int, int]]:
    parts = -(-(stop - start) // longest)
    ends = [start + (stop - start) * n // parts for n in range(parts + 1)]
    return list(itertools.pairwise(ends))
