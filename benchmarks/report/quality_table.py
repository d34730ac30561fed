"""Our qualities one by one: shipped, refined, without fine-tuning, and as published."""

from __future__ import annotations

from benchmarks.codecs import OURS, REFINED
from compressai_vq.metrics.bjontegaard import bd_rate

from .published import Published
from .results import METRICS, Curve, Points, dataset_title
from .tables import NOTHING, Table, signed

UNFINETUNED = f"{OURS}-unfinetuned"
_COLUMNS = ("lpips", "lpips-vgg", "dists", "psnr-rgb", "ms-ssim-rgb")


def quality_table(dataset: str, curves: dict[str, Curve], published: Published) -> Table | None:
    """Rate and all metrics of each quality.

    Args:
        dataset: its folder's name.
        curves: by codec.
        published: the paper's figures, of which LPIPS is known.

    Returns:
        The table, with BD-rates against the others in its notes; None without our results.
    """
    if OURS not in curves:
        return None
    metrics = {metric.key: metric for metric in METRICS}
    rows, notes = [], []
    ours = curves[OURS].points("lpips")
    refined = None
    if REFINED in curves and curves[REFINED].has_several_rates:
        refined = curves[REFINED].points("lpips")
    for key in (OURS, REFINED, UNFINETUNED):
        if key not in curves:
            continue
        means = curves[key].means
        for n, quality in enumerate(means["quality"]):
            values = (means[name][n] if name in means else None for name in _COLUMNS)
            cells = [
                NOTHING if value is None else f"{value:.{metrics[name].digits}f}"
                for name, value in zip(_COLUMNS, values, strict=True)
            ]
            rows.append([curves[key].label, f"{quality:.0f}", f"{means['bpp'][n]:.4f}", *cells])
        if curves[key].images != curves[OURS].images:
            notes.append(f"“{curves[key].label}” was run on other images: no BD-rate.")
        elif key != OURS and curves[key].has_several_rates:
            notes.append(_against(curves[key].label, curves[key].points("lpips"), ours))
    for curve in published.curves(dataset):
        if curve.codec == OURS:
            paper = Points(curve.bpp, curve.values["lpips"], [])
            for n, (bpp, lpips) in enumerate(zip(paper.bpp, paper.values, strict=True), 1):
                rows.append([curve.label, str(n), f"{bpp:.4f}", f"{lpips:.2f}", *[NOTHING] * 4])
            if published.image_count(dataset) not in (0, len(curves[OURS].images)):
                notes.append(f"{curve.label}: on all images, and these are a part: no BD-rate.")
                continue
            notes.append(_against(curve.label, paper, ours))
            if refined is not None and curves[REFINED].images == curves[OURS].images:
                notes.append(_against(curve.label, paper, refined, "of ours, refined,"))
    titles = [metrics[name].title for name in _COLUMNS]
    return Table(
        name=f"quality-{dataset}",
        caption=f"The qualities of our codec on {dataset_title(dataset)}",
        columns=["weights", "quality", "bpp", *titles],
        rows=rows,
        notes=notes,
    )


def _against(label: str, anchor: Points, ours: Points, whose: str = "of ours") -> str:
    delta = bd_rate(anchor.bpp, anchor.values, ours.bpp, ours.values, lower_is_better=True)
    value = "no overlap" if delta.value is None else signed(delta.value, 1, "%")
    return f"BD-rate on LPIPS {whose} against “{label}”: {value} (overlap {delta.overlap:.0%})."
