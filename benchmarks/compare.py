"""Rate and distortion of every codec on the same images, into a result file for each.

    python -m benchmarks.compare --dataset kodak=DIR [--dataset clic2025-8=DIR2]
                                 [--codecs vvc,avif] [--qualities vvc=45,51] [--images 4]
                                 [--jobs 2] [-o FOLDER]

Writes ``FOLDER/<dataset>/<codec>.json``, by default in ``benchmarks/results``, with ``--images``
in ``out/quick``. Compressed files stay in ``out/streams/<dataset>/<codec>/``. What is measured is
kept in ``out/rows`` as it comes, so that the same command goes on where it was interrupted;
after a change of a codec's settings or weights, of torch or of the networks' number format, its
rows are measured anew. With ``--images`` both lie in ``out/quick`` too.

All codecs run in one thread, for equal times; codecs that cannot be had are listed with the
reason. Exit code 2 if one of them was asked for by name or if a codec failed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.codecs import CODECS, Sources, fingerprint, make_codec, prior_of
from benchmarks.environment import ROOT
from benchmarks.image_pool import ImagePool
from benchmarks.image_rows import METRICS, ImageRows, Outcome
from compressai_vq.argument_parser import ArgumentParser
from compressai_vq.atomic_file import write_atomically
from compressai_vq.errors import CodecError
from compressai_vq.evaluation import averages
from compressai_vq.machine import describe_machine
from compressai_vq.picture import ENDINGS
from plugins.still_codecs.still_picture import StillPictureCodec

RESULTS = ROOT / "benchmarks" / "results"
OUT = ROOT / "out"


@dataclass(frozen=True)
class Dataset:
    """A folder of images under the name that its results get."""

    name: str
    folder: Path
    images: list[Path]


@dataclass
class Contestant:
    """A codec with what is known of it on one data set."""

    key: str
    codec: StillPictureCodec
    rows: list[dict[str, Any]] = field(default_factory=list)
    failed: bool = False


def main(argv: list[str] | None = None) -> int:
    """Compare; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except (CodecError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--dataset", action="append", required=True, metavar="NAME=DIR",
        help="images of DIR, and the name that results are filed under; may be repeated",
    )  # fmt: skip
    parser.add_argument("--codecs", help=f"such as vvc,avif (default: all of {', '.join(CODECS)})")
    parser.add_argument(
        "--qualities",
        action="append",
        default=[],
        metavar="CODEC=1,5,9",
        help="only these of a codec's; may be repeated",
    )
    parser.add_argument("--images", type=int, help="only the first so many of each data set")
    parser.add_argument(
        "--metrics", default=",".join(METRICS),
        help="beside PSNR and MS-SSIM (default: %(default)s); empty for none, lpips alone is fast",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="of the results")
    parser.add_argument("--models", type=Path, default=Sources.models, help="retrained baselines")
    parser.add_argument("--unfinetuned", type=Path, help="our weights before fine-tuning")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    parser.add_argument(
        "--jobs", type=int, default=1,
        help="images that are measured side by side, each by a process (default: 1)",
    )  # fmt: skip
    return parser


def _run(arguments: argparse.Namespace) -> int:
    for name in ("images", "jobs", "threads"):
        if (number := getattr(arguments, name)) is not None and number < 1:
            raise CodecError(f"--{name} takes a number of at least 1")
    datasets = [named_dataset(text, arguments.images) for text in arguments.dataset]
    quick = arguments.images is not None
    work = OUT / "quick" if quick else OUT
    output = arguments.output or (work if quick else RESULTS)
    if quick and output.resolve() == RESULTS:
        raise CodecError(f"{output} is for results on all images: give -o another folder")
    keys = list(CODECS) if arguments.codecs is None else names(arguments.codecs)
    metrics = names(arguments.metrics)
    torch.set_num_threads(arguments.threads)
    sources = Sources(arguments.models, arguments.unfinetuned)
    codecs, missing = available(keys, sources)
    for key, reason in missing.items():
        print(f"{key}: not available: {reason}", file=sys.stderr)
    if not codecs:
        raise CodecError("none of these codecs is available" if keys else "--codecs names none")
    whole = {key: set(codec.qualities) for key, codec in codecs.items()}
    for text in arguments.qualities:
        _restrict(codecs, keys, text)
    for dataset in datasets if not quick else []:
        for key, codec in codecs.items():
            left_out = whole[key] - set(codec.qualities)
            _refuse_to_lose(output / dataset.name / f"{key}.json", left_out, metrics)
    failed = bool(missing and arguments.codecs)
    with ExitStack() as stack:
        pool = None
        if arguments.jobs > 1:
            wanted = {key: list(codec.qualities) for key, codec in codecs.items()}
            pool = ImagePool(arguments.jobs, wanted, sources, arguments.threads)
            stack.enter_context(pool)
        for dataset in datasets:
            for contestant in compare(dataset, codecs, metrics, work, pool):
                failed = failed or contestant.failed
                if not contestant.failed:
                    report = result(contestant, dataset)
                    target = output / dataset.name / f"{contestant.key}.json"
                    write_atomically(target, (json.dumps(report, indent=1) + "\n").encode())
                    print(f"{target}: {_summary(report['results'])}")
    return 2 if failed else 0


def _refuse_to_lose(path: Path, left_out: set[int], metrics: list[str]) -> None:
    """Raise CodecError where a stored result has qualities or metrics that are not asked for."""
    if not path.is_file():
        return
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))["results"]
        lost = [name for name in METRICS if name in stored and name not in metrics]
        qualities = left_out & {round(quality) for quality in stored["quality"]}
    except (OSError, ValueError, KeyError, TypeError):
        return  # what cannot be read is not lost
    lost += [f"quality {quality}" for quality in sorted(qualities)]
    if lost:
        raise CodecError(
            f"{path} has {', '.join(lost)}, which this run would lose: ask for them too, or give "
            "-o another folder"
        )


def available(
    keys: list[str], sources: Sources
) -> tuple[dict[str, StillPictureCodec], dict[str, str]]:
    """The codecs that can be had, and for each of the others the reason why not.

    Raises:
        CodecError: for a key that there is no codec of.
    """
    unknown = [key for key in keys if key not in CODECS]
    if unknown:
        raise CodecError(f"no codec {unknown[0]!r}; there are {', '.join(CODECS)}")
    codecs, missing = {}, {}
    for key in keys:
        try:
            codecs[key] = make_codec(key, sources)
        except CodecError as error:
            missing[key] = str(error)
    return codecs, missing


def compare(
    dataset: Dataset,
    codecs: dict[str, StillPictureCodec],
    metrics: list[str],
    work: Path,
    pool: ImagePool | None = None,
) -> list[Contestant]:
    """Measure all codecs and qualities of one image after the other.

    Args:
        dataset: the images.
        codecs: by key.
        metrics: names that a finished row must have.
        work: folder of ``rows`` and ``streams``.
        pool: processes that images are dealt out to; without one, they are measured here.

    Returns:
        The codecs with a row for each image and quality; of one that failed, what there is.

    Raises:
        CodecError: when what a metric needs cannot be had, or a process ended early.
    """
    contestants = {key: Contestant(key, codec) for key, codec in codecs.items()}
    total = len(dataset.images) * sum(len(codec.qualities) for codec in codecs.values())
    with tqdm(total=total, disable=not sys.stderr.isatty(), unit="file") as bar:

        def done(path: Path, key: str) -> None:
            bar.set_postfix_str(f"{path.stem} {key}", refresh=False)
            bar.update()

        measured: Iterable[dict[str, Outcome]]
        if pool is None:
            rows = ImageRows(work, dataset.name, codecs, metrics)
            measured = (rows.measure(path, done) for path in dataset.images)
        else:
            measured = pool.measure(dataset.images, work, dataset.name, metrics)
        for path, outcomes in zip(dataset.images, measured, strict=True):
            for key, outcome in outcomes.items():
                contestants[key].rows.extend(outcome.rows)
                if pool is not None:
                    bar.update(len(outcome.rows))
                if outcome.error is not None:
                    contestants[key].failed = True
                    tqdm.write(f"error: {key}: {path}: {outcome.error}", sys.stderr)
    return list(contestants.values())


def result(contestant: Contestant, dataset: Dataset) -> dict[str, Any]:
    """The contents of a result file."""
    codec = contestant.codec
    measured_on = dict.fromkeys(row.pop("cpu") for row in contestant.rows if "cpu" in row)
    machine = describe_machine()
    if measured_on:  # rows that an interrupted run has left may be another machine's
        machine["cpu"] = "; ".join(measured_on)
    results = averages(contestant.rows)
    return {
        "name": contestant.key,
        "label": codec.label,
        "description": f"{codec.description}; lpips is AlexNet's",
        "fingerprint": fingerprint(codec),
        **prior_of(codec),
        "dataset": {"folder": dataset.name, "images": len(dataset.images)},
        "machine": {**machine, "device": "cpu", "precision": "auto"},
        "results": {name: [_finite(v) for v in values] for name, values in results.items()},
        "images": [{k: _finite(v) for k, v in row.items()} for row in contestant.rows],
    }


def named_dataset(text: str, limit: int | None = None) -> Dataset:
    """What ``NAME=DIR`` says, or the first so many images of it.

    Raises:
        CodecError: for another form of words, and where there are no images.
    """
    name, separator, folder = text.partition("=")
    if not separator or not name or not folder or Path(name).name != name or name == "..":
        raise CodecError(f"--dataset takes NAME=DIR, not {text!r}")
    path = Path(folder)
    if not path.is_dir():
        raise CodecError(f"{folder}: no such folder")
    images = sorted(p for p in path.iterdir() if p.suffix.lower() in ENDINGS and p.is_file())
    if not images:
        raise CodecError(f"{folder}: no images in it")
    if len({image.stem for image in images}) < len(images):
        raise CodecError(f"{folder}: two images differ in their ending only")
    return Dataset(name, path, images[:limit])


def _restrict(codecs: dict[str, StillPictureCodec], keys: list[str], text: str) -> None:
    """Leave a codec that is available those of its qualities that ``CODEC=1,5,9`` names."""
    key, _, numbers = text.partition("=")
    if key not in CODECS or not names(numbers):
        raise CodecError(f"--qualities takes CODEC=1,5,9, not {text!r}")
    if key not in keys:
        raise CodecError(f"--qualities {text}: {key} is not among --codecs")
    if key in codecs:
        known = {str(quality): quality for quality in codecs[key].qualities}
        asked = names(numbers)
        if unknown := set(asked) - known.keys():
            raise CodecError(f"{key} has no quality {min(unknown)}; it has {', '.join(known)}")
        codecs[key].qualities = [known[name] for name in known if name in asked]


def names(text: str) -> list[str]:
    """What a list such as ``vvc,avif`` names, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _summary(results: dict[str, list[Any]]) -> str:
    rates = results["bpp"]
    text = f"{len(rates)} qualities, {min(rates):.4f} to {max(rates):.4f} bpp"
    if "lpips" in results:
        values = [value for value in results["lpips"] if value is not None]
        text += f", LPIPS {max(values):.3f} to {min(values):.3f}" if values else ""
    return text


if __name__ == "__main__":
    sys.exit(main())
