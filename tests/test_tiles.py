"""Tiles cover a map once, and their margins end where the map does."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from compressai_vq.tiles import Region, tiles, whole

from .fixtures import properties

sides = st.integers(1, 25)


@properties
@given(sides, sides, st.integers(1, 15), st.integers(0, 9))
def test_tiles_cover_a_map_once(height: int, width: int, side: int, margin: int) -> None:
    covered = torch.zeros(height, width, dtype=torch.int64)
    everything = whole(height, width)
    for inner, outer in tiles(everything, side, margin, everything):
        assert 1 <= inner.height <= side and 1 <= inner.width <= side
        covered[inner.slices()] += 1
        assert outer.top == max(inner.top - margin, 0)
        assert outer.bottom == min(inner.bottom + margin, height)
        assert outer.left == max(inner.left - margin, 0)
        assert outer.right == min(inner.right + margin, width)
    assert (covered == 1).all()


def test_tiles_are_of_about_equal_size() -> None:
    everything = whole(1, 97)
    widths = [inner.width for inner, _ in tiles(everything, 96, 5, everything)]
    assert widths == [48, 49]


def test_tiles_of_a_part_of_the_map() -> None:
    part, bounds = Region(4, 9, 2, 7), Region(3, 12, 0, 8)
    covered = torch.zeros(12, 8, dtype=torch.int64)
    for inner, outer in tiles(part, 3, 2, bounds):
        covered[inner.slices()] += 1
        assert outer.top >= 3 and outer.bottom <= 12 and outer.right <= 8
    assert covered.sum() == part.height * part.width
    assert (covered[part.slices()] == 1).all()


def test_slices_are_relative_to_what_a_tensor_holds() -> None:
    held, wanted = Region(10, 20, 30, 50), Region(12, 15, 33, 50)
    numbers = torch.arange(60 * 60).view(60, 60)
    assert torch.equal(numbers[held.slices()][wanted.slices(held)], numbers[wanted.slices()])
    fine = numbers.repeat_interleave(4, 0).repeat_interleave(4, 1)
    coarse = fine[wanted.slices(scale=4)]
    assert torch.equal(coarse[::4, ::4], numbers[wanted.slices()])
    assert torch.equal(fine[held.slices(scale=4)][wanted.slices(held, 4)], coarse)
