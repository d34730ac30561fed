"""Bjontegaard deltas between two rate-distortion curves (Bjontegaard, VCEG-M33, 2001).

The arithmetic is the ``bjontegaard`` package's, with piecewise cubic Hermite interpolation
(PCHIP): it passes through every point, does not overshoot between them, and works from two
points on, so curves of fewer than the customary four points need nothing special.

It needs curves on which more bits always give better quality.  Measured ones are not always
so; of each, the points are used that no other point beats or equals at the same or a lower
rate, which is what an encoder with the choice would do.

Integrals run over the range that both curves cover.  How large that is goes with every
figure, and where there is none there is no figure: nothing is extrapolated.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np

from ..errors import CodecError

_LEAST_OVERLAP = 1e-6
"""Curves that share less only touch: the quotient would be that of rounding errors."""


class BjontegaardDelta(NamedTuple):
    """The mean difference between two curves, and over how much of them it was taken."""

    value: float | None
    """``None`` when the curves have no range in common, or either has fewer than two points."""

    overlap: float
    """The range both curves cover over the range they cover together: 0 to 1."""


def bd_rate(
    anchor_rate: Sequence[float | None],
    anchor_metric: Sequence[float | None],
    test_rate: Sequence[float | None],
    test_metric: Sequence[float | None],
    *,
    lower_is_better: bool,
) -> BjontegaardDelta:
    """How many more bits the test needs than the anchor for the same quality, in percent.

    Args:
        anchor_rate: rates of the anchor's points, in any unit that the test's have too.
        anchor_metric: quality at these; ``None``, NaN and infinities leave a point out.
        test_rate: rates of the test's points.
        test_metric: quality at these.
        lower_is_better: true for distances such as LPIPS and DISTS, false for PSNR.

    Returns:
        Percent: -50 when the test needs half the anchor's bits.  The overlap is that of the
        two ranges of quality.

    Raises:
        CodecError: for rates that are not positive, unequal numbers of rates and qualities,
            and when the package is not installed.
    """
    anchor = _curve(anchor_rate, anchor_metric, lower_is_better)
    test = _curve(test_rate, test_metric, lower_is_better)
    overlap = _overlap(anchor.quality, test.quality)
    if not overlap:
        return BjontegaardDelta(None, 0.0)
    value = _package().bd_rate(
        anchor.rate, anchor.quality, test.rate, test.quality,
        method="pchip", require_matching_points=False, min_overlap=0,
    )  # fmt: skip
    return BjontegaardDelta(float(value), overlap)


def bd_metric(
    anchor_rate: Sequence[float | None],
    anchor_metric: Sequence[float | None],
    test_rate: Sequence[float | None],
    test_metric: Sequence[float | None],
    *,
    lower_is_better: bool,
) -> BjontegaardDelta:
    """How much the test's metric is above the anchor's at the same rate: BD-LPIPS, BD-PSNR.

    Arguments and errors are :func:`bd_rate`'s.

    Returns:
        In the metric's unit; below 0 the test is better where lower is better.  The overlap
        is that of the two ranges of the rate's logarithm.
    """
    anchor = _curve(anchor_rate, anchor_metric, lower_is_better)
    test = _curve(test_rate, test_metric, lower_is_better)
    overlap = _overlap(np.log(anchor.rate), np.log(test.rate))
    if not overlap:
        return BjontegaardDelta(None, 0.0)
    value = _package().bd_psnr(
        anchor.rate, anchor.quality, test.rate, test.quality,
        method="pchip", require_matching_points=False, min_overlap=0,
    )  # fmt: skip
    return BjontegaardDelta(-float(value) if lower_is_better else float(value), overlap)


class _Curve(NamedTuple):
    rate: np.ndarray
    quality: np.ndarray  # rises with the rate


def _curve(
    rates: Sequence[float | None], metric: Sequence[float | None], lower_is_better: bool
) -> _Curve:
    if len(rates) != len(metric):
        raise CodecError(f"a curve with {len(rates)} rates and {len(metric)} qualities")
    points = []
    for rate, value in zip(rates, metric, strict=True):
        if rate is None or value is None or not (math.isfinite(rate) and math.isfinite(value)):
            continue
        if rate <= 0:
            raise CodecError(f"a rate must be above 0, not {rate:g}")
        points.append((rate, -value if lower_is_better else value))
    kept: list[tuple[float, float]] = []
    for rate, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or quality > kept[-1][1]:
            kept.append((rate, quality))
    array = np.array(kept, dtype=np.float64).reshape(-1, 2)
    return _Curve(array[:, 0], array[:, 1])


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    if min(len(a), len(b)) < 2:
        return 0.0
    common = min(a[-1], b[-1]) - max(a[0], b[0])
    whole = max(a[-1], b[-1]) - min(a[0], b[0])
    share = float(common / whole)
    return share if share > _LEAST_OVERLAP else 0.0


def _package() -> ModuleType:
    try:
        # By name: the package ships no types, and importing it takes matplotlib along.
        return importlib.import_module("bjontegaard")
    except ImportError:
        raise CodecError("Bjontegaard deltas need: pip install compressai-vq[metrics]") from None
