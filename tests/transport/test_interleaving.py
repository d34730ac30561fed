from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compressai_vq.transport.interleaving import (
    PacketPositions,
    packet_numbers,
    split_positions,
    steps,
)

from ..fixtures import properties
from ..golden_files import check_golden

counts = st.integers(1, 60)


@properties
@given(st.integers(1, 20), st.integers(1, 20), counts)
def test_every_position_is_in_one_packet(height: int, width: int, count: int) -> None:
    parts = split_positions(height, width, count)
    assert len(parts) == count
    assert torch.cat(parts).sort().values.tolist() == list(range(height * width))
    numbers = packet_numbers(height, width, count).flatten()
    for number, positions in enumerate(parts):
        assert (numbers[positions] == number).all()
        assert positions.tolist() == sorted(positions.tolist())
        alone = PacketPositions(number, height, width, count)
        assert len(alone) == len(positions) and torch.equal(alone.positions(), positions)


def shortest(count: int, difference: int) -> int:
    """Squared distance between positions whose packets' numbers differ by so much; brute force."""
    side = 2 * count + 3 if count < 8 else 31
    numbers = packet_numbers(side, side, count)
    middle = side // 2
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    squared = (rows - middle) ** 2 + (columns - middle) ** 2
    wanted = (numbers - numbers[middle, middle]) % count == difference % count
    return int(squared[wanted & (squared > 0)].min())


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 12, 13, 16, 31, 50, 64])
def test_neighbours_are_in_different_packets(count: int) -> None:
    # A hexagonal lattice would have 1.15 P; no lattice of integers has quite that.
    assert shortest(count, 0) >= max(2, 0.66 * count)
    down, right = steps(count)
    assert 0 <= down < max(count, 2) and 0 < right < max(count, 2)


@pytest.mark.parametrize("count", [12, 16, 31, 50, 64])
def test_packets_of_consecutive_numbers_are_apart(count: int) -> None:
    assert shortest(count, 1) >= count / 4
    assert shortest(count, 2) > 1 or count == 12


def test_many_packets_are_spread_as_well() -> None:
    numbers = packet_numbers(256, 256, 1 << 14)
    sizes = torch.bincount(numbers.flatten(), minlength=1 << 14)
    assert sizes.min() >= 2 and sizes.max() <= 6


def test_the_pattern_stays_the_same_from_release_to_release() -> None:
    chosen = (*range(1, 33), 50, 64, 100, 257, 1000, 1 << 14)
    check_golden("interleaving", {str(count): list(steps(count)) for count in chosen})
