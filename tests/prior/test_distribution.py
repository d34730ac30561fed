from __future__ import annotations

import pytest
import torch

from compressai_vq.prior.distribution import cumulative_rows, low_bits, weights_of
from compressai_vq.prior.fixed_point import LOGIT_MAX
from compressai_vq.rates import LADDER


def test_weights_are_powers_of_two() -> None:
    logits = torch.tensor([[0.0, -256, -512, -128, -(30 << 8), -(99 << 8)]])
    weights = weights_of(logits + 12345)
    assert weights[0, :3].tolist() == [1 << 30, 1 << 29, 1 << 28]
    assert weights[0, 3].item() == pytest.approx(2**29.5, abs=1)
    assert weights[0, 4:].tolist() == [1, 1]


def test_the_farthest_logits_are_told_apart() -> None:
    logits = torch.tensor([[LOGIT_MAX, LOGIT_MAX - 1, -LOGIT_MAX, 1 - LOGIT_MAX]]).float()
    weights = weights_of(logits)[0].tolist()
    assert weights == [1 << 30, int(2 ** (30 - 1 / 256)), 1, 1]


@pytest.mark.parametrize("n", [2, 8, 64, 2048])
def test_rows_are_cdfs_in_proportion_to_the_weights(n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    weights = torch.randint(1, 1 << 30, (50, n), generator=generator)
    weights[0], weights[1], weights[2, 0] = 1, 1 << 30, 1 << 46
    rows = cumulative_rows(weights)
    assert (rows[:, 0] == 0).all() and (rows[:, -1] == 1 << 16).all()
    shares = rows.diff()
    assert shares.min() >= 1
    wanted = weights.double() / weights.sum(1, keepdim=True) * ((1 << 16) - n) + 1
    assert (shares - wanted).abs().max() <= 1


def test_rare_symbols_can_be_coded() -> None:
    shares = cumulative_rows(torch.tensor([[1, 1 << 30, 1, 1]])).diff()[0].tolist()
    assert sum(shares) == 1 << 16
    assert shares[0] == 1 and shares[1] >= (1 << 16) - 4 and min(shares) == 1


def test_rows_stay_short() -> None:
    for size in LADDER:
        low = low_bits(size)
        assert max(size >> low, 1 << low) <= 64
        assert low == 0 or size > 64
