"""``compressai-vq eval``: rate and distortion of complete files over a folder."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..atomic_file import write_atomically
from ..errors import CodecError
from ..evaluation import averages, evaluate
from ..machine import describe_machine
from ..picture import ENDINGS
from . import jobs
from .weights import file_codec


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("eval", help="rate and distortion over a folder of images")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="images or folders")
    parser.add_argument("-q", "--qualities", default="", help="such as 1,5,9 (default: all)")
    parser.add_argument(
        "--lpips", action="store_true", help="measure LPIPS (AlexNet) and LPIPS-VGG too"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write JSON here")
    jobs.add_json_argument(parser)
    jobs.add_weights_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print a table."""
    paths: list[Path] = []
    for path in arguments.inputs:
        if path.is_dir():
            paths += sorted(
                p for p in path.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file()
            )
        elif path.exists():
            paths.append(path)
        else:
            raise CodecError(f"{path}: no such file")
    if not paths:
        raise CodecError("no images found")
    codec = file_codec(arguments)
    qualities = _qualities(arguments.qualities, codec.weights.qualities)
    metrics = {}
    if arguments.lpips:
        from ..metrics.lpips import load_lpips

        metrics = {"lpips": load_lpips("alex"), "lpips-vgg": load_lpips("vgg")}
    total = len(paths) * len(qualities)
    bar = tqdm(total=total, disable=not sys.stderr.isatty(), unit="file")
    rows = []
    for row in evaluate(codec, paths, qualities, metrics):
        rows.append(row)
        bar.update()
    bar.close()
    results = averages(rows)
    report = {
        "name": codec.weights.architecture,
        "description": "complete .cvq files; lpips is AlexNet's",
        "fingerprint": codec.weights.fingerprint.hex(),
        "dataset": {"folder": arguments.inputs[0].resolve().name, "images": len(paths)},
        "machine": {
            **describe_machine(),
            "device": arguments.device,
            "precision": arguments.precision,
        },
        "results": {name: [_finite(v) for v in values] for name, values in results.items()},
        "images": [{k: _finite(v) for k, v in row.items()} for row in rows],
    }
    if arguments.output:
        write_atomically(arguments.output, (json.dumps(report, indent=1) + "\n").encode())
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        print(_table(results))
    return 0


def _qualities(text: str, known: list[int]) -> list[int]:
    try:
        asked = sorted({int(part) for part in text.split(",") if part})
    except ValueError:
        raise CodecError(f"-q takes numbers such as 1,5,9, not {text!r}") from None
    for quality in asked:
        if quality not in known:
            raise CodecError(f"these weights have qualities {known}, not {quality}")
    return asked or known


def _finite(value: Any) -> Any:
    """``None`` for what JSON has no number for: MS-SSIM of small images, PSNR of equal ones."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(results: dict[str, list[float]]) -> str:
    lines = ["  ".join(f"{name:>13}" for name in results)]
    for values in zip(*results.values(), strict=True):
        lines.append("  ".join(f"{value:13.4f}" for value in values))
    return "\n".join(lines)
