"""The paper's table 1: our figures beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.codecs import BY_PRIOR, OURS, REFINED
from compressai_vq.metrics.bjontegaard import BjontegaardDelta, bd_metric, bd_rate

from .baselines import MARKS
from .published import Published, PublishedRow
from .results import Curve, dataset_title
from .tables import NOTHING, Table, signed

_WAYS = {OURS: "frequencies", BY_PRIOR: "prior", REFINED: "refined"}


def bd_table(
    dataset: str,
    curves: dict[str, Curve],
    published: Published,
    trained: Mapping[str, str] | None = None,
) -> Table:
    """BD-rate and BD-LPIPS of our codec against each baseline, and over which range.

    The paper's rows come first, in its order, whether or not they were run; codecs that it
    does not have follow.

    Args:
        dataset: its folder's name.
        curves: by codec.
        published: the paper's figures.
        trained: codec to a sentence on its training, for the notes.
    """
    trained, rows, done = trained or {}, [], set(_WAYS)
    several = {key for key, curve in curves.items() if curve.has_several_rates}
    ours = [key for key in _WAYS if key == OURS or key in several]
    columns = ["BD-rate", "overlap", "BD-LPIPS", "overlap"]
    if len(ours) > 1:
        columns = [f"{name}, {_WAYS[key]} (overlap)" for name in columns[::2] for key in ours]

    def measured(key: str) -> list[str]:
        cells = [_measured(curves, our, key) for our in ours]
        if len(cells) == 1:
            return cells[0]
        # All ways side by side, each with its overlap: the table stays narrow.
        return [
            value if share == NOTHING else f"{value} ({share})"
            for value, share in [(each[at], each[at + 1]) for at in (0, 2) for each in cells]
        ]

    asked = [key for row in published.table(dataset) for key in row.codecs]
    marks = dict(zip([k for k in asked if k in curves and k in trained], MARKS, strict=False))
    labels = {key: f"{curve.label}{marks.get(key, '')}" for key, curve in curves.items()}
    for row in published.table(dataset):
        run = [key for key in row.codecs if key in curves]
        done.update(row.codecs)
        for key in run:
            rows.append([labels[key], *measured(key), *_published(row)])
        if not run:
            why = row.reason or "not run"
            rows.append([row.baseline, why, *[NOTHING] * (len(columns) - 1), *_published(row)])
    for key in curves:
        if key not in done:
            rows.append([labels[key], *measured(key), NOTHING, NOTHING])
    title = published.set_title(dataset)
    notes = [
        "Below 0 our codec is better: fewer bits at equal LPIPS (AlexNet), or lower LPIPS at "
        "equal bits.",
        "Overlap is the share of the two curves' whole range, of LPIPS for BD-rate and of the "
        "rate's logarithm for BD-LPIPS, that both cover; the means are over that share only, "
        "and small shares say little.",
        "PCHIP interpolation.",
    ]
    if BY_PRIOR in ours:
        notes.append(
            "Our indices are coded by learned frequencies, as in the paper, or by the index "
            "prior, which is the default: the same pictures in smaller files."
        )
    if REFINED in ours:
        rates = len(curves[REFINED].means["bpp"])
        notes.append(
            f"Refined: at {rates} of the rates, with indices that `--refine` found, by the prior; "
            "it looks for a low sum of LPIPS, by AlexNet and by VGG16, DISTS and L1."
        )
    if title:
        other = "" if published.has_same_images(dataset) else " (other images than here)"
        notes.append(
            f"The published figures are those of the paper's own codec and runs on "
            f"{title}{other}; nothing of them was measured here."
        )
    if OURS in trained:
        notes.append(trained[OURS])
    notes += [f"{mark} {trained[key]}" for key, mark in marks.items()]
    return Table(
        name=f"bd-{dataset}",
        caption=f"BD-rate and BD-LPIPS of our codec on {dataset_title(dataset)}",
        columns=["against", *columns, "published BD-rate", "published BD-LPIPS"],
        rows=rows,
        notes=notes,
    )  # fmt: skip


def _measured(curves: dict[str, Curve], our: str, key: str) -> list[str]:
    if our not in curves:
        return ["ours was not run", *[NOTHING] * 3]
    ours, anchor = curves[our], curves[key]
    if ours.images != anchor.images:
        return ["run on other images", *[NOTHING] * 3]
    a, b = anchor.points("lpips"), ours.points("lpips")
    if not a.bpp or not b.bpp:
        return ["LPIPS not measured", *[NOTHING] * 3]
    rate = bd_rate(a.bpp, a.values, b.bpp, b.values, lower_is_better=True)
    metric = bd_metric(a.bpp, a.values, b.bpp, b.values, lower_is_better=True)
    return [*_delta(rate, 1, "%"), *_delta(metric, 3)]


def _delta(delta: BjontegaardDelta, digits: int, unit: str = "") -> list[str]:
    share = f"{100 * delta.overlap:.0f} %"
    if delta.value is None:
        return ["no overlap", share]
    return [signed(delta.value, digits, unit), share]


def _published(row: PublishedRow) -> list[str]:
    return [
        NOTHING if row.bd_rate is None else signed(row.bd_rate, 2, "%"),
        NOTHING if row.bd_lpips is None else signed(row.bd_lpips, 2),
    ]
