"""What codewords would cost among their neighbours."""

from __future__ import annotations

import pytest
import torch

from compressai_vq.prior.coder import PriorCoder
from compressai_vq.prior.neighbour_bits import neighbour_bits
from compressai_vq.rates import LADDER

from .made_up import made_up_network, random_map

RATES = [0, 3, 8]


def _odd(height: int, width: int) -> torch.Tensor:
    return (torch.arange(height)[:, None] + torch.arange(width)) % 2 == 1


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (7, 1), (9, 14)])
def test_bits_are_those_of_a_distribution(rate: int, height: int, width: int) -> None:
    bits = neighbour_bits(made_up_network(), random_map(rate, height, width, 1), rate)
    assert bits.shape == (height, width, LADDER[rate])
    assert bits.min() >= 0
    torch.testing.assert_close(bits.exp2().reciprocal().sum(-1), torch.ones(height, width))


@pytest.mark.parametrize("rate", RATES)
def test_bits_of_the_last_pass_are_what_the_coder_needs(rate: int) -> None:
    # There alone all neighbours are known, as is supposed everywhere.
    indices = random_map(rate, 12, 9, 2)
    bits = neighbour_bits(made_up_network(), indices, rate)
    needed = -PriorCoder(made_up_network()).likelihoods(indices, rate).log2()
    chosen = bits.gather(-1, indices[..., None])[..., 0]
    last = _odd(12, 9) & (needed < 14)  # the coder rounds shares to 2^-16
    assert last.sum() > 20
    torch.testing.assert_close(chosen[last], needed[last], atol=0.1, rtol=0)


def test_the_position_itself_and_those_like_it_on_a_chessboard_do_not_count() -> None:
    one, other = random_map(3, 8, 8, 3), random_map(3, 8, 8, 4)
    mixed = torch.where(_odd(8, 8), other, one)
    network = made_up_network()
    bits, changed = neighbour_bits(network, one, 3), neighbour_bits(network, mixed, 3)
    assert torch.equal(bits[_odd(8, 8)], changed[_odd(8, 8)])
    assert not torch.equal(bits[~_odd(8, 8)], changed[~_odd(8, 8)])
