from __future__ import annotations

import pytest

from compressai_vq.training.schedule import warm_cosine


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.1), (9, 1.0), (10, 1.0), (60, 0.6), (35, 0.6 + 0.4 * 0.5**0.5), (110, 0.2)],
)
def test_rates_by_hand(step: int, expected: float) -> None:
    assert warm_cosine(step, steps=110, warmup=10, first=1.0, last=0.2) == pytest.approx(expected)


def test_no_warmup_and_no_room() -> None:
    assert warm_cosine(0, steps=4, warmup=0, first=1.0, last=0.0) == 1.0
    assert warm_cosine(4, steps=4, warmup=4, first=1.0, last=0.0) == 1.0
