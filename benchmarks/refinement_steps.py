"""What steps of refinement cost and gain: ``python -m benchmarks.refinement_steps KODAK``.

Each picture is compressed with no steps and with several numbers of them, one after the other in
one thread, and how many times longer the encoder takes is a ratio of one picture's own times,
because absolute times drift on shared machines.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.codecs import MAX_PIXELS, OURS, OurCodec, packaged_prior_of
from benchmarks.environment import ROOT
from benchmarks.image_rows import METRICS, measuring
from compressai_vq.argument_parser import ArgumentParser, positive
from compressai_vq.atomic_file import check_folder_of, write_atomically
from compressai_vq.errors import CodecError
from compressai_vq.evaluation import averages, evaluate_picture
from compressai_vq.machine import describe_machine
from compressai_vq.picture import ENDINGS, read_picture
from compressai_vq.pretrained import pretrained_weights
from compressai_vq.refinement import STEPS, Refinement

RESULTS = ROOT / "benchmarks" / "results" / "refinement-steps.json"
_FIGURES = ("bytes", *METRICS, "psnr-rgb")


def main(argv: list[str] | None = None) -> int:
    """Measure and write; returns the exit code."""
    parser = ArgumentParser(prog="python -m benchmarks.refinement_steps", description=__doc__)
    parser.add_argument("folder", type=Path, help="of originals")
    parser.add_argument(
        "--images", type=positive, default=3, help="the first so many (default: 3)"
    )
    parser.add_argument("--steps", default=f"2,4,8,16,{STEPS}", help="default: %(default)s")
    parser.add_argument("-q", "--quality", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    try:
        check_folder_of(arguments.output)
        steps = [int(text) for text in arguments.steps.split(",")]
        paths = sorted(p for p in arguments.folder.iterdir() if p.suffix.lower() in ENDINGS)
        if not paths:
            raise CodecError(f"{arguments.folder}: no images to measure")
        report = measure(paths[: arguments.images], steps, arguments.quality)
        write_atomically(arguments.output, (json.dumps(report, indent=1) + "\n").encode())
    except (CodecError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(steps_table(report))
    return 0


def measure(paths: list[Path], steps: list[int], quality: int) -> dict[str, Any]:
    """Means over pictures for no steps and for each number of them.

    Raises:
        CodecError: when the networks of a metric cannot be had.
    """
    torch.set_num_threads(1)
    weights = pretrained_weights(OURS)
    prior = packaged_prior_of(weights)
    numbers = [0, *sorted(set(steps) - {0})]
    codecs = {n: OurCodec(weights, f"{n} steps", prior, Refinement(n)) for n in numbers}
    rows: dict[int, list[dict[str, Any]]] = {n: [] for n in numbers}
    prepare = measuring(list(METRICS))
    assert prepare is not None
    for path in paths:
        picture = read_picture(path, MAX_PIXELS)
        distances = prepare(picture, None)
        for n, codec in codecs.items():
            if path == paths[0]:  # loads the networks
                codec.compress(picture[:, :64, :64], quality)
            row = evaluate_picture(codec, picture, quality, distances)
            rows[n].append({"image": path.name, "quality": quality, **row})
    return {
        "machine": describe_machine() | {"threads": 1},
        "fingerprint": weights.fingerprint.hex(),
        "prior": prior.fingerprint.hex(),
        "folder": paths[0].parent.name,
        "images": [path.name for path in paths],
        "quality": quality,
        "steps": {
            str(n): {
                **{name: averages(rows[n])[name][0] for name in _FIGURES},
                "times_longer": _ratios(rows[n], rows[0]),
            }
            for n in numbers
        },
    }


def _ratios(rows: list[dict[str, Any]], base: list[dict[str, Any]]) -> dict[str, float]:
    pairs = zip(rows, base, strict=True)
    ratios = [a["encoding_time"] / b["encoding_time"] for a, b in pairs]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def steps_table(report: dict[str, Any]) -> str:
    """The results as docs/figures.md shows them."""
    lines = [
        "| steps | times as long to encode | bytes | LPIPS | LPIPS-VGG | DISTS | PSNR dB |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for steps, row in report["steps"].items():
        ratio = row["times_longer"]
        times = f"{ratio['median']:.0f} ({ratio['min']:.0f} to {ratio['max']:.0f})"
        lines.append(
            f"| {steps} | {times if int(steps) else 1} | {row['bytes']:.0f} | {row['lpips']:.3f} "
            f"| {row['lpips-vgg']:.3f} | {row['dists']:.3f} | {row['psnr-rgb']:.2f} |"
        )
    lines += [
        "",
        f"Quality {report['quality']}, by the index prior; means over the first "
        f"{len(report['images'])} images of {report['folder'].capitalize()}, times one by one on "
        f"one thread of {report['machine']['cpu']}, with the range over images. Weights "
        f"`{report['fingerprint'][:16]}`, prior `{report['prior'][:16]}`.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
