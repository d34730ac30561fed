"""Writes the figures in README.md and docs/ from the results files, or checks that they agree.

    python -m benchmarks.readme            rewrite them
    python -m benchmarks.readme --check    exit 1 if one would change

What stands there between ``<!-- figures NAME -->`` and ``<!-- end -->``, a block or a few
words of a sentence (never at the start of a line: Markdown would take that line for HTML),
belongs to the function of that name below.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks.codecs import BY_PRIOR, OURS, REFINED
from benchmarks.enlarged import enlarged_table
from benchmarks.environment import ROOT
from benchmarks.lattice import lattice_table
from benchmarks.loss_words import fuzz_sentence, loss_table, netem_sentence
from benchmarks.refinement_steps import steps_table
from benchmarks.report.published import Published
from benchmarks.report.results import DATASETS, dataset_title, read_curve
from benchmarks.report.tables import NOTHING
from benchmarks.report.vvc_check import interpolate
from benchmarks.scale_words import folders_sentence, large_table
from benchmarks.speed_words import speed_table
from benchmarks.surroundings import surroundings_table
from benchmarks.unchanged import as_sentence
from compressai_vq.argument_parser import ArgumentParser
from compressai_vq.training.log import read_rows

PAGES = (ROOT / "README.md", ROOT / "docs" / "figures.md", ROOT / "docs" / "training.md")
RESULTS = ROOT / "benchmarks" / "results"
SPEEDS = ("speed.json", "speed-avx512.json", "speed-fp32.json")
WEIGHTS = ROOT / "compressai_vq" / "weights" / "mao2024-vqgan-lite.json"


def rates() -> str:
    """The range of rates with the index prior, in the words of a sentence."""
    bpp = _load(f"kodak/{BY_PRIOR}.json")["results"]["bpp"]
    return f"{min(bpp):.3f} to {max(bpp):.3f}"


def published() -> str:
    """What the published method reaches at the first and the last rate, likewise."""
    (paper,) = (curve for curve in Published().curves("kodak") if curve.codec == OURS)
    values = [f"{value:.2f}".lstrip("0") for value in paper.values["lpips"]]
    return f"{values[0]} at quality 1 and {values[-1]} at quality {len(values)}"


def saved() -> str:
    """What the index prior saves of complete files, in the words of a sentence."""
    shares = _saved()
    return f"{min(shares):.0f} to {max(shares):.0f} %"


def kodak() -> str:
    """The rate and distortion table."""
    report = _load("kodak/mao2024-vqgan-lite.json")
    results, machine = report["results"], report["machine"]
    lines = [
        "| quality | codewords | bytes | bpp | LPIPS | LPIPS-VGG | DISTS | PSNR dB | MS-SSIM "
        "| LPIPS without fine-tuning | LPIPS published |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    before = _load("kodak/mao2024-vqgan-lite-unfinetuned.json")["results"]["lpips"]
    (paper,) = (curve for curve in Published().curves("kodak") if curve.codec == OURS)
    columns = ("quality", "bytes", "bpp", "lpips", "lpips-vgg", "dists", "psnr-rgb", "ms-ssim-rgb")
    figures = [*(results[name] for name in columns), before, paper.values["lpips"]]
    for row in zip(*figures, strict=True):
        quality, size, bpp, alex, vgg, dists, psnr, ssim, plain, theirs = row
        lines.append(
            f"| {quality:.0f} | {2 ** (quality + 2):.0f} | {size:.0f} | {bpp:.4f} "
            f"| {alex:.3f} | {vgg:.3f} | {dists:.3f} | {psnr:.2f} | {ssim:.3f} "
            f"| {plain:.3f} | {theirs:.2f} |"
        )
    lines.append("")
    lines.append(
        f"Means over {report['dataset']['images']} images of "
        f"{report['dataset']['folder'].capitalize()}; sizes are those of complete `.cvq` files. "
        f"Weights `{report['fingerprint'][:16]}`, torch {machine['torch']}, {machine['cpu']}."
    )
    return "\n".join(lines)


def hook() -> str:
    """The sentence on the start-up cost of the hook."""
    report = _load("hook_cost.json")
    return (
        f"In a bare `python -c pass`, which takes {report['without_ms']:.1f} ms without it, the "
        f"hook costs {report['cost_ms']:.2f} ms (medians, {report['pairs']} paired runs)."
    )


def side_by_side() -> str:
    """What is said below the first picture."""
    report = _load("side-by-side.json")
    names = ", ".join(image["name"].rpartition(".")[0] for image in report["images"])
    sizes = {
        key: ", ".join(str(image[key]) for image in report["images"])
        for key in ("other", "ours", "refined")
    }
    return (
        f"Evenly spaced images of Kodak ({names}): originals, VVC (libvvenc) in {sizes['other']} "
        f"bytes, and ours at quality {report['quality']} in {sizes['ours']} bytes and, with "
        f"`--refine`, in {sizes['refined']}. Weights `{report['fingerprint'][:16]}`, prior "
        f"`{report['prior'][:16]}`, {report['machine']['cpu']}."
    )


def fuzz() -> str:
    """The sentence on the fuzz run."""
    report = _load("fuzz.json")
    refused = sum(report["refused"].values())
    return (
        f"Of {report['files']:,} mutated files {refused:,} were refused with one line and "
        f"{report['decoded']:,} gave an index map that decodes to a picture of the size in "
        f"their header ({report['decoded_by_the_networks']:,} of these went through the "
        "networks, for the others a stand-in was used to save time); none did anything else."
    )


def training() -> str:
    """How the shipped weights were trained."""
    provenance = json.loads(WEIGHTS.read_text())
    parts = [
        f"{name}: {stage['steps']:,} steps, {stage['crops']:,} crops of "
        f"{stage['config']['crop']} pixels, {stage['hours']} hours"
        for name, stage in provenance["stages"].items()
    ]
    return "; ".join(parts) + f". Frequencies {provenance['frequencies']}."


def ablations() -> str:
    """What changes to the training did to LPIPS on validation photographs."""
    arms = tomllib.loads((RESULTS / "ablations" / "ablations.toml").read_text())["arm"]
    lines = ["| training | from | q1 | q5 | q9 |", "|---|---|---|---|---|"]
    for arm in arms:
        rows = read_rows(RESULTS / arm["log"])
        (row,) = (row for row in rows if row["step"] == arm["step"])
        figures = " | ".join(f"{row[f'lpips_{q}']:.4f}" for q in (1, 5, 9))
        lines.append(f"| {arm['what']} | {arm['start']} | {figures} |")
    lines += ["", "LPIPS (AlexNet) of the averaged weights on 32 validation tiles, bf16."]
    return "\n".join(lines)


def against() -> str:
    """BD-rate against the baselines, on each data set that has results."""
    parts = []
    for dataset, title in DATASETS.items():
        path = RESULTS / "tables" / f"bd-{dataset}.md"
        if path.exists():
            parts.append(f"**{title}**\n\n{path.read_text().strip()}")
    return "\n\n".join(parts)


def prior() -> str:
    """Bytes of complete files: all indices alike, by frequencies, by the index prior."""
    coded, plain = _load(f"kodak/{BY_PRIOR}.json"), _load("kodak/mao2024-vqgan-lite.json")
    uniform = _load("kodak/mao2024-vqgan-lite-uniform.json")
    sizes = [report["results"]["bytes"] for report in (uniform, plain, coded)]
    lines = [
        "| quality | log2(K) bits each | frequencies | index prior | saved | bpp "
        "| encode, decode s by frequencies | by the prior |",
        "|---|---|---|---|---|---|---|---|",
    ]
    results = coded["results"]
    rows = zip(results["quality"], *sizes, _saved(), results["bpp"], strict=True)
    for quality, most, some, least, saving, bpp in rows:
        fast, slow = (_seconds(report["images"], quality) for report in (plain, coded))
        lines.append(
            f"| {quality:.0f} | {most:.0f} | {some:.0f} | {least:.0f} "
            f"| {saving:.1f} % | {bpp:.4f} | {fast} | {slow} |"
        )
    lines += [
        "",
        f"Means over {coded['dataset']['images']} images of "
        f"{coded['dataset']['folder'].capitalize()}, of times medians; bytes of complete files; "
        "times on one thread, beside other work on the machine. Weights "
        f"`{coded['fingerprint'][:16]}`, prior `{coded['prior'][:16]}`.",
    ]
    return "\n".join(lines)


def _saved() -> list[float]:
    """Per cent of complete files that the index prior saves, quality by quality."""
    with_prior, without = (_load(f"kodak/{codec}.json")["results"] for codec in (BY_PRIOR, OURS))
    pairs = zip(with_prior["bytes"], without["bytes"], strict=True)
    return [100 * (1 - least / some) for least, some in pairs]


def _seconds(rows: list[dict[str, Any]], quality: float) -> str:
    """Of the first image, encoding includes loading: a median leaves it out."""
    names = ("encoding_time", "decoding_time")
    of_quality = [row for row in rows if row["quality"] == quality]
    return ", ".join(f"{median(row[name] for row in of_quality):.2f}" for name in names)


def refined() -> str:
    """What refinement of the indices gains, on every set of images where it was run."""
    lines = [
        "| images | quality | bytes | bpp | LPIPS | LPIPS-VGG | DISTS | PSNR dB | MS-SSIM "
        "| LPIPS published | LPIPS of VVC |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    sets = {
        dataset: _load(f"{dataset}/{REFINED}.json")
        for dataset in DATASETS
        if (RESULTS / dataset / f"{REFINED}.json").exists()
    }
    for dataset in sets:
        lines += _refined_rows(dataset)
    told = {tuple(f[k] for k in ("fingerprint", "prior", "description")) for f in sets.values()}
    if len(told) > 1:
        raise ValueError("refined with other weights, or in other ways, from set to set")
    ((fingerprint, index_prior, description),) = told
    images = ", ".join(f"{dataset_title(d)} {f['dataset']['images']}" for d, f in sets.items())
    published = Published()
    other_images = "".join(
        f"What is published for {dataset_title(d)} is of {published.set_title(d)}, other images. "
        for d in sets
        if not published.has_same_images(d)
    )
    lines += [
        "",
        "Nearest codewords → refined, complete files by the index prior; means over all images "
        f"({images}). {description.split('; ')[1].capitalize()}. VVC (libvvenc) at the "
        f"refined files' rate, interpolated as in the report, where it goes as low. {other_images}"
        f"Weights `{fingerprint[:16]}`, prior `{index_prior[:16]}`.",
    ]
    return "\n".join(lines)


def _refined_rows(dataset: str) -> list[str]:
    found, nearest, vvc = (
        read_curve(RESULTS / dataset / f"{codec}.json") for codec in (REFINED, BY_PRIOR, "vvc")
    )
    if not found.images == nearest.images == vvc.images:
        raise ValueError(f"{dataset}: run on different images")
    (paper,) = (curve for curve in Published().curves(dataset) if curve.codec == OURS)
    digits = {"bytes": 0, "bpp": 4, "lpips": 3, "lpips-vgg": 3, "dists": 3}
    digits |= {"psnr-rgb": 2, "ms-ssim-rgb": 3}
    rows = []
    for n, quality in enumerate(found.means["quality"]):
        before = nearest.means["quality"].index(quality)
        cells = [
            f"{nearest.means[name][before]:.{d}f} → {found.means[name][n]:.{d}f}"
            for name, d in digits.items()
        ]
        other = interpolate(vvc.points("lpips"), found.means["bpp"][n])
        cells.append(f"{paper.values['lpips'][round(quality) - 1]:.2f}")
        cells.append(NOTHING if other is None else f"{other:.3f}")
        rows.append(f"| {dataset_title(dataset)} | {quality:.0f} | {' | '.join(cells)} |")
    return rows


def times() -> str:
    """Times of all codecs, side by side."""
    return (RESULTS / "tables" / "times-kodak.md").read_text().strip()


def speed() -> str:
    """Speed beside others', on CPUs of several kinds."""
    return speed_table([_load(name) for name in SPEEDS])


def told(file: str, words: Callable[[dict[str, Any]], str]) -> Callable[[], str]:
    """What is said of one results file."""
    return lambda: words(_load(file))


BLOCKS: dict[str, Callable[[], str]] = {
    "rates": rates,
    "published": published,
    "saved": saved,
    "kodak": kodak,
    "speed": speed,
    "hook": hook,
    "side_by_side": side_by_side,
    "fuzz": fuzz,
    "training": training,
    "ablations": ablations,
    "against": against,
    "prior": prior,
    "refined": refined,
    "refinement_steps": told("refinement-steps.json", steps_table),
    "enlarged": told("enlarged.json", enlarged_table),
    "surroundings": told("surroundings.json", surroundings_table),
    "loss": told("loss.json", loss_table),
    "netem": told("netem.json", netem_sentence),
    "packet_fuzz": told("packet-fuzz.json", fuzz_sentence),
    "times": times,
    "large": told("large.json", large_table),
    "folders": told("folders.json", folders_sentence),
    "lattice": told("lattice.json", lattice_table),
    "unchanged": told("unchanged.json", as_sentence),
    "unchanged_fp32": told("unchanged-fp32.json", as_sentence),
}


def render(text: str) -> str:
    """A page with every block written anew, within its line where it is within one.

    Raises:
        KeyError: for a block that no function writes.
    """

    def block(match: re.Match[str]) -> str:
        start, name, line_end, end = match.groups()
        return f"{start}{line_end}{BLOCKS[name]()}{line_end}{end}"

    return re.sub(r"(?s)(<!-- figures (\w+) -->)(\n?).*?(<!-- end -->)", block, text)


def main() -> int:
    """Rewrite or check; returns the exit code."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    stale = {page: new for page in PAGES if (new := render(old := page.read_text())) != old}
    if check:
        return int(bool(stale))
    for page, new in stale.items():
        page.write_text(new)
    return 0


def _load(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / name).read_text())


if __name__ == "__main__":
    sys.exit(main())
