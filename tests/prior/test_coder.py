from __future__ import annotations

import hashlib
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compressai_vq.errors import CodecError
from compressai_vq.prior.coder import POSITIONS_AT_ONCE, PriorCoder
from compressai_vq.prior.order import coding_order
from compressai_vq.rates import LADDER

from ..fixtures import edited, edits, properties
from ..golden_files import check_golden
from .machines import computing
from .made_up import likely_map, made_up_coder, made_up_network, random_map

rates = st.integers(0, 8)
sides = st.integers(1, 14)
seeds = st.integers(0, 1 << 20)
every_rate = pytest.mark.parametrize("rate", range(9))


@properties
@given(rates, sides, sides, seeds)
def test_round_trip(rate: int, height: int, width: int, seed: int) -> None:
    indices = random_map(rate, height, width, seed)
    string = made_up_coder().encode(indices, rate)
    assert len(string) >= 8 and len(string) % 4 == 0
    found = made_up_coder().decode(string, height, width, rate)
    assert found.dtype == torch.int64
    assert torch.equal(found, indices)


@every_rate
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 1), (1, 70)])
def test_thin_maps_of_one_index(rate: int, shape: tuple[int, int]) -> None:
    for index in (0, LADDER[rate] - 1):
        indices = torch.full(shape, index)
        string = made_up_coder().encode(indices, rate)
        assert torch.equal(made_up_coder().decode(string, *shape, rate), indices)


@every_rate
def test_likely_maps_are_short_and_the_estimate_is_that_of_the_stream(rate: int) -> None:
    likely, chance = likely_map(rate, 16, 16), random_map(rate, 16, 16)
    sizes = []
    for indices in (likely, chance):
        string = made_up_coder().encode(indices, rate)
        assert torch.equal(made_up_coder().decode(string, 16, 16, rate), indices)
        bits = made_up_coder().bits(indices, rate)
        assert bits / 8 * 0.995 - 1 <= len(string) <= bits / 8 * 1.005 + 8
        sizes.append(len(string))
        likelihoods = made_up_coder().likelihoods(indices, rate)
        assert likelihoods.shape == (16, 16)
        assert -likelihoods.double().log2().sum().item() == pytest.approx(bits, rel=1e-5)
    assert sizes[0] < 0.8 * sizes[1]


def test_likelihoods_lie_at_their_positions() -> None:
    indices = random_map(6, 11, 5)
    network = made_up_network()
    likelihoods = made_up_coder().likelihoods(indices, 6)
    # The very first position is coded with nothing known.
    empty = torch.full((1, 11, 5), LADDER[6])
    logits = network.logits(network.hidden(empty, 6)[0, 0], 6)[0].double() / 256
    shares = torch.softmax(logits * math.log(2), 0)
    assert likelihoods[0, 0].item() == pytest.approx(shares[indices[0, 0]].item(), rel=0.05)


@pytest.mark.parametrize("rate", [3, 8])
def test_chunks_of_a_pass(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compressai_vq.prior.coder.POSITIONS_AT_ONCE", 10)
    indices = random_map(rate, 12, 9)
    string = made_up_coder().encode(indices, rate)
    assert torch.equal(made_up_coder().decode(string, 12, 9, rate), indices)
    bits = made_up_coder().bits(indices, rate)
    likelihoods = made_up_coder().likelihoods(indices, rate)
    assert -likelihoods.double().log2().sum().item() == pytest.approx(bits, rel=1e-5)


@pytest.mark.parametrize("rate", [0, 8])
def test_few_symbols_stay_inside_the_encoders_buffer(
    rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import compressai_vq.prior.coder as module

    written: list[tuple[int, int]] = []

    class Spy:
        def __init__(self) -> None:
            self.coder, self.symbols = Original(), 0

        def encode_with_indexes(self, symbols: list[int], *tables: Any) -> None:
            self.coder.encode_with_indexes(symbols, *tables)
            self.symbols += len(symbols)

        def flush(self) -> bytes:
            string = self.coder.flush()
            written.append((self.symbols, len(string)))
            return string

    Original = module.ans.BufferedRansEncoder
    monkeypatch.setattr(module.ans, "BufferedRansEncoder", Spy)
    for count in (1, 2, 3):
        for index in range(0, LADDER[rate], max(1, LADDER[rate] // 8)):
            made_up_coder().encode(torch.full((1, count), index), rate)
    assert len(written) >= 24
    # The buffer has 4 bytes for each symbol.
    assert all(symbols >= 3 and length <= 4 * symbols for symbols, length in written)


def test_what_cannot_be_coded_is_refused() -> None:
    coder = made_up_coder()
    for bad in (torch.zeros(0, 3, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)):
        with pytest.raises(ValueError, match="empty"):
            coder.encode(bad, 0)
    for value in (-1, 8):
        with pytest.raises(ValueError, match="between 0 and 7"):
            coder.encode(torch.full((2, 2), value), 0)
    with pytest.raises(ValueError, match="empty"):
        coder.decode(bytes(8), 0, 3, 0)
    with pytest.raises(CodecError, match="rates"):
        PriorCoder(made_up_network((0, 1))).encode(torch.zeros(2, 2), 5)


@properties
@given(rates, st.binary(max_size=80), sides, sides)
def test_any_bytes_are_refused(rate: int, data: bytes, height: int, width: int) -> None:
    with pytest.raises(CodecError):
        made_up_coder().decode(data, height, width, rate)


@properties
@given(rates, sides, sides, seeds, edits)
def test_a_stream_with_edits_is_a_map_or_an_error(
    rate: int, height: int, width: int, seed: int, changes: list[tuple[int, int]]
) -> None:
    whole = made_up_coder().encode(random_map(rate, height, width, seed), rate)
    data = edited(whole, changes)
    try:
        found = made_up_coder().decode(data, height, width, rate)
    except CodecError:
        assert data != whole
        return
    assert found.shape == (height, width)
    assert found.min() >= 0 and found.max() < LADDER[rate]
    assert made_up_coder().encode(found, rate) == data


@pytest.mark.parametrize("rate", [2, 7])
def test_damage_is_noticed(rate: int) -> None:
    coder = made_up_coder()
    indices = random_map(rate, 9, 9)
    string = coder.encode(indices, rate)
    refused = 0
    for at in range(0, len(string), 5):
        damaged = bytearray(string)
        damaged[at] ^= 1 << at % 8
        refused += _refuses(coder, bytes(damaged), rate)
    # Some flips give the stream of another map: telling these is the container's checksum.
    assert refused >= 1
    assert _refuses(coder, string + bytes(4), rate)
    assert _refuses(coder, string[:-4], rate)
    assert _refuses(coder, string[:-1], rate)
    assert _refuses(coder, b"", rate)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize("rate", [1, 8])
def test_a_stream_of_one_machine_decodes_on_another(rate: int) -> None:
    indices = random_map(rate, 13, 11)
    with computing(threads=1, precision="highest"):
        string = made_up_coder().encode(indices, rate)
    with (
        computing(threads=2, precision="medium"),
        torch.autocast("cpu", torch.bfloat16),
        torch.backends.mkldnn.flags(enabled=False),
    ):
        assert torch.equal(made_up_coder().decode(string, 13, 11, rate), indices)
        assert made_up_coder().encode(indices.t().contiguous().t(), rate) == string


def test_another_prior_is_noticed() -> None:
    indices = random_map(5, 12, 12)
    string = made_up_coder().encode(indices, 5)
    other = PriorCoder(made_up_network((0, 5), channels=16))
    with pytest.raises(CodecError, match="another prior"):
        other.decode(string, 12, 12, 5)


def _refuses(coder: PriorCoder, string: bytes, rate: int) -> bool:
    try:
        coder.decode(string, 9, 9, rate)
    except CodecError as error:
        assert "damaged" in str(error)
        return True
    return False


def test_golden_streams() -> None:
    golden = {}
    for rate, size in enumerate(LADDER):
        for height, width in ((1, 1), (10, 13)):
            string = made_up_coder().encode(random_map(rate, height, width), rate)
            digest = hashlib.sha256(string).hexdigest()
            name = f"K{size} {height}x{width}"
            golden[name] = string.hex() if len(string) < 100 else f"{len(string)} {digest}"
    # A map whose last pass is coded in two parts.
    height, width = 72, 120
    assert len(coding_order(height, width)[-1]) > POSITIONS_AT_ONCE
    for rate in (0, 5):
        indices = random_map(rate, height, width)
        string = made_up_coder().encode(indices, rate)
        assert torch.equal(made_up_coder().decode(string, height, width, rate), indices)
        digest = hashlib.sha256(string).hexdigest()
        golden[f"K{LADDER[rate]} {height}x{width}"] = f"{len(string)} {digest}"
    check_golden("prior", golden)
