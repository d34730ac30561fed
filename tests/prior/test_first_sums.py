"""Sums that follow a map while it is filled: those of the map computed anew."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compressai_vq.prior.first_sums import FirstSums
from compressai_vq.prior.integer_layers import ACTIVATION_MAX
from compressai_vq.prior.order import coding_order
from compressai_vq.rates import LADDER

from .machines import computing, without_byte_products
from .made_up import hashed, made_up_convolution, made_up_network, random_map

RATE = 3


@pytest.fixture(autouse=True)
def in_float32() -> Iterator[None]:
    """Elsewhere the network does without them."""
    with without_byte_products():
        yield


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    seed=st.integers(0, 99),
    at_once=st.integers(1, 30),
)
def test_they_are_the_convolution_of_the_map_as_it_is(
    height: int, width: int, seed: int, at_once: int
) -> None:
    """Also where sums come close to 2^24 and have all their bits."""
    gather = made_up_convolution(6, 40, seed, shift=2)
    rows = hashed(21 * 40, seed + 1, 127).view(21, 40).abs() * 2 + 1  # up to 255
    first = FirstSums(gather, rows.float(), height, width)
    indices = torch.full((height * width,), 20)
    order = hashed(height * width, seed, 1 << 20).argsort()
    for some in (order[:0], *order.split(at_once)):
        indices[some] = hashed(len(some), seed + 2, 1 << 20) % 20
        first.fill(some, indices[some])
        x = rows.float()[indices].view(1, height, width, -1)
        assert torch.equal(first.results(-(1 << 23), 1 << 23), gather.over(x, -(1 << 23), 1 << 23))


@pytest.mark.parametrize("shape", [(13, 11), (1, 7), (6, 1), (1, 1), (32, 48)])
def test_the_network_computes_the_same_with_them(shape: tuple[int, int]) -> None:
    network, indices = made_up_network(), random_map(RATE, *shape).flatten()
    known = torch.full_like(indices, LADDER[RATE])
    first = network.first_sums(RATE, *shape)
    assert first is not None
    for coded in coding_order(*shape):
        shown = known.view(1, *shape)
        whole = network.hidden(shown, RATE)
        assert torch.equal(network.hidden(shown, RATE, None, first), whole)
        assert torch.equal(network.hidden(shown, RATE, coded, first), whole.flatten(0, 2)[coded])
        known[coded] = indices[coded]
        first.fill(coded, known[coded])


def test_a_network_of_one_block() -> None:
    network = made_up_network()
    short = type(network)(network.embeddings, network.blocks[:1], network.heads)
    gaps = torch.full((1, 5, 6), LADDER[RATE])
    wanted = torch.tensor([3, 17])
    found = short.hidden(gaps, RATE, wanted, short.first_sums(RATE, 5, 6))
    assert torch.equal(found, short.hidden(gaps, RATE).flatten(0, 2)[wanted])


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_they_are_the_same_whatever_a_caller_has_set() -> None:
    network, indices = made_up_network(), random_map(RATE, 9, 8)
    positions = torch.arange(0, 72, 3)

    def results() -> torch.Tensor:
        first = network.first_sums(RATE, 9, 8)
        assert first is not None
        first.fill(positions, indices.flatten()[positions])
        return first.results(0, ACTIVATION_MAX)

    exact = results()
    with computing(threads=2, precision="medium"), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(results(), exact)
