"""The speed results as README.md shows them."""

from __future__ import annotations

from typing import Any

_NAMES = {
    "lite": "`-lite`",
    "lite-prior": "`-lite`, index prior",
    "taming": "taming's modules, fp32",
    "mao2024-vqgan": "`mao2024-vqgan`, same weights",
    "cheng2020-anchor": "cheng2020-anchor (random weights, quality 3)",
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


def speed_text(report: dict[str, Any]) -> str:
    """A sentence on the networks, then the table where the results have one."""
    ratio, seconds, machine = (
        report[name] for name in ("taming_over_lite", "median_seconds", "machine")
    )
    sentence = (
        f"Encoding and decoding a {report['image']} image takes the lite networks "
        f"({report['lite_parameters'] / 1e6:.1f}M parameters, {report['lite_dtype']}) "
        f"{seconds['lite']:.3f} s on {machine['threads']} threads of {machine['cpu']}, and "
        f"taming's f16 networks in fp32 {seconds['taming']:.1f} s: {ratio['median']:.0f} times "
        f"longer ({ratio['min']:.0f} to {ratio['max']:.0f} over {report['repeats']} paired runs)."
    )
    if "pairs" not in report:
        return sentence
    lines = [
        sentence,
        "",
        "| there and back | against | times faster | range | aim | peak MiB |",
        "|---|---|--:|--:|--:|--:|",
        *(_pair(row, report["peak_mib"]) for row in report["pairs"]),
        "",
        _notes(report),
    ]
    return "\n".join(lines)


def _pair(row: dict[str, Any], peak: dict[str, float]) -> str:
    ours, other, ratio = row["ours"], row["against"], row["ratio"]
    aim = _AIMS[(_bare(ours), _bare(other))]
    digits = 0 if ratio["median"] >= 20 else 1
    low, high = ratio["min"], ratio["max"]
    return (
        f"| {_name(ours)} | {_name(other)} | {ratio['median']:.{digits}f} "
        f"| {low:.{digits}f} to {high:.{digits}f} | {aim:.0f} "
        f"| {peak[ours]:.0f} and {peak[other]:.0f} |"
    )


def _counted(report: dict[str, Any]) -> str:
    if not report.get("lite_by_winograd"):
        return ""
    return "; counted as of direct convolutions, and Winograd's filtering needs fewer"


def _bare(key: str) -> str:
    return key.partition(",")[0]


def _name(key: str) -> str:
    bare, _, threads = key.partition(",")
    return _NAMES[bare] + ("," + threads if threads else "")


def _notes(report: dict[str, Any]) -> str:
    outside = "; ".join(
        f"{_name(key)}: {100 * share['median']:.1f} %"
        for key, share in report["outside_networks"].items()
    )
    arithmetic = "; ".join(
        f"{_name(key)}: {100 * share['median']:.0f} %"
        for key, share in report["of_matmul"].items()
    )
    notes = [
        "Compressed and decompressed complete files of one picture at quality 9; each contestant "
        "a process of its own, in turns, after a warm-up. Peak memory is of ours and theirs"
        ", without the programs that VVC starts.",
        f"Share of the time outside the networks: {outside} (aim: under 10 % by frequencies).",
        "FLOP/s of the lite networks as a share of a large matrix product's in "
        f"{report['lite_dtype']} on the same cores: {arithmetic} (aim: 40 %{_counted(report)}).",
    ]
    if "fidelity" in report:
        fidelity = report["fidelity"]
        notes.append(
            f"`mao2024-vqgan` and taming's modules: PSNR {fidelity['psnr']:.1f} dB between what "
            f"they decode from the same indices (aim: 45), {100 * fidelity['same_indices']:.1f} % "
            "of their encoders' indices the same, "
            f"{fidelity['psnr_with_own_indices']:.1f} dB with each one's own; random weights."
        )
    sizes = report["bytes"]
    vvc = next((size for key, size in sizes.items() if _bare(key) == "vvc"), None)
    if vvc is not None:
        notes.append(f"VVC's file has {vvc} bytes, ours {sizes['lite']} by frequencies.")
    if "fingerprint" in report:
        notes.append(f"Weights `{report['fingerprint'][:16]}`.")
    return " ".join(notes)
