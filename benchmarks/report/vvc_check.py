"""Whether VVC as run here agrees with VVC as the paper shows it."""

from __future__ import annotations

import numpy as np

from .published import Published
from .results import METRICS, Curve, Points, dataset_title
from .tables import NOTHING, Table, signed


def interpolate(points: Points, bpp: float) -> float | None:
    """A metric's value at a rate, linear in the logarithm of the rate.

    Args:
        points: of a curve, in order of rate.
        bpp: bits per pixel.

    Returns:
        The value; None at rates that the curve does not reach, for nothing is extrapolated.
    """
    if not points.bpp or not points.bpp[0] <= bpp <= points.bpp[-1]:
        return None
    return float(np.interp(np.log(bpp), np.log(points.bpp), points.values))


def vvc_check(results: dict[str, dict[str, Curve]], published: Published) -> Table:
    """LPIPS of our VVC at the rates of the paper's figure, beside the paper's values."""
    check = published.vvc_check
    metric = next(m for m in METRICS if m.key == check["metric"])
    curve = results.get(check["dataset"], {}).get(check["codec"])
    tolerance = check["tolerance"]
    rows = []
    for point in check["points"]:
        bpp, theirs = point["bpp"], point["value"]
        found = interpolate(curve.points(metric.key), bpp) if curve else None
        row = [f"{bpp:.3f}", f"{theirs:.2f}"]
        if curve is None:
            row += ["not run", NOTHING, NOTHING]
        elif found is None:
            row += ["rate not reached", NOTHING, NOTHING]
        else:
            agrees = "yes" if abs(found - theirs) <= tolerance else "no"
            row += [f"{found:.3f}", signed(found - theirs, 3), agrees]
        rows.append(row)
    return Table(
        name="vvc-check",
        caption=f"VVC on {dataset_title(check['dataset'])}: {metric.title} here and in the paper",
        columns=["bpp", "published (VTM)", "here (libvvenc)", "difference",
                 f"within {tolerance:g}"],
        rows=rows,
        notes=[
            "libvvenc is not VTM: the paper ran VVC's reference encoder, here it is Fraunhofer's "
            "faster libvvenc (preset medium), so that the two need not agree exactly.",
            "Values here are interpolated between the measured points, linearly in the logarithm "
            "of the rate; the paper's are read off its figure.",
        ],
        text_columns=0,
    )  # fmt: skip
