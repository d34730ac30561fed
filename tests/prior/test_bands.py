"""The prior's network in bands and columns: the same integers, hence the same bytes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.prior import bands
from compressai_vq.prior.bands import hidden_bands
from compressai_vq.prior.coder import PriorCoder
from compressai_vq.prior.first_sums import FirstSums
from compressai_vq.prior.network import PriorNetwork
from compressai_vq.rates import LADDER

from .made_up import likely_map, made_up_coder, made_up_network, random_map

pytestmark = pytest.mark.usefixtures("products")

RATE = 3


@pytest.fixture
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "BAND_POSITIONS", 40)
    monkeypatch.setattr(bands, "_FEWEST_ROWS", 4)


SHAPES = [(30, 12), (5, 70), (90, 1), (1, 90), (17, 17)]


@pytest.mark.usefixtures("small_bands")
@pytest.mark.parametrize("every", [1, 3, 50])
@pytest.mark.parametrize("shape", SHAPES)
def test_bands_have_the_integers_of_the_whole_map(shape: tuple[int, int], every: int) -> None:
    known = random_map(RATE, *shape)
    wanted = torch.arange(0, known.numel(), every)
    whole = made_up_network().hidden(known[None], RATE).flatten(0, 2)
    bands = list(hidden_bands(made_up_network(), known, RATE, wanted))
    assert len(bands) > 1 or shape[0] == 1
    assert torch.equal(torch.cat(bands).long(), whole[wanted].long())


@pytest.mark.usefixtures("small_bands")
def test_bands_are_of_the_map_as_it_was_at_first() -> None:
    known = random_map(RATE, 30, 12)
    whole = made_up_network().hidden(known[None], RATE).flatten(0, 2)
    at = 0
    for hidden in hidden_bands(made_up_network(), known, RATE, torch.arange(len(whole))):
        known.fill_(0)
        assert torch.equal(hidden.float(), whole[at : at + len(hidden)])
        at += len(hidden)


@pytest.mark.parametrize("shape", [*SHAPES, (5, 5), (6, 4), (3, 2)])
def test_a_map_of_gaps_is_computed_from_a_small_one(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    gaps = torch.full(shape, LADDER[RATE])
    whole = made_up_network().hidden(gaps[None], RATE).flatten(0, 2)
    wanted = torch.arange(0, len(whole), 2)
    calls = spy(monkeypatch)
    known = made_up_network()
    network = PriorNetwork(known.embeddings, known.blocks, known.heads)  # keeps nothing yet
    for _ in range(2):
        found = torch.cat(list(hidden_bands(network, gaps, RATE, wanted)))
        assert torch.equal(found, whole[wanted])
    small = min(shape) < 5
    assert len(calls) == (2 if small else 1)  # what most maps begin with is kept
    assert max(calls) <= 25  # it sees two blocks far


@pytest.mark.parametrize("rate", [RATE, 8])
@pytest.mark.parametrize("shape", [(30, 12), (5, 70), (90, 1)])
def test_streams_are_the_same(
    rate: int, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compressai_vq.prior.coder.POSITIONS_AT_ONCE", 30)
    indices = random_map(rate, *shape)
    string = made_up_coder().encode(indices, rate)
    calls = spy(monkeypatch)
    assert made_up_coder().encode(indices, rate) == string
    assert 1 <= len(calls) <= 6  # one for each pass
    calls.clear()
    monkeypatch.setattr(bands, "BAND_POSITIONS", 40)
    monkeypatch.setattr(bands, "_FEWEST_ROWS", 4)
    monkeypatch.setattr("compressai_vq.prior.coder._SYMBOLS_AT_ONCE", 7)
    assert made_up_coder().encode(indices, rate) == string
    assert torch.equal(made_up_coder().decode(string, *shape, rate), indices)
    assert len(calls) > 2 * 6
    # Memory is bounded: a tile has its positions and two rows or columns more on each side.
    assert max(calls) <= max(40, 4 * 40) + 4 * (40 + 4)


@pytest.mark.usefixtures("small_bands")
@pytest.mark.parametrize("rate", [0, RATE, 8])
def test_streams_that_are_too_short_are_refused_early(
    rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compressai_vq.prior.coder.POSITIONS_AT_ONCE", 30)
    calls = spy(monkeypatch)
    for data in (bytes(8), bytes(range(8)), b"\xff" * 12):
        with pytest.raises(CodecError, match="too short for its image"):
            made_up_coder().decode(data, 200, 30, rate)
    assert sum(calls) < 3 * 200 * 30  # of six passes not even one


@pytest.mark.parametrize("rate", [0, RATE, 8])
def test_the_shortest_streams_are_not_too_short(rate: int) -> None:
    for shape in ((1, 1), (1, 3), (40, 30)):
        indices = likely_map(rate, *shape)
        string = made_up_coder().encode(indices, rate)
        assert torch.equal(made_up_coder().decode(string, *shape, rate), indices)


def test_certain_indices_cost_next_to_nothing_and_are_still_accepted() -> None:
    """Thousands of indices in a few words: the check allows for the coder's own rounding."""

    class Certain(PriorNetwork):
        def logits(self, hidden: Tensor, rate: int) -> Tensor:
            logits = torch.zeros(len(hidden), self.sizes[rate])
            logits[:, 2] = 1 << 20
            return logits

    network = made_up_network((RATE,))
    coder = PriorCoder(Certain(network.embeddings, network.blocks, network.heads))
    indices = torch.full((60, 60), 2)
    string = coder.encode(indices, RATE)
    assert len(string) <= 16
    assert torch.equal(coder.decode(string, 60, 60, RATE), indices)


def spy(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Filled with the number of positions that the network gets each time."""
    calls: list[int] = []
    original = PriorNetwork.hidden

    def counted(
        self: PriorNetwork, indices: Tensor, rate: int, *more: Tensor | FirstSums | None
    ) -> Tensor:
        calls.append(indices.numel())
        return original(self, indices, rate, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(PriorNetwork, "hidden", counted)
    return calls
