"""The speed results as README.md shows them: one table, a column for each CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks.report.tables import NOTHING

_NAMES = {
    "lite": "`-lite`",
    "lite-prior": "`-lite`, index prior",
    "taming": "taming's modules, fp32",
    "mao2024-vqgan": "`mao2024-vqgan`, same weights",
    "cheng2020-anchor": "cheng2020-anchor",
    "vvc": "libvvenc medium and ffmpeg's decoder",
}

_AIMS = {
    ("lite", "taming"): 100.0,
    ("lite", "cheng2020-anchor"): 20.0,
    ("lite-prior", "cheng2020-anchor"): 20.0,
    ("lite", "vvc"): 1.0,
    ("lite-prior", "vvc"): 1.0,
    ("mao2024-vqgan", "taming"): 4.0,
}
"""How many times faster ours shall be."""
_MOST_OUTSIDE = 0.10
"""Share of the time that may pass outside of the networks, with indices coded by frequencies."""
_LEAST_OF_MATMUL = 0.40
_LEAST_PSNR = 45.0


class Row(NamedTuple):
    """A line of the table."""

    title: str
    aim: str
    cell: Callable[[dict[str, Any]], str]


def speed_table(reports: Sequence[dict[str, Any]]) -> str:
    """Results of ``benchmarks.speed`` side by side, what misses its aim in bold.

    Args:
        reports: of one CPU or number format each.
    """
    columns = [
        f"{report['machine']['cpu']}, {report['lite_dtype']}{'' if report.get('warm') else '²'}"
        for report in reports
    ]
    lines = [
        f"| | aim | {' | '.join(columns)} |",
        f"|---|--:|{'--:|' * len(columns)}",
    ]
    for row in _rows(reports):
        cells = " | ".join(row.cell(report) for report in reports)
        lines.append(f"| {row.title} | {row.aim} | {cells} |")
    return "\n".join([*lines, "", _notes(reports)])


def _rows(reports: Sequence[dict[str, Any]]) -> list[Row]:
    pairs = dict.fromkeys(
        (pair["ours"], pair["against"]) for report in reports for pair in report["pairs"]
    )
    shared = dict.fromkeys(key for report in reports for key in report["outside_networks"])
    rows = [
        Row("`-lite` there and back, s", "", _seconds("lite_whole")),
        Row("its networks alone, s", "", _seconds("lite")),
        Row("taming's modules, fp32, s", "", _seconds("taming")),
    ]
    for ours, other in pairs:
        least = _AIMS[_bare(ours), _bare(other)]
        title = f"{_name(ours)}: times faster than {_NAMES[_bare(other)]}"
        rows.append(Row(title, f"{least:.0f}", _ratio(ours, other, least)))
    for key in shared:
        by_prior = _bare(key) == "lite-prior"
        aim = "" if by_prior else f"under {100 * _MOST_OUTSIDE:.0f} %"
        most = 1.0 if by_prior else _MOST_OUTSIDE
        rows.append(Row(f"{_name(key)}: time outside the networks", aim, _outside(key, most)))
    for key in (key for key in shared if _bare(key) == "lite"):  # the prior's are the same
        title = f"{_name(key)}: FLOP/s of the networks, of a large matrix product's"
        rows.append(Row(title, f"{100 * _LEAST_OF_MATMUL:.0f} %", _of_matmul(key)))
    rows.append(
        Row("`mao2024-vqgan`: PSNR to what taming's decode", f"{_LEAST_PSNR:.0f} dB", _psnr)
    )
    peaks = [_peak("lite"), _peak("mao2024-vqgan"), _peak("taming")]
    rows.append(
        Row(
            "peak MiB of `-lite`, `mao2024-vqgan`, taming's",
            "",
            lambda report: ", ".join(peak(report) for peak in peaks),
        )
    )
    return rows


def _seconds(key: str) -> Callable[[dict[str, Any]], str]:
    def cell(report: dict[str, Any]) -> str:
        seconds = report["median_seconds"].get(key)
        return NOTHING if seconds is None else f"{seconds:.{1 if seconds > 1 else 3}f}"

    return cell


def _ratio(ours: str, other: str, aim: float) -> Callable[[dict[str, Any]], str]:
    def cell(report: dict[str, Any]) -> str:
        for pair in report["pairs"]:
            if (pair["ours"], pair["against"]) == (ours, other):
                median, low, high = (pair["ratio"][name] for name in ("median", "min", "max"))
                digits = 0 if median >= 20 else 1
                told = _judged(f"{median:.{digits}f}", median >= aim)
                if _bare(other) == "vvc" and not report.get("vvc_still"):
                    told += "³"
                return f"{told} ({low:.{digits}f} to {high:.{digits}f})"
        return NOTHING

    return cell


def _outside(key: str, most: float) -> Callable[[dict[str, Any]], str]:
    def cell(report: dict[str, Any]) -> str:
        share = report["outside_networks"].get(key)
        if share is None:
            return NOTHING
        return _judged(f"{100 * share['median']:.1f} %", share["median"] < most)

    return cell


def _of_matmul(key: str) -> Callable[[dict[str, Any]], str]:
    def cell(report: dict[str, Any]) -> str:
        share = report["of_matmul"].get(key)
        if share is None:
            return NOTHING
        mark = "¹" if report.get("lite_by_winograd") else ""
        told = f"{100 * share['median']:.0f} %"
        return _judged(told, share["median"] >= _LEAST_OF_MATMUL) + mark

    return cell


def _psnr(report: dict[str, Any]) -> str:
    if "fidelity" not in report:
        return NOTHING
    psnr = report["fidelity"]["psnr"]
    return _judged(f"{psnr:.1f}", psnr >= _LEAST_PSNR)


def _peak(key: str) -> Callable[[dict[str, Any]], str]:
    def cell(report: dict[str, Any]) -> str:
        peak = report["peak_mib"].get(key)
        return NOTHING if peak is None else f"{peak:.0f}"

    return cell


def _judged(told: str, met: bool) -> str:
    return told if met else f"**{told}**"


def _bare(key: str) -> str:
    return key.partition(",")[0]


def _name(key: str) -> str:
    bare, _, threads = key.partition(",")
    return _NAMES[bare] + ("," + threads if threads else "")


def _notes(reports: Sequence[dict[str, Any]]) -> str:
    first = reports[0]
    threads = dict.fromkeys(report["machine"]["threads"] for report in reports)
    rounds = ", ".join(str(report["repeats"]) for report in reports)
    notes = [
        f"A {first['image']} picture to a complete file and back, at quality 9, on "
        f"{' or '.join(map(str, threads))} threads where nothing else is said; each contestant "
        "a process of its own, in turns, with as many threads as ours. Medians "
        f"(and ranges) over {rounds} rounds; **bold** misses its aim. The lite networks have "
        f"{first['lite_parameters'] / 1e6:.1f}M parameters; FLOP/s are compared in their number "
        "format, on the same cores. `mao2024-vqgan` and taming's modules have the same random "
        "weights, and decode the same indices; cheng2020-anchor has random ones, of quality 3.",
    ]
    if any(report.get("lite_by_winograd") for report in reports):
        notes.append("¹ Counted as of direct convolutions; Winograd's filtering needs fewer.")
    if any(report.get("warm") for report in reports):
        notes.append("Each run comes right after one that is not counted.")
    if not all(report.get("warm") for report in reports):
        notes.append(
            "² Each run after a wait of many seconds, while the others ran, which costs the "
            "shortest runs the most."
        )
    sizes = [
        f"{size} and {report['bytes']['lite']}"
        for report in reports
        for key, size in report["bytes"].items()
        if _bare(key) == "vvc"
    ]
    if sizes:
        notes.append(f"VVC's file and ours by frequencies have {', '.join(sizes)} bytes.")
    if not all(report.get("vvc_still") for report in reports):
        notes.append(
            "³ VVC's picture as the first one of a sequence, as by default: parameter sets that "
            "a still does without leave it fewer bytes for the picture."
        )
    weights = dict.fromkeys(report["fingerprint"][:16] for report in reports)
    notes.append(f"Weights {', '.join(f'`{each}`' for each in weights)}.")
    return " ".join(notes)
