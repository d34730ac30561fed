"""Rate and distortion of every codec on the same images, into a result file for each.

    python -m benchmarks.compare --dataset kodak=DIR [--dataset clic2025-8=DIR2]
                                 [--codecs vvc,avif] [--images 4] [-o FOLDER]

Writes ``FOLDER/<dataset>/<codec>.json``, by default in ``benchmarks/results``, with ``--images``
in ``out/quick``. Compressed files stay in ``out/streams/<dataset>/<codec>/``. What is measured is
kept in ``out/rows`` as it comes, so that the same command goes on where it was interrupted;
after a change of a codec's settings or weights its rows are measured anew.

All codecs run in one thread, for equal times; codecs that cannot be had are listed with the
reason. Exit code 2 if one of them was asked for by name or if a codec failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.codecs import CODECS, Sources, fingerprint, make_codec
from benchmarks.environment import ROOT
from benchmarks.shared_metrics import remembering
from compressai_vq.atomic_file import write_atomically
from compressai_vq.errors import CodecError
from compressai_vq.evaluation import Measure, averages, evaluate_picture
from compressai_vq.machine import describe_machine
from compressai_vq.metrics.finished_rows import FinishedRows
from compressai_vq.picture import ENDINGS, read_picture
from plugins.still_codecs.still_picture import StillPictureCodec

RESULTS = ROOT / "benchmarks" / "results"
OUT = ROOT / "out"
METRICS = ("lpips", "lpips-vgg", "dists")
_MAX_PIXELS = 1 << 25

Prepare = Callable[[Tensor], Measure]
"""An original, uint8 (3, H, W), to what measures decoded pictures against it."""


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
    finished: FinishedRows
    streams: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    failed: bool = False


class _KeepsFile:
    """A codec that remembers the file it wrote last."""

    def __init__(self, codec: StillPictureCodec) -> None:
        self._codec = codec
        self.data = b""

    def compress(self, picture: Tensor, quality: int) -> bytes:
        self.data = self._codec.compress(picture, quality)
        return self.data

    def decompress(self, data: bytes) -> Tensor:
        return self._codec.decompress(data)


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
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--dataset", action="append", required=True, metavar="NAME=DIR",
        help="images of DIR, and the name that results are filed under; may be repeated",
    )  # fmt: skip
    parser.add_argument("--codecs", help=f"such as vvc,avif (default: all of {', '.join(CODECS)})")
    parser.add_argument("--images", type=int, help="only the first so many of each data set")
    parser.add_argument(
        "--metrics", default=",".join(METRICS),
        help="beside PSNR and MS-SSIM (default: %(default)s); empty for none, lpips alone is fast",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="of the results")
    parser.add_argument("--models", type=Path, default=Sources.models, help="retrained baselines")
    parser.add_argument("--unfinetuned", type=Path, help="our weights before fine-tuning")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    if arguments.images is not None and arguments.images < 1:
        raise CodecError("--images takes a number of at least 1")
    datasets = [_dataset(text, arguments.images) for text in arguments.dataset]
    quick = arguments.images is not None
    output = arguments.output or (OUT / "quick" if quick else RESULTS)
    if quick and output.resolve() == RESULTS:
        raise CodecError(f"{output} is for results on all images: give -o another folder")
    keys = _names(arguments.codecs) if arguments.codecs else list(CODECS)
    names = _names(arguments.metrics)
    torch.set_num_threads(arguments.threads)
    codecs, missing = available(keys, Sources(arguments.models, arguments.unfinetuned))
    for key, reason in missing.items():
        print(f"{key}: not available: {reason}", file=sys.stderr)
    if not codecs:
        raise CodecError("none of these codecs is available")
    failed = bool(missing and arguments.codecs)
    prepare = measuring(names)
    for dataset in datasets:
        for contestant in compare(dataset, codecs, names, prepare, OUT):
            failed = failed or contestant.failed
            if not contestant.failed:
                report = result(contestant, dataset)
                target = output / dataset.name / f"{contestant.key}.json"
                write_atomically(target, (json.dumps(report, indent=1) + "\n").encode())
                print(f"{target}: {_summary(report['results'])}")
    return 2 if failed else 0


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


def measuring(names: list[str]) -> Prepare | None:
    """What measures by these metrics; None for none of them.

    Raises:
        CodecError: for unknown metrics and when their backbones cannot be had.
    """
    if not names:
        return None
    from compressai_vq.metrics.picture_metrics import PictureMetrics

    metrics = PictureMetrics(names)
    return lambda original: remembering(metrics.against(original))


def compare(
    dataset: Dataset,
    codecs: dict[str, StillPictureCodec],
    metrics: list[str],
    prepare: Prepare | None,
    work: Path,
) -> list[Contestant]:
    """Measure all codecs and qualities of one image after the other.

    Images come outermost so that an original's features are computed once for all codecs.

    Args:
        dataset: the images.
        codecs: by key.
        metrics: names that a finished row must have.
        prepare: what measures these.
        work: folder of ``rows`` and ``streams``.

    Returns:
        The codecs with a row for each image and quality; of one that failed, what there is.
    """
    contestants = [
        Contestant(
            key,
            codec,
            FinishedRows(
                work / "rows" / dataset.name / f"{key}.rows",
                {
                    "fingerprint": fingerprint(codec),
                    **_prior(codec),
                    "description": codec.description,
                    "threads": torch.get_num_threads(),
                },
            ),
            work / "streams" / dataset.name / key,
        )
        for key, codec in codecs.items()
    ]
    total = len(dataset.images) * sum(len(c.codec.qualities) for c in contestants)
    with tqdm(total=total, disable=not sys.stderr.isatty(), unit="file") as bar:
        for path in dataset.images:
            image = _Image(path, prepare)
            for contestant in contestants:
                bar.set_postfix_str(f"{path.stem} {contestant.key}")
                try:
                    for row in _rows(contestant, image, metrics):
                        contestant.rows.append(row)
                        bar.update()
                except (CodecError, MemoryError, RuntimeError) as error:
                    contestant.failed = True
                    text = " ".join(str(error).split()) or "out of memory"
                    tqdm.write(f"error: {contestant.key}: {path}: {text}", sys.stderr)
    return contestants


class _Image:
    """An image that is read, and whose features are computed, when first needed."""

    def __init__(self, path: Path, prepare: Prepare | None) -> None:
        self.path = path
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self._prepare = prepare
        self._loaded: tuple[Tensor, Measure | None] | None = None

    def load(self) -> tuple[Tensor, Measure | None]:
        if self._loaded is None:
            picture = read_picture(self.path, _MAX_PIXELS)
            self._loaded = picture, self._prepare(picture) if self._prepare else None
        return self._loaded


def _rows(contestant: Contestant, image: _Image, metrics: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of one image, from an earlier run or measured now."""
    for quality in contestant.codec.qualities:
        name = f"{image.path.stem}.q{quality}{contestant.codec.extension}"
        stream = contestant.streams / name
        key = f"{image.digest} {quality}"
        row = contestant.finished.get(key)
        if row is not None and not _is_file(stream, row["sha256"]):
            row = None
        if row is not None and not set(metrics) <= set(row):
            # Only a metric is new: the file and the times are those of the row.
            measure = image.load()[1]
            assert measure is not None
            row = {**row, **measure(contestant.codec.decompress(stream.read_bytes()))}
            contestant.finished.add(key, row)
        elif row is None:
            picture, measure = image.load()
            codec = _KeepsFile(contestant.codec)
            row = dict(evaluate_picture(codec, picture, quality, measure))
            row["sha256"] = hashlib.sha256(codec.data).hexdigest()
            write_atomically(stream, codec.data)
            contestant.finished.add(key, row)
        unasked = set(METRICS) - set(metrics) | {"sha256"}
        figures = {name: value for name, value in row.items() if name not in unasked}
        yield {"image": image.path.name, "quality": quality, **figures}


def _is_file(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def result(contestant: Contestant, dataset: Dataset) -> dict[str, Any]:
    """The contents of a result file."""
    codec = contestant.codec
    results = averages(contestant.rows)
    return {
        "name": contestant.key,
        "label": codec.label,
        "description": f"{codec.description}; lpips is AlexNet's",
        "fingerprint": fingerprint(codec),
        **_prior(codec),
        "dataset": {"folder": dataset.name, "images": len(dataset.images)},
        "machine": {**describe_machine(), "device": "cpu", "precision": "auto"},
        "results": {name: [_finite(v) for v in values] for name, values in results.items()},
        "images": [{k: _finite(v) for k, v in row.items()} for row in contestant.rows],
    }


def _prior(codec: StillPictureCodec) -> dict[str, str]:
    """The index prior's fingerprint, of a codec that codes by one."""
    prior = getattr(codec, "prior", None)
    return {} if prior is None else {"prior": prior}


def _dataset(text: str, limit: int | None) -> Dataset:
    name, separator, folder = text.partition("=")
    if not separator or not name or not folder or Path(name).name != name:
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


def _names(text: str) -> list[str]:
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
