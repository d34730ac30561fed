"""Encoding and decoding times of every codec, one after the other on an otherwise idle machine.

    python -m benchmarks.times --dataset kodak=DIR [--images 3] [--codecs vvc,avif]

The times that ``benchmarks.compare`` keeps with its rows are those of a long run, which shares the
machine with whatever else goes on.  Here each image goes through all codecs in turn, at the
lowest, middle and highest of their rates, and the ratio to ours is taken image by image, so
that a machine that slows down slows all of them down.  Writes
``benchmarks/results/times-<dataset>.json``, where codecs that were not measured this time, such as
those whose weights are not at hand, keep what was measured of them on the same images.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.codecs import CODECS, MAX_PIXELS, OURS, Sources, fingerprint
from benchmarks.compare import RESULTS, available, named_dataset, names
from compressai_vq.argument_parser import ArgumentParser, positive
from compressai_vq.atomic_file import write_atomically
from compressai_vq.errors import CodecError
from compressai_vq.machine import describe_machine
from compressai_vq.picture import read_picture
from plugins.still_codecs.still_picture import StillPictureCodec

_NOT_TIMED = tuple(f"{OURS}-{name}" for name in ("unfinetuned", "uniform", "refined"))
# The first two do the same work; what refinement takes is measured by refinement_steps.


def main(argv: list[str] | None = None) -> int:
    """Measure and write; returns the exit code."""
    parser = ArgumentParser(prog="python -m benchmarks.times", description=__doc__)
    parser.add_argument("--dataset", required=True, metavar="NAME=DIR")
    parser.add_argument(
        "--images", type=positive, default=3, help="the first so many (default: 3)"
    )
    parser.add_argument("--codecs", help="such as vvc,avif; ours is always among them")
    parser.add_argument("--models", type=Path, default=Sources.models, help="retrained baselines")
    parser.add_argument("--threads", type=positive, default=1, help="of torch (default: 1)")
    arguments = parser.parse_args(argv)
    keys = names(arguments.codecs) if arguments.codecs else list(CODECS)
    keys = [OURS, *(key for key in keys if key != OURS and key not in _NOT_TIMED)]
    torch.set_num_threads(arguments.threads)
    try:
        dataset = named_dataset(arguments.dataset, arguments.images)
        codecs, missing = available(keys, Sources(arguments.models))
        for key, reason in missing.items():
            print(f"{key}: not available: {reason}", file=sys.stderr)
        report = measure(codecs, dataset.images)
        images = [path.name for path in dataset.images]
        report["dataset"] = {"name": dataset.name, "images": images}
        for key, row in report["codecs"].items():
            print(f"{key:>24} {row['encoding_time']:8.3f} s {row['decoding_time']:8.3f} s")
        target = RESULTS / f"times-{dataset.name}.json"
        keep_others(report, target)
        write_atomically(target, (json.dumps(report, indent=1) + "\n").encode())
    except (CodecError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def measure(codecs: dict[str, StillPictureCodec], paths: list[Path]) -> dict[str, Any]:
    """Medians over images and rates, and medians of the images' ratios to ours.

    Args:
        codecs: by key; ours must be among them.
        paths: of the images.
    """
    rows: dict[str, list[tuple[int, float, float, float]]] = {key: [] for key in codecs}
    for number, path in enumerate(paths):
        picture = read_picture(path, MAX_PIXELS)
        pixels = picture.shape[1] * picture.shape[2]
        for key, codec in codecs.items():
            for quality in _three(list(codec.qualities)):
                if not number:  # loads weights and programs
                    codec.decompress(codec.compress(picture, quality))
                started = time.perf_counter()
                data = codec.compress(picture, quality)
                compressed = time.perf_counter()
                codec.decompress(data)
                finished = time.perf_counter()
                bpp = 8 * len(data) / pixels
                rows[key].append((number, bpp, compressed - started, finished - compressed))
    ours = _per_image(rows[OURS])
    machine, weights = describe_machine(), fingerprint(codecs[OURS])
    table = {}
    for key, codec in codecs.items():
        ratios = [a / b for a, b in zip(_per_image(rows[key]), ours, strict=True)]
        table[key] = {
            "label": codec.label,
            "description": codec.description,
            "fingerprint": fingerprint(codec),
            "machine": machine,
            "beside": weights,  # ours, when it was measured
            "bpp": [min(row[1] for row in rows[key]), max(row[1] for row in rows[key])],
            "encoding_time": statistics.median(row[2] for row in rows[key]),
            "decoding_time": statistics.median(row[3] for row in rows[key]),
            "times_ours": {
                "median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)
            },
        }  # fmt: skip
    return {"codecs": table}


def keep_others(report: dict[str, Any], stored: Path) -> None:
    """Take over what an earlier file has of codecs that the report lacks, on the same images.

    Args:
        report: changed in place; its codecs are put into :data:`CODECS`' order.
        stored: the earlier file, if there is one.
    """
    if not stored.exists():
        return
    try:
        earlier = json.loads(stored.read_text(encoding="utf-8"))
        same = earlier["dataset"] == report["dataset"]
    except (ValueError, KeyError, TypeError) as error:
        raise CodecError(f"{stored} is damaged ({error}): remove it") from None
    if not same:
        return
    kept = {**earlier["codecs"], **report["codecs"]}
    report["codecs"] = {key: kept[key] for key in CODECS if key in kept}


def _per_image(rows: list[tuple[int, float, float, float]]) -> list[float]:
    """Mean seconds there and back, for each image."""
    numbers = sorted({row[0] for row in rows})
    return [statistics.mean(r[2] + r[3] for r in rows if r[0] == n) for n in numbers]


def _three(qualities: list[int]) -> list[int]:
    """First, middle and last, or all of fewer."""
    chosen = [qualities[0], qualities[len(qualities) // 2], qualities[-1]]
    return list(dict.fromkeys(chosen))


if __name__ == "__main__":
    sys.exit(main())
