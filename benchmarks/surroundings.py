"""What it costs to be far from a picture's edges: ``python -m benchmarks.surroundings SHARD``.

::

    photograph ──► continued by its mirror images ──► there and back ──► its middle, compared

The middle of each photograph is compared, with nothing around the photograph, and with more and
more. The networks were trained on small crops, where an edge is always near: what they make of a
place changes with the distance of the edges, and ought not to.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.codecs import OURS
from benchmarks.environment import ROOT
from benchmarks.first_photographs import first_photographs
from compressai_vq.argument_parser import ArgumentParser
from compressai_vq.atomic_file import check_folder_of, write_atomically
from compressai_vq.codings import FREQUENCIES
from compressai_vq.errors import CodecError
from compressai_vq.evaluation import psnr
from compressai_vq.file_codec import FileCodec
from compressai_vq.machine import describe_machine
from compressai_vq.metrics.picture_metrics import PictureMetrics
from compressai_vq.pretrained import pretrained_weights
from compressai_vq.training.photographs import mirrored_region

RESULTS = ROOT / "benchmarks" / "results" / "surroundings.json"
SIDE = 320  # of what is taken of a photograph
MIDDLE = 160  # of what is compared
MARGINS = (0, 80, 160, 320)
QUALITIES = (1, 5, 9)
FIGURES = ("lpips", "psnr", "tone")


def main(argv: list[str] | None = None) -> int:
    """Measure and write; returns the exit code."""
    parser = ArgumentParser(prog="python -m benchmarks.surroundings", description=__doc__)
    parser.add_argument("source", help="folder or tar of photographs that were not trained on")
    parser.add_argument("--images", type=int, default=24, help="the first so many (default: 24)")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    try:
        check_folder_of(arguments.output)
        pictures = first_photographs(arguments.source, SIDE, arguments.images)
        report = {"source": Path(arguments.source).name, **measure(pictures)}
        write_atomically(arguments.output, (json.dumps(report, indent=1) + "\n").encode())
    except (CodecError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(surroundings_table(report))
    return 0


def measure(pictures: list[Tensor]) -> dict[str, Any]:
    """Means over photographs, uint8 (3, H, W), for each quality and margin.

    Raises:
        CodecError: when LPIPS's network cannot be had.
    """
    weights = pretrained_weights(OURS)
    codec = FileCodec(weights, coding=FREQUENCIES)  # the quick one: pictures are the same
    metric = PictureMetrics(["lpips"])
    sums = {(q, margin): torch.zeros(len(FIGURES)) for q in QUALITIES for margin in MARGINS}
    for picture in pictures:
        picture = mirrored_region(picture, 0, 0, SIDE, SIDE)
        original = middle(picture)
        distance = metric.against(original)
        for (quality, margin), total in sums.items():
            side = SIDE + 2 * margin
            around = mirrored_region(picture, -margin, -margin, side, side).contiguous()
            decoded = middle(codec.decompress(codec.compress(around, quality)))
            off = F.avg_pool2d(decoded.float() - original.float(), 16).abs().mean()
            figures = (distance(decoded)["lpips"], psnr(original, decoded), off)
            total += torch.tensor([float(figure) for figure in figures]) / len(pictures)
    return {
        "machine": describe_machine(),
        "fingerprint": weights.fingerprint.hex(),
        "images": len(pictures),
        "rows": [
            {"quality": q, "margin": margin, **dict(zip(FIGURES, total.tolist(), strict=True))}
            for (q, margin), total in sums.items()
        ],
    }


def middle(picture: Tensor) -> Tensor:
    """What is compared of a picture (3, S, S)."""
    start = (picture.shape[-1] - MIDDLE) // 2
    return picture[:, start : start + MIDDLE, start : start + MIDDLE].contiguous()


def surroundings_table(report: dict[str, Any]) -> str:
    """The results as docs/figures.md shows them."""
    lines = [
        "| quality | pixels around | LPIPS | PSNR dB | error of tones |",
        "|--:|--:|--:|--:|--:|",
    ]
    for row in report["rows"]:
        lines.append(
            f"| {row['quality']} | {row['margin']} | {row['lpips']:.4f} | {row['psnr']:.2f} "
            f"| {row['tone']:.1f} |"
        )
    lines += [
        "",
        f"Means over {report['images']} photographs of `{report['source']}`, of their middle "
        f"{MIDDLE}x{MIDDLE} pixels; tones are means of 16x16 pixels, in grey levels of 255. "
        f"Weights `{report['fingerprint'][:16]}`, LPIPS by AlexNet, {report['machine']['cpu']}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
