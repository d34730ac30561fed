from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressai_vq.frequencies import cumulative, integer_weights, quantized_frequencies

from .fixtures import properties
from .golden_files import check_golden

weight_lists = st.lists(st.integers(0, 1 << 40), min_size=2, max_size=300)
# Multiples of 1/1024 are what the logarithms are rounded to; in fp32 these are exact.
step_lists = st.lists(st.integers(-40 << 10, 40 << 10), min_size=2, max_size=100)


def frequencies(weights: list[int]) -> list[int]:
    return quantized_frequencies(np.array(weights, dtype=np.int64))


def logarithms(steps: list[int]) -> np.ndarray:
    return np.array(steps, dtype=np.float32) / 1024


@properties
@given(weight_lists)
def test_frequencies_fill_the_range_and_leave_no_symbol_out(weights: list[int]) -> None:
    found = frequencies(weights)
    assert len(found) == len(weights)
    assert sum(found) == 65536
    assert min(found) >= 1


@properties
@given(weight_lists)
def test_a_larger_weight_never_gets_less(weights: list[int]) -> None:
    found = frequencies(weights)
    if any(weights):
        pairs = sorted(zip(weights, found, strict=True))
        for (light, less), (heavy, more) in itertools.pairwise(pairs):
            assert less <= more if light < heavy else abs(less - more) <= 1


@properties
@given(weight_lists, st.randoms(use_true_random=False))
def test_order_counts_for_remainders_only(weights: list[int], shuffler: random.Random) -> None:
    order = list(range(len(weights)))
    shuffler.shuffle(order)
    found, shuffled = frequencies(weights), frequencies([weights[i] for i in order])
    assert all(abs(shuffled[n] - found[i]) <= 1 for n, i in enumerate(order))
    assert frequencies(weights) == found


@pytest.mark.parametrize("size", [2, 3, 8, 2048, 65536])
def test_weights_of_zero_stand_for_all_equal(size: int) -> None:
    found = frequencies([0] * size)
    assert max(found) - min(found) <= 1
    assert found == sorted(found, reverse=True)
    assert found == frequencies([7] * size)


def test_one_symbol_with_all_the_weight_leaves_the_others_one_each() -> None:
    assert frequencies([0, 1 << 40, 0]) == [1, 65534, 1]


@pytest.mark.parametrize("size", [0, 1, 65537])
def test_alphabets_that_cannot_be_coded(size: int) -> None:
    with pytest.raises(ValueError, match="symbols"):
        frequencies([1] * size)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_rounding_costs_less_than_a_hundredth_of_a_bit(exponent: float) -> None:
    share = (1 + np.arange(2048.0)) ** -exponent
    share /= share.sum()
    found = np.array(quantized_frequencies(integer_weights(np.log2(share).astype(np.float32))))
    excess = (share * (np.log2(share) - np.log2(found / 65536))).sum()
    assert 0 <= excess < 0.01


@properties
@given(step_lists)
def test_weights_keep_the_order_of_logarithms(steps: list[int]) -> None:
    weights = integer_weights(logarithms(steps))
    assert weights.min() >= 0
    assert weights.max() == 1 << 40
    order = np.argsort(steps, kind="stable")
    assert (np.diff(weights[order]) >= 0).all()


@properties
@given(step_lists, st.integers(-40, 40))
def test_only_differences_of_logarithms_count(steps: list[int], shift: int) -> None:
    moved = logarithms([step + (shift << 10) for step in steps])
    assert (integer_weights(moved) == integer_weights(logarithms(steps))).all()


def test_a_bit_less_is_half_the_weight() -> None:
    weights = integer_weights(np.array([0, -1, -2.5, -40, -1e30], dtype=np.float32))
    assert weights.tolist()[:2] == [1 << 40, 1 << 39]
    assert weights[2] / (1 << 40) == pytest.approx(2**-2.5, rel=1e-9)
    assert weights.tolist()[3:] == [1, 0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logarithms_must_be_finite(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        integer_weights(np.array([0, value], dtype=np.float32))


def test_cdf_has_an_escape_bin_without_mass() -> None:
    assert cumulative([3, 1, 65532]) == [0, 3, 4, 65536, 65536]


def test_integer_arithmetic_is_the_same_everywhere() -> None:
    steps = [-(n * n * 37) % 12345 for n in range(40)]
    weights = integer_weights(logarithms(steps))
    check_golden(
        "frequencies",
        {
            "steps": steps,
            "weights": weights.tolist(),
            "frequencies": frequencies(weights.tolist()),
        },
    )
