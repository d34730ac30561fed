from __future__ import annotations

import pytest
import torch

from compressai_vq.prior.order import NUM_PASSES, coding_order, pass_numbers

SHAPES = [(1, 1), (1, 2), (2, 1), (1, 40), (40, 1), (3, 5), (8, 8), (9, 17), (32, 48)]


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_every_position_is_coded_exactly_once(height: int, width: int) -> None:
    order = coding_order(height, width)
    assert 1 <= len(order) <= NUM_PASSES <= 10
    assert all(len(positions) for positions in order)
    everything = torch.cat(order).sort().values
    assert torch.equal(everything, torch.arange(height * width))


def test_the_first_pass_is_sparse_and_the_last_is_half_of_the_map() -> None:
    order = coding_order(32, 48)
    assert len(order) == NUM_PASSES
    assert len(order[0]) == 32 * 48 // 16
    assert len(order[-1]) == 32 * 48 // 2


def test_the_last_pass_knows_all_four_neighbours() -> None:
    numbers = pass_numbers(20, 31)
    last = numbers == NUM_PASSES - 1
    for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        assert (numbers.roll(shift, axis)[last & ~_edge(20, 31)] < NUM_PASSES - 1).all()


def test_the_order_of_a_small_map_is_that_of_a_large_maps_corner() -> None:
    assert torch.equal(pass_numbers(7, 5), pass_numbers(40, 40)[:7, :5])


def _edge(height: int, width: int) -> torch.Tensor:
    edge = torch.ones(height, width, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    return edge
