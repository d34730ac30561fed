from __future__ import annotations

import copy
import functools
from typing import Any

import pytest
import torch
from compressai import ans
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.index_coder import IndexCoder

from .fixtures import edited, edits, properties, seeded
from .golden_files import check_golden

SIZES = (2, 8, 2047, 2048, 2049, 5000, 16384)
sizes = pytest.mark.parametrize("size", SIZES)
one_and_two_levels = pytest.mark.parametrize("size", [8, 5000])
seeds = st.integers(0, 1 << 32)
sides = st.integers(1, 40)


def skewed_counts(size: int, seed: int = 0) -> Tensor:
    counts = 10000 / torch.arange(1, size + 1)
    return counts[torch.randperm(size, generator=seeded(seed))].round()


@functools.cache
def shared_coder(size: int) -> IndexCoder:
    """With skewed frequencies; no test changes it."""
    coder = IndexCoder(size).eval()
    coder.set_counts(skewed_counts(size))
    return coder


def typical_map(size: int, height: int, width: int, seed: int = 0) -> Tensor:
    drawn = torch.multinomial(
        skewed_counts(size) + 0.5, height * width, replacement=True, generator=seeded(seed)
    )
    return drawn.view(1, height, width)


def any_map(size: int, height: int, width: int, seed: int) -> Tensor:
    return torch.randint(size, (1, height, width), generator=seeded(seed))


@sizes
@properties
@given(sides, sides, seeds)
def test_round_trip(size: int, height: int, width: int, seed: int) -> None:
    coder = shared_coder(size)
    indices = any_map(size, height, width, seed)
    (string,) = coder.compress(indices)
    assert len(string) >= 8
    assert len(string) % 4 == 0
    found = coder.decompress([string], (height, width))
    assert found.dtype == torch.int64
    assert torch.equal(found, indices)


@sizes
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 313), (313, 1)])
def test_round_trip_of_thin_maps_of_the_rarest_and_the_commonest(
    size: int, shape: tuple[int, int]
) -> None:
    coder = shared_coder(size)
    counts = skewed_counts(size)
    for index in (0, size - 1, int(counts.argmin()), int(counts.argmax())):
        indices = torch.full((1, *shape), index)
        assert torch.equal(coder.decompress(coder.compress(indices), shape), indices)


@pytest.mark.parametrize("size", [2, 2048, 5000])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_symbols_of_the_least_frequency_stay_inside_the_encoders_buffer(
    size: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    coder = IndexCoder(size).eval()
    coder.set_counts(torch.tensor([1e12] + [0.0] * (size - 1)))
    assert coder(torch.tensor([size - 1])).log2().item() <= -16
    given_to_encoder = []
    encode = coder.entropy_coder.encode_with_indexes

    def spy(symbols: list[int], *tables: Any) -> bytes:
        given_to_encoder.append(len(symbols))
        return encode(symbols, *tables)

    monkeypatch.setattr(coder.entropy_coder, "encode_with_indexes", spy)
    indices = torch.full((1, 1, count), size - 1)
    (string,) = coder.compress(indices)
    assert torch.equal(coder.decompress([string], (1, count)), indices)
    # The buffer has 4 bytes for each symbol.
    assert len(string) <= 4 * given_to_encoder[0]


@one_and_two_levels
def test_a_batch_gives_the_strings_of_its_members(size: int) -> None:
    coder = shared_coder(size)
    maps = torch.cat([typical_map(size, 5, 7, seed) for seed in range(3)])
    strings = coder.compress(maps)
    assert strings == [coder.compress(one[None])[0] for one in maps]
    assert torch.equal(coder.decompress(strings, (5, 7)), maps)


def test_bytes_stay_the_same_from_release_to_release() -> None:
    streams = {}
    for size in (2, 8, 2048, 5000):
        coder = IndexCoder(size)
        coder.set_counts(torch.arange(size).square() % 97)
        indices = torch.tensor([[7919 * n * n % 104729 % size for n in range(60)]])
        streams[str(size)] = coder.compress(indices.view(1, 6, 10))[0].hex()
        streams[f"{size}, one index"] = coder.compress(indices[:, None, :1])[0].hex()
    check_golden("index_coder", streams)


@sizes
@pytest.mark.parametrize("shape", [(1, 2), (4, 5), (32, 48), (96, 128)])
def test_likelihoods_tell_the_streams_length(size: int, shape: tuple[int, int]) -> None:
    coder = shared_coder(size)
    indices = typical_map(size, *shape)
    estimate = -coder(indices).log2().sum().item() / 8
    assert abs(len(coder.compress(indices)[0]) - estimate) <= 0.005 * estimate + 8


@sizes
def test_likelihoods_of_all_indices_sum_to_one(size: int) -> None:
    everything = torch.arange(size)
    before = IndexCoder(size).eval()(everything)
    after = shared_coder(size)(everything)
    assert before.sum().item() == pytest.approx(1, abs=1e-4)
    # The low digits of indices that do not exist keep a little mass.
    assert 0.98 < after.sum().item() <= 1 + 1e-4


@one_and_two_levels
def test_bytes_hang_neither_on_threads_nor_on_number_formats(size: int) -> None:
    indices = typical_map(size, 24, 30)
    (expected,) = shared_coder(size).compress(indices)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            fresh = IndexCoder(size)
            fresh.set_counts(skewed_counts(size))
            assert fresh.compress(indices) == [expected]
    finally:
        torch.set_num_threads(threads)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        cast = copy.deepcopy(shared_coder(size)).to(dtype)
        assert cast.quantiles.dtype == torch.float32
        assert cast.update(force=True)
        assert cast.compress(indices) == [expected]
        assert torch.equal(cast.decompress([expected], (24, 30)), indices)
        assert torch.equal(cast(indices).float(), shared_coder(size)(indices))


@one_and_two_levels
def test_every_cut_stream_is_refused(size: int) -> None:
    coder = shared_coder(size)
    (string,) = coder.compress(any_map(size, 6, 7, 0))
    for length in range(len(string)):
        with pytest.raises(CodecError):
            coder.decompress([string[:length]], (6, 7))


@one_and_two_levels
@pytest.mark.parametrize("more", [b"\0", bytes(4), b"\xff" * 4, bytes(400)])
def test_extended_streams_are_refused(size: int, more: bytes) -> None:
    coder = shared_coder(size)
    (string,) = coder.compress(any_map(size, 6, 7, 0))
    for changed in (string + more, more + string):
        with pytest.raises(CodecError):
            coder.decompress([changed], (6, 7))


@one_and_two_levels
def test_every_flipped_bit_is_noticed(size: int) -> None:
    coder = shared_coder(size)
    (string,) = coder.compress(any_map(size, 6, 7, 0))
    for bit in range(8 * len(string)):
        changed = bytearray(string)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CodecError):
            coder.decompress([bytes(changed)], (6, 7))


@sizes
@properties
@given(st.binary(max_size=200), sides, sides)
def test_no_bytes_lead_the_decoder_astray(
    size: int, string: bytes, height: int, width: int
) -> None:
    with pytest.raises(CodecError):
        shared_coder(size).decompress([string], (height, width))


@sizes
@properties
@given(sides, sides, seeds, edits)
def test_whatever_is_accepted_is_a_stream_that_the_coder_writes(
    size: int, height: int, width: int, seed: int, changes: list[tuple[int, int]]
) -> None:
    coder = shared_coder(size)
    (whole,) = coder.compress(any_map(size, height, width, seed))
    string = edited(whole, changes)
    try:
        found = coder.decompress([string], (height, width))
    except CodecError:
        assert string != whole
        return
    assert coder.compress(found) == [string]


@pytest.mark.parametrize("filler", [b"\0", b"\xff", b"\x80"])
@one_and_two_levels
def test_a_large_map_of_a_tiny_stream_is_refused(size: int, filler: bytes) -> None:
    with pytest.raises(CodecError):
        shared_coder(size).decompress([filler * 8], (300, 400))


def test_streams_of_other_frequencies_or_shapes_are_refused() -> None:
    other = IndexCoder(8)
    other.set_counts(skewed_counts(8, seed=1))
    strings = shared_coder(8).compress(typical_map(8, 6, 7))
    with pytest.raises(CodecError, match="other frequencies"):
        other.decompress(strings, (6, 7))
    with pytest.raises(CodecError):
        shared_coder(8).decompress(strings, (7, 7))


@pytest.mark.parametrize("bad", [[[-1, 0]], [[0, 8]], [[0, 1 << 40]]])
def test_indices_out_of_range_are_refused(bad: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="between 0 and 7"):
        shared_coder(8).compress(torch.tensor([bad]))


def test_empty_maps_are_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        shared_coder(8).compress(torch.zeros(1, 0, 3, dtype=torch.int64))


def test_a_codebook_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        IndexCoder(1)


def test_the_loss_may_be_taken_before_indices_are_seen() -> None:
    coder = IndexCoder(8).train()
    loss = coder.loss()
    coder(any_map(8, 3, 3, 0))
    loss.backward()
    assert coder.quantiles.grad is not None


def test_of_no_indices_nothing_is_learned() -> None:
    coder = IndexCoder(8).train()
    assert coder(torch.zeros(0, 2, 2, dtype=torch.int64)).shape == (0, 2, 2)
    assert torch.equal(coder.usage, IndexCoder(8).usage)


@one_and_two_levels
def test_update(size: int) -> None:
    coder = IndexCoder(size)
    with torch.no_grad():
        coder.quantiles.copy_(torch.randn(size, generator=seeded()) * 3)
    assert coder.update() is True
    tables = coder._quantized_cdf.clone()
    assert coder.update() is False
    assert coder.update(force=True) is True
    assert torch.equal(coder._quantized_cdf, tables)
    with torch.no_grad():
        coder.quantiles[0] += 5
    assert coder.update() is False
    assert torch.equal(coder._quantized_cdf, tables)
    coder.update(force=True)
    assert not torch.equal(coder._quantized_cdf, tables)


def test_counts_become_frequencies_and_none_is_left_out() -> None:
    coder = IndexCoder(4).eval()
    coder.set_counts(torch.tensor([999, 0, 3, 499]))
    found = coder(torch.arange(4))
    expected = torch.tensor([999.5, 0.5, 3.5, 499.5]) / 1503
    assert torch.allclose(found, expected, rtol=1e-3, atol=2 / 65536)


def test_training_fits_the_frequencies_to_what_is_seen() -> None:
    coder = IndexCoder(16).train()
    indices = torch.multinomial(skewed_counts(16), 4000, replacement=True, generator=seeded())
    for _ in range(100):
        coder(indices)
    optimizer = torch.optim.Adam(coder.parameters(), 0.1)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = coder.loss()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    share = torch.bincount(indices, minlength=16) / len(indices)
    entropy = -torch.special.xlogy(share, share).sum().item() / 0.6931471805599453
    assert losses[0] == pytest.approx(4, abs=1e-5)
    assert losses[-1] == pytest.approx(entropy, abs=0.02)
    # The rate of the very indices gives gradients too, for a rate-distortion loss.
    coder.zero_grad()
    coder(indices).log2().sum().backward()
    assert coder.quantiles.grad is not None
    assert coder.quantiles.grad.abs().sum() > 0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999999])
@pytest.mark.parametrize("size", [2, 8, 2048, 5000])
def test_no_stream_is_shorter_than_the_likeliest_indices(size: int, share: float) -> None:
    coder = IndexCoder(size).eval()
    counts = torch.full((size,), 1e6 * (1 - share) / size)
    counts[size // 2] += 1e6 * share
    coder.set_counts(counts)
    likeliest = int(coder.probabilities.argmax())
    for count in (1, 3, 100, 40_000):
        (string,) = coder.compress(torch.full((1, 1, count), likeliest))
        fewest = coder.fewest_bytes(count)
        assert fewest <= len(string)
        assert coder.decompress([string], (1, count)).shape == (1, 1, count)
        if size == 2048 and share == 0:  # all alike: 11 bits each, and the state's
            assert fewest >= 0.999 * 11 * count / 8 - 1 and len(string) <= 11 * count / 8 + 12


def test_a_stream_that_is_too_short_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    coder = shared_coder(2048)
    (string,) = coder.compress(typical_map(2048, 10, 10))
    monkeypatch.setattr("compressai.ans.RansDecoder", None)
    with pytest.raises(CodecError, match="too short for 1000000"):
        coder.decompress([string], (1000, 1000))


@pytest.mark.parametrize(("size", "words"), [(8, 1), (5000, 2)])
def test_no_stream_can_lead_the_decoder_past_its_end(
    size: int, words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []

    class Decoder(ans.RansDecoder):
        def set_stream(self, stream: bytes) -> None:
            lengths.append(len(stream))
            super().set_stream(stream)

    monkeypatch.setattr(ans, "RansDecoder", Decoder)
    coder, indices = shared_coder(size), typical_map(size, 10, 10)
    (string,) = coder.compress(indices)
    assert torch.equal(coder.decompress([string], (10, 10)), indices)
    # A word of 4 bytes for each symbol that is decoded: none takes more.
    assert lengths == [len(string) + 4 * words * 100]
