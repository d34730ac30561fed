"""Patterns that repeat from block to block in flat areas, in grey levels.

    python -m benchmarks.lattice KODAK --against COMMIT -o benchmarks/results/lattice.json

Windows of 64x64 pixels are judged where the original is flat: where what is left of it without
its local mean is weak.  Of what is left of a reconstruction there, the part that is the same in
all of a window's blocks of 16x16 is a lattice.  Its variance follows, without bias, from that of
the blocks' mean and that of the pixels, so that grain that does not repeat counts as none.

``COMMIT``'s weights are measured beside the package's.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.earlier_commit import Earlier, run_against
from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import LadderWeights, packaged_weights
from compressai_vq.picture import read_picture
from compressai_vq.training.regularity import details_of

QUALITIES = (1, 5, 9)
BLOCK, WINDOW = 16, 64
FLAT = 5.0
"""Root mean square of an original's details, in grey levels, up to which a window is flat."""


class Windows(NamedTuple):
    """Of every flat window of one picture; variances in squared grey levels."""

    details: Tensor  # of what is left without the local mean
    lattice: Tensor  # of the part of it that repeats; scatters about 0 where nothing does


def windows(picture: Tensor, flat: Tensor | None = None) -> Windows:
    """Judge a picture's windows.

    Args:
        picture: uint8 (3, H, W).
        flat: which windows count, as :func:`flat_windows` gave them; all when left out.
    """
    tiles = _tiles(picture)
    if flat is not None:
        tiles = tiles[flat]
    count = (WINDOW // BLOCK) ** 2
    blocks = tiles.unflatten(3, (-1, BLOCK)).unflatten(2, (-1, BLOCK))
    details = tiles.square().mean((1, 2, 3))
    mean = blocks.mean((2, 4)).square().mean((1, 2, 3))
    return Windows(details, (count * mean - details) / (count - 1))


def flat_windows(original: Tensor) -> Tensor:
    """Which windows of an original, uint8 (3, H, W), are flat: bool (windows,)."""
    return windows(original).details.sqrt() < FLAT


def _tiles(picture: Tensor) -> Tensor:
    """Details of the windows, half overlapping: (windows, 3, 64, 64)."""
    details = details_of(picture[None])[0]
    found = details.unfold(1, WINDOW, WINDOW // 2).unfold(2, WINDOW, WINDOW // 2)
    return found.permute(1, 2, 0, 3, 4).flatten(0, 1)


def measure(codec: FileCodec, pictures: list[Path]) -> dict[str, Any]:
    """The lattice of originals and of reconstructions, over all flat windows and at worst."""
    names = ["original", *(f"q{quality}" for quality in QUALITIES)]
    found: dict[str, list[Windows]] = {name: [] for name in names}
    for path in tqdm(pictures, disable=not sys.stderr.isatty(), unit="image"):
        original = read_picture(path, codec.max_pixels)
        flat = flat_windows(original)
        found["original"].append(windows(original, flat))
        for quality in QUALITIES:
            decoded = codec.decompress(codec.compress(original, quality))
            found[f"q{quality}"].append(windows(decoded, flat))
    report: dict[str, Any] = {
        "fingerprint": codec.weights.fingerprint.hex(),
        "windows": sum(len(each.details) for each in found["original"]),
    }
    for name, each in found.items():
        worst = max((_level(w.lattice), path.stem) for w, path in zip(each, pictures, strict=True))
        report[name] = {
            "details": round(_level(torch.cat([w.details for w in each])), 3),
            "lattice": round(_level(torch.cat([w.lattice for w in each])), 3),
            "worst": [worst[1], round(worst[0], 3)],
        }
    return report


def _level(variances: Tensor) -> float:
    """The root of a mean variance; of nothing, and of less than nothing, 0."""
    return math.sqrt(max(variances.mean().item(), 0.0)) if len(variances) else 0.0


def lattice_table(report: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| | details | lattice | in the worst image |",
        "|---|---|---|---|",
    ]
    ours, before = report["ours"], report["before"]
    rows = [("original", ours["original"])]
    for title, measured in (("earlier weights", before), ("these weights", ours)):
        rows += [(f"{title}, quality {q}", measured[f"q{q}"]) for q in QUALITIES]
    for title, row in rows:
        name, level = row["worst"]
        lines.append(
            f"| {title} | {row['details']:.2f} | {row['lattice']:.2f} | {level:.2f} ({name}) |"
        )
    lines += [
        "",
        f"Root mean squares in grey levels, over the {ours['windows']} windows of 64x64 pixels "
        f"in {report['images']} images of {report['dataset'].capitalize()} where the original's "
        f"details are below {FLAT:.0f}; details are what is left without the mean of 17x17 "
        "pixels, the lattice that part of them that is the same in all blocks of 16x16. "
        f"Weights `{ours['fingerprint'][:16]}`, earlier `{before['fingerprint'][:16]}`.",
    ]
    return "\n".join(lines)


def measure_both(earlier: Earlier, pictures: list[Path]) -> dict[str, Any]:
    """The earlier commit's weights and the package's."""
    packaged = packaged_weights("mao2024-vqgan-lite")
    before, ours = (
        measure(FileCodec(LadderWeights.load(path)), pictures)
        for path in (earlier.weights, packaged)
    )
    return {"commit": earlier.commit, "before": before, "ours": ours}


def main(argv: list[str] | None = None) -> int:
    """Measure and write the results; returns the exit code."""
    return run_against("python -m benchmarks.lattice", __doc__, argv, measure_both)


if __name__ == "__main__":
    sys.exit(main())
