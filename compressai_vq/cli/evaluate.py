"""``compressai-vq eval``: rate and distortion of complete files over a folder."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from .. import __version__
from ..atomic_file import check_folder_of, refuse_to_overwrite, write_atomically
from ..codings import PRIOR
from ..metrics.finished_rows import FinishedRows, RowsNotKept
from ..picture import ENDINGS, read_picture
from . import jobs
from .path_arguments import stored_file_path, stored_path
from .standard_streams import remark, show
from .weights import asked_qualities, file_codec

if TYPE_CHECKING:
    from ..file_codec import FileCodec
    from ..metrics.picture_metrics import PictureMetrics


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("eval", help="rate and distortion over a folder of images")
    parser.add_argument(
        "inputs", nargs="+", type=stored_path, metavar="IN", help="images or folders"
    )
    parser.add_argument("-q", "--qualities", default="", help="such as 1,5,9 (default: all)")
    parser.add_argument(
        "--lpips", action="store_true", help="measure LPIPS (AlexNet) and LPIPS-VGG too"
    )
    parser.add_argument("--dists", action="store_true", help="measure DISTS too")
    parser.add_argument(
        "-o", "--output", type=stored_file_path, metavar="FILE",
        help="write JSON here, at the end; until then FILE.rows keeps what is measured, and "
        "the same command goes on where it was interrupted",
    )  # fmt: skip
    parser.add_argument("-f", "--force", action="store_true", help="overwrite an existing file")
    jobs.add_json_argument(parser)
    jobs.add_coding_argument(parser)
    jobs.add_refinement_argument(parser)
    jobs.add_weights_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print a table."""
    paths = jobs.find(arguments.inputs, ENDINGS)
    if arguments.output is not None:
        refuse_to_overwrite(arguments.output, arguments.force, paths)
        check_folder_of(arguments.output)
    codec = file_codec(arguments)
    from ..evaluation import averages, undefined
    from ..machine import describe_machine

    qualities = asked_qualities(arguments.qualities, codec.weights)
    metrics = _metrics(arguments)
    finished = _finished_rows(arguments, codec, metrics)
    rows: list[dict[str, Any]] = []
    failed = 0
    total = len(paths) * len(qualities)
    with tqdm(total=total, disable=not sys.stderr.isatty(), unit="file") as bar:
        for path in paths:
            try:
                measured = []
                for row in _measure(path, codec, qualities, metrics, finished):
                    measured.append(row)
                    bar.update()
                rows += measured  # means at all qualities are over the same images
            except RowsNotKept:
                raise
            except jobs.EXPECTED as error:
                failed += 1
                text = jobs.with_name(path, jobs.one_line(error))
                remark(f"error: {text}")
    if not rows:
        return 2
    results = averages(rows)
    images = len(paths) - failed
    for name, lacking in undefined(rows).items():
        if lacking == images:  # a mean of none: the table has it
            continue
        remark(
            f"warning: {name} is not defined for {lacking} of {images} images, which are too "
            "small: its mean is over the others"
        )
    report: dict[str, Any] = {
        "name": codec.weights.architecture,
        "description": "complete .cvq files; lpips is AlexNet's",
        "fingerprint": codec.weights.fingerprint.hex(),
        "coding": codec.coding,
        "refinement_steps": 0 if codec.refinement is None else codec.refinement.steps,
        **_prior(codec),
        "dataset": {"folder": _names(arguments.inputs), "images": images},
        "machine": {
            **describe_machine(),
            "device": arguments.device,
            "precision": arguments.precision,
        },
        "results": {name: [_finite(v) for v in values] for name, values in results.items()},
        "images": [{k: _finite(v) for k, v in row.items()} for row in rows],
    }
    if arguments.output:  # before a reader of what is printed may have gone
        write_atomically(arguments.output, (json.dumps(report, indent=1) + "\n").encode())
        finished.remove()
    show(json.dumps(report, indent=2) if arguments.json else _table(results))
    return 2 if failed else 0


def _names(inputs: list[Path]) -> str:
    """Those of the folders and files that were given, each once."""
    return ", ".join(dict.fromkeys(path.resolve().name for path in inputs))


def _prior(codec: FileCodec) -> dict[str, str]:
    if codec.coding != PRIOR or codec.prior is None:
        return {}
    return {"prior": codec.prior.fingerprint.hex()}


def _metrics(arguments: argparse.Namespace) -> PictureMetrics | None:
    names = ["lpips", "lpips-vgg"] if arguments.lpips else []
    names += ["dists"] if arguments.dists else []
    if not names:
        return None
    from ..metrics.picture_metrics import PictureMetrics  # slow to import

    return PictureMetrics(names)


def _measure(
    path: Path,
    codec: FileCodec,
    qualities: list[int],
    metrics: PictureMetrics | None,
    finished: FinishedRows,
) -> Iterator[dict[str, Any]]:
    """One image's rows, measured now or in a run that was interrupted."""
    from ..evaluation import evaluate_picture

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    picture = measure = None
    for quality in qualities:
        row = finished.get(f"{digest} {quality}")
        if row is None:
            if picture is None:
                picture = read_picture(path, codec.max_pixels)
                measure = metrics.against(picture) if metrics is not None else None
            row = dict(evaluate_picture(codec, picture, quality, measure))
            finished.add(f"{digest} {quality}", row)
        yield {"image": path.name, "quality": quality, **row}


def _finished_rows(
    arguments: argparse.Namespace, codec: FileCodec, metrics: PictureMetrics | None
) -> FinishedRows:
    output: Path | None = arguments.output
    depends_on = {
        "version": __version__,
        "architecture": codec.weights.architecture,
        "fingerprint": codec.weights.fingerprint.hex(),
        "coding": codec.coding,
        "refinement_steps": 0 if codec.refinement is None else codec.refinement.steps,
        **_prior(codec),
        "device": arguments.device,
        "precision": arguments.precision,
        "metrics": [] if metrics is None else metrics.names,
    }
    if output is None or (output.exists() and not output.is_file()):  # a pipe or a device
        return FinishedRows(None, depends_on)
    return FinishedRows(output.with_name(output.name + ".rows"), depends_on)


def _finite(value: Any) -> Any:
    """``None`` for what JSON has no number for: MS-SSIM of small images, PSNR of equal ones."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(results: dict[str, list[float]]) -> str:
    lines = ["  ".join(f"{name:>13}" for name in results)]
    for values in zip(*results.values(), strict=True):
        lines.append("  ".join(f"{value:13.4f}" for value in values))
    return "\n".join(lines)
