"""Which packet carries which position of an index map.

Packet number of row r and column c, of P packets: ``(a r + b c) mod P``.  The positions of one
packet are a lattice: what a lost packet leaves are single gaps, as far from each other as they
can be, each with all its neighbours known.  Bursts lose packets of consecutive numbers, so
these too are kept apart.

``a`` and ``b`` follow from P alone, by integer arithmetic: they are part of the format.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@functools.lru_cache(maxsize=256)
def steps(count: int) -> tuple[int, int]:
    """``(a, b)`` for a number of packets.

    First the lattice ``r a' + c = 0 (mod P)`` whose shortest vector is longest is chosen, then
    the factor that takes ``(a', 1)`` to ``(a, b)``: the one that puts packets of numbers 1
    apart, then 2, as far from each other as this lattice allows.  The smallest of equals.
    """
    if count < 3:
        return (1, 1)  # a chessboard, or everything
    slope = int(np.argmax(_shortest_vectors(count)))
    distances = _distances(count, slope)
    best, factor = (-1, -1), 1
    for inverse in range(1, count):
        if math.gcd(inverse, count) > 1:
            continue
        # Numbers that differ by one differ by `inverse` in the lattice's own count.
        found = (int(distances[inverse]), int(distances[2 * inverse % count]))
        if found > best:
            best, factor = found, pow(inverse, -1, count)
    return slope * factor % count, factor


def packet_numbers(height: int, width: int, count: int) -> Tensor:
    """The packet of each position: int64 (height, width), each in [0, count)."""
    down, right = steps(count)
    rows, columns = torch.arange(height), torch.arange(width)
    return (down * rows[:, None] + right * columns) % count


def split_positions(height: int, width: int, count: int) -> list[Tensor]:
    """The positions of each packet, in raster order: ``count`` tensors, int64 (n,).

    A position is ``row * width + column``.  Of small maps some packets carry nothing.
    """
    numbers = packet_numbers(height, width, count).flatten()
    order = numbers.argsort(stable=True)
    return list(order.split(torch.bincount(numbers, minlength=count).tolist()))


class PacketPositions:
    """Where one packet's positions are, without the whole map: its rows alone are looked at.

    Args:
        number: of the packet.
        height: of the index map.
        width: likewise.
        count: of packets.
    """

    def __init__(self, number: int, height: int, width: int, count: int) -> None:
        down, right = steps(count)
        rows = torch.arange(height)
        # In a row every `count`-th column is the packet's: `right` and `count` have no common
        # factor.
        column = (number - down * rows) * pow(right, -1, count) % count
        self._in_row = (width - column + count - 1).div(count, rounding_mode="floor").clamp(min=0)
        self._first = width * rows + column
        self._count = count

    def __len__(self) -> int:
        return int(self._in_row.sum())

    def positions(self) -> Tensor:
        """As :func:`split_positions` has them, int64 (n,)."""
        before = self._in_row.cumsum(0) - self._in_row
        within = torch.arange(len(self)) - before.repeat_interleave(self._in_row)
        return self._first.repeat_interleave(self._in_row) + self._count * within


def _reach(count: int) -> int:
    """No lattice of this many classes has a shortest vector beyond it: sqrt(2 / sqrt(3) P)."""
    return math.isqrt(2 * count) + 1


def _shortest_vectors(count: int) -> NDArray[np.int64]:
    """Squared length of the shortest vector of the lattice of each slope in [0, count)."""
    slopes = np.arange(count)
    shortest = np.full(count, count * count)  # (0, count) is in all of them
    for row in range(1, _reach(count) + 1):
        column = -slopes * row % count
        column = np.minimum(column, count - column)
        shortest = np.minimum(shortest, row * row + column * column)
    return shortest


def _distances(count: int, slope: int) -> NDArray[np.int64]:
    """Squared distance from a position to the nearest of each class of a slope's lattice."""
    nearest = np.full(count, count * count)
    columns = np.arange(-(count // 2), (count + 1) // 2)
    for row in range(-_reach(count), _reach(count) + 1):
        found = (slope * row + columns) % count
        nearest[found] = np.minimum(nearest[found], row * row + columns * columns)
    return nearest
