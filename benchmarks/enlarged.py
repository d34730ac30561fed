"""Photographs at several magnifications: ``python -m benchmarks.enlarged SHARD --against COMMIT``.

::

    photograph ──► enlarged ──► there and back ──► compared with the enlarged one

A tile cut out of a reduced photograph is full of detail; a large photograph is as smooth as that
tile is when enlarged.  Weights that learned on one kind alone do less well on the other.
``COMMIT``'s weights are measured beside the package's.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from benchmarks.codecs import OURS
from benchmarks.earlier_commit import code_of
from benchmarks.environment import ROOT
from benchmarks.first_photographs import first_photographs
from compressai_vq.argument_parser import ArgumentParser
from compressai_vq.atomic_file import check_folder_of, write_atomically
from compressai_vq.codings import FREQUENCIES
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.machine import describe_machine
from compressai_vq.metrics.picture_metrics import PictureMetrics
from compressai_vq.pretrained import pretrained_weights

RESULTS = ROOT / "benchmarks" / "results" / "enlarged.json"
SIDE = 304  # of what is taken of a photograph
FACTORS = (1.0, 1.5, 2.0)
QUALITIES = (1, 5, 9)


def main(argv: list[str] | None = None) -> int:
    """Measure and write; returns the exit code."""
    parser = ArgumentParser(prog="python -m benchmarks.enlarged", description=__doc__)
    parser.add_argument("source", help="folder or tar of photographs that were not trained on")
    parser.add_argument("--against", required=True, metavar="COMMIT")
    parser.add_argument("--images", type=int, default=32, help="the first so many (default: 32)")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    try:
        check_folder_of(arguments.output)
        pictures = first_photographs(arguments.source, SIDE, arguments.images)
        with tempfile.TemporaryDirectory() as name:
            earlier = code_of(arguments.against, Path(name).resolve())
            before = LadderWeights.load(earlier.weights)
        measured = measure({"before": before, "ours": pretrained_weights(OURS)}, pictures)
        report = {"source": Path(arguments.source).name, "commit": earlier.commit, **measured}
        write_atomically(arguments.output, (json.dumps(report, indent=1) + "\n").encode())
    except (CodecError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(enlarged_table(report))
    return 0


def measure(weights: dict[str, LadderWeights], pictures: list[Tensor]) -> dict[str, Any]:
    """LPIPS for each magnification and quality, means over photographs, uint8 (3, H, W).

    Args:
        weights: those to compare, by name.
        pictures: of which the top left 304x304 pixels are taken.

    Raises:
        CodecError: when LPIPS's network cannot be had.
    """
    metric = PictureMetrics(["lpips"])
    # By frequencies, the quick coding: pictures are the same.
    codecs = {name: FileCodec(each, coding=FREQUENCIES) for name, each in weights.items()}
    sums = {(q, factor): dict.fromkeys(codecs, 0.0) for q in QUALITIES for factor in FACTORS}
    for picture in pictures:
        for factor in FACTORS:
            original = enlarge(picture[:, :SIDE, :SIDE], factor)
            distance = metric.against(original)
            for quality in QUALITIES:
                for name, codec in codecs.items():
                    decoded = codec.decompress(codec.compress(original, quality))
                    sums[quality, factor][name] += distance(decoded)["lpips"] / len(pictures)
    return {
        "machine": describe_machine(),
        "fingerprints": {name: each.fingerprint.hex() for name, each in weights.items()},
        "images": len(pictures),
        "rows": [{"quality": q, "factor": factor, **of} for (q, factor), of in sums.items()],
    }


def enlarge(picture: Tensor, factor: float) -> Tensor:
    """A picture, uint8 (3, H, W), bicubically enlarged; itself by a factor of 1."""
    size = [round(side * factor) for side in picture.shape[1:]]
    if size == list(picture.shape[1:]):
        return picture.contiguous()
    larger = F.interpolate(picture[None].float(), size, mode="bicubic")
    return larger[0].round().clamp(0, 255).byte()


def enlarged_table(report: dict[str, Any]) -> str:
    """The results as docs/figures.md shows them."""
    lines = ["| quality | enlarged | earlier weights | these weights |", "|--:|--:|--:|--:|"]
    for row in report["rows"]:
        lines.append(
            f"| {row['quality']} | {row['factor']:g} times | {row['before']:.4f} "
            f"| {row['ours']:.4f} |"
        )
    fingerprints = report["fingerprints"]
    lines += [
        "",
        f"LPIPS (AlexNet), means over {report['images']} photographs of `{report['source']}`, of "
        f"{SIDE}x{SIDE} pixels before they are enlarged. Weights `{fingerprints['ours'][:16]}`, "
        f"earlier `{fingerprints['before'][:16]}`, {report['machine']['cpu']}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
