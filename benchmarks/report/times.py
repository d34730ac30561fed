"""How long each codec takes, and what every figure was measured with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.codecs import OURS

from .baselines import MARKS
from .results import Curve, dataset_title
from .tables import NOTHING, Table


def times(dataset: str, curves: dict[str, Curve], folder: Path) -> Table:
    """Encoding and decoding times: those of ``benchmarks.times``, else those kept with the rows.

    Args:
        dataset: its folder's name.
        curves: by codec.
        folder: of the results, which may hold ``times-<dataset>.json``.
    """
    path = folder / f"times-{dataset}.json"
    if path.exists():
        return _side_by_side(dataset, json.loads(path.read_text()))
    rows = []
    for curve in curves.values():
        encoding, decoding = curve.median("encoding_time"), curve.median("decoding_time")
        rows.append([
            curve.label, str(len(curve.images)), str(len(curve.means["bpp"])),
            _range(curve.means["bpp"]), _seconds(encoding), _seconds(decoding),
            str(curve.machine.get("threads", NOTHING)), curve.machine.get("cpu", NOTHING),
        ])  # fmt: skip
    return Table(
        name=f"times-{dataset}",
        caption=f"Seconds for one image of {dataset_title(dataset)}, medians",
        columns=["codec", "images", "rates", "bpp", "encode s", "decode s", "threads",
                 "machine"],
        rows=rows,
        notes=["Medians over all images and rates, from a picture in memory to a complete file "
               "and back; programs that are started for each picture include their start. Taken "
               "during long runs that shared their machines, and not all on the same one: for "
               "comparisons run `python -m benchmarks.times`."],
    )  # fmt: skip


def _side_by_side(dataset: str, report: dict[str, Any]) -> Table:
    ours = report["codecs"][OURS]
    runs = {_run(row): row for row in report["codecs"].values()}
    marks = dict(zip([run for run in runs if run != _run(ours)], MARKS, strict=False))
    rows = []
    for row in report["codecs"].values():
        ratio = row["times_ours"]
        rows.append([
            row["label"] + marks.get(_run(row), ""), _range(row["bpp"]),
            _seconds(row["encoding_time"]), _seconds(row["decoding_time"]),
            f"{ratio['median']:.1f}",
            f"{ratio['min']:.1f} to {ratio['max']:.1f}",
        ])  # fmt: skip
    images = len(report["dataset"]["images"])
    return Table(
        name=f"times-{dataset}",
        caption=f"Seconds for one image of {dataset_title(dataset)}, medians, side by side",
        columns=["codec", "bpp", "encode s", "decode s", "times ours", "range"],
        rows=rows,
        notes=[f"Medians over {images} images at the lowest, middle and highest rate of each "
               "codec, from a picture in memory to a complete file and back, one codec after the "
               f"other on an idle machine ({_machine(ours)}); programs that are started for each "
               "picture include their start. Ratios are of there-and-back times, image by image. "
               f"Ours by learned frequencies, with weights `{ours['beside'][:16]}`.",
               *(f"{mark} In an earlier run ({_machine(runs[run])}), beside ours with weights "
                 f"`{runs[run]['beside'][:16]}`." for run, mark in marks.items())],
    )  # fmt: skip


def _run(row: dict[str, Any]) -> str:
    """What tells one run of the benchmark from another."""
    return json.dumps([row["machine"], row["beside"]], sort_keys=True)


def _machine(row: dict[str, Any]) -> str:
    machine = row["machine"]
    return f"{machine['cpu']}, {machine['threads']} thread{'s' * (machine['threads'] != 1)}"


def provenance(results: dict[str, dict[str, Curve]]) -> Table:
    """What every curve was measured on and with."""
    rows = []
    for dataset, curves in results.items():
        for curve in curves.values():
            machine = curve.machine
            versions = [f"{k} {machine[k]}" for k in ("torch", "python") if k in machine]
            rows.append([
                dataset_title(dataset), curve.label, str(len(curve.images)),
                curve.fingerprint[:16] or NOTHING, machine.get("cpu", NOTHING),
                ", ".join(versions) or NOTHING, curve.description or NOTHING,
            ])  # fmt: skip
    return Table(
        name="provenance",
        caption="What was measured, and with what",
        columns=["data set", "codec", "images", "weights or settings", "machine", "versions",
                 "remarks"],
        rows=rows,
        notes=["LPIPS is AlexNet's and DISTS VGG16's where nothing else is said; rates are "
               "those of complete files, headers included, over the pixels of the original."],
        text_columns=7,
    )  # fmt: skip


def summary(results: dict[str, dict[str, Curve]]) -> str:
    """One sentence: data sets, weights, machine."""
    sets = [
        f"{dataset_title(dataset)} ({max(len(c.images) for c in curves.values())} images)"
        for dataset, curves in results.items()
    ]
    ours = [curves[OURS] for curves in results.values() if OURS in curves]
    weights = sorted({curve.fingerprint[:16] for curve in ours})
    machines = sorted({
        f"{curve.machine.get('cpu', 'unknown')}, {curve.machine.get('threads', '?')} threads"
        for curves in results.values() for curve in curves.values()
    })  # fmt: skip
    text = f"Measured on {' and '.join(sets)}"
    if weights:
        text += f" with weights {', '.join(weights)}"
    return f"{text}; {'; '.join(machines)}. LPIPS is AlexNet's unless VGG16 is named."


def _range(rates: list[float]) -> str:
    low, high = f"{min(rates):.4f}", f"{max(rates):.4f}"
    return low if low == high else f"{low} to {high}"


def _seconds(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"
