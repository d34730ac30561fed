from __future__ import annotations

import math
import sys

import pytest

from compressai_vq.errors import CodecError
from compressai_vq.metrics.bjontegaard import BjontegaardDelta, bd_metric, bd_rate

pytest.importorskip("bjontegaard", reason="it is in the extra 'metrics'")

RATE = [0.01, 0.02, 0.03, 0.05, 0.08]
LPIPS = [0.60, 0.45, 0.38, 0.30, 0.25]
PSNR = [20.0, 22.0, 23.1, 24.6, 26.0]


@pytest.mark.parametrize(("metric", "lower"), [(LPIPS, True), (PSNR, False)])
@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_multiple_of_the_rate(metric: list[float], lower: bool, factor: float) -> None:
    rate = [factor * r for r in RATE]
    delta = bd_rate(RATE, metric, rate, metric, lower_is_better=lower)
    assert delta.value == pytest.approx(100 * (factor - 1))
    assert delta.overlap == 1


@pytest.mark.parametrize(("metric", "lower"), [(LPIPS, True), (PSNR, False)])
@pytest.mark.parametrize("shift", [0.1, 0.0, -0.1])
def test_a_shift_of_the_metric(metric: list[float], lower: bool, shift: float) -> None:
    delta = bd_metric(RATE, metric, RATE, [m + shift for m in metric], lower_is_better=lower)
    assert delta.value == pytest.approx(shift, abs=1e-9)
    assert delta.overlap == 1


def test_signs_when_the_test_is_better() -> None:
    """Better means fewer bits in both, and a smaller distance or a larger PSNR."""
    less = [m - 0.05 for m in LPIPS]
    rate = bd_rate(RATE, LPIPS, RATE, less, lower_is_better=True).value
    assert rate is not None and rate < 0
    more = [m + 1 for m in PSNR]
    rate = bd_rate(RATE, PSNR, RATE, more, lower_is_better=False).value
    assert rate is not None and rate < 0


def test_swapping_the_curves() -> None:
    other = [0.55, 0.43, 0.33, 0.28, 0.21]
    there = bd_rate(RATE, LPIPS, RATE, other, lower_is_better=True)
    back = bd_rate(RATE, other, RATE, LPIPS, lower_is_better=True)
    assert there.value is not None and back.value is not None
    assert (1 + there.value / 100) * (1 + back.value / 100) == pytest.approx(1)
    assert there.overlap == back.overlap == pytest.approx((0.55 - 0.25) / (0.60 - 0.21))


def test_disjoint_qualities_have_no_bd_rate() -> None:
    far = [m - 0.4 for m in LPIPS]
    nothing = BjontegaardDelta(None, 0.0)
    assert bd_rate(RATE, LPIPS, RATE, far, lower_is_better=True) == nothing
    delta = bd_metric(RATE, LPIPS, RATE, far, lower_is_better=True)
    assert delta.value == pytest.approx(-0.4)


def test_disjoint_rates_have_no_bd_metric() -> None:
    far = [100 * r for r in RATE]
    nothing = BjontegaardDelta(None, 0.0)
    assert bd_metric(RATE, PSNR, far, PSNR, lower_is_better=False) == nothing
    assert bd_rate(RATE, PSNR, far, PSNR, lower_is_better=False).value == pytest.approx(9900)


def test_touching_is_no_overlap() -> None:
    lower = [0.25, 0.2, 0.15]
    delta = bd_rate(RATE, LPIPS, RATE[:3], lower, lower_is_better=True)
    assert delta == BjontegaardDelta(None, 0.0)


def test_hardly_more_than_touching_is_no_overlap() -> None:
    rates, over = [0.01, 0.02], [0.02 - 1e-12, 0.04]
    assert bd_metric(rates, [0.4, 0.3], over, [0.35, 0.2], lower_is_better=True).value is None
    scores, above = [0.4, 0.3], [0.3 + 1e-12, 0.2]
    assert bd_rate(rates, scores, [0.01, 0.02], above, lower_is_better=True).value is None


@pytest.mark.parametrize("count", [2, 3])
def test_few_points(count: int) -> None:
    rate, metric = RATE[:count], LPIPS[:count]
    halved = [r / 2 for r in rate]
    delta = bd_rate(rate, metric, halved, metric, lower_is_better=True)
    assert delta.value == pytest.approx(-50)
    delta = bd_metric(rate, metric, rate, [m - 0.1 for m in metric], lower_is_better=True)
    assert delta.value == pytest.approx(-0.1)


@pytest.mark.parametrize("points", [0, 1])
def test_one_point_is_no_curve(points: int) -> None:
    for function in (bd_rate, bd_metric):
        delta = function(
            RATE, LPIPS, RATE[1 : 1 + points], LPIPS[1 : 1 + points], lower_is_better=True
        )
        assert delta == BjontegaardDelta(None, 0.0)


def test_points_that_another_one_beats_do_not_count() -> None:
    rate = [*RATE, 0.04, 0.02]
    lpips = [*LPIPS, 0.40, 0.50]
    psnr = [*PSNR, 23.1, 21.0]
    for metric, extended, lower in ((LPIPS, lpips, True), (PSNR, psnr, False)):
        delta = bd_rate(RATE, metric, rate, extended, lower_is_better=lower)
        assert delta.value == pytest.approx(0)
        # Without the rule, the curve would go through them.
        assert delta.overlap == 1


def test_order_does_not_matter() -> None:
    other = [0.55, 0.43, 0.33, 0.28, 0.21]
    delta = bd_rate(RATE, LPIPS, RATE, other, lower_is_better=True)
    turned = bd_rate(RATE[::-1], LPIPS[::-1], RATE[::-1], other[::-1], lower_is_better=True)
    assert turned == delta


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_missing_values_leave_a_point_out(missing: float | None) -> None:
    rate, metric = [*RATE, 0.1], [*PSNR, missing]
    delta = bd_rate(RATE, PSNR, rate, metric, lower_is_better=False)
    assert delta == (pytest.approx(0), 1)


def test_bad_curves() -> None:
    with pytest.raises(CodecError, match="above 0, not 0"):
        bd_rate([0.0, 0.1], [0.5, 0.4], RATE, LPIPS, lower_is_better=True)
    with pytest.raises(CodecError, match="5 rates and 4 qualities"):
        bd_metric(RATE, LPIPS[:4], RATE, LPIPS, lower_is_better=True)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bjontegaard", None)
    with pytest.raises(CodecError, match=r"pip install compressai-vq\[metrics\]"):
        bd_rate(RATE, LPIPS, RATE, LPIPS, lower_is_better=True)
