"""``python -m benchmarks.report``: stored results to one page, plots and tables.

Writes OUT/report.html, which works from the file system and offline, and beside the results
plots/*.png and tables/*.md, which README.md and docs/ show. Pictures for the page's viewer are
decoded from the files that ``python -m benchmarks.compare`` left in out/streams if the originals'
folder is given with --pictures; otherwise two sample photographs are compressed on the fly.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.codecs import CODECS, Sources, make_codec
from benchmarks.environment import ROOT
from compressai_vq.argument_parser import ArgumentParser
from compressai_vq.atomic_file import write_atomically
from compressai_vq.errors import CodecError

from .build import build_report
from .export import write_plots, write_tables
from .page import Report, render
from .pictures import Packer, ViewerImage
from .sample_images import SAMPLE_CODECS, sample_images
from .stored_images import StoredImages

RESULTS = ROOT / "benchmarks" / "results"

_PAGE_CHARACTERS = 24_000_000
_PLOTLY_CHARACTERS = 6_000_000  # and all else that is not pictures


def main(argv: list[str] | None = None) -> int:
    """Write the report; returns the exit code."""
    parser = ArgumentParser(
        prog="python -m benchmarks.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=ROOT / "out" / "report",
        metavar="OUT",
        help="folder of the page (default: out/report)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=RESULTS,
        metavar="DIR",
        help="DIR/DATASET/CODEC.json (default: benchmarks/results)",
    )
    parser.add_argument(
        "--documents",
        type=Path,
        metavar="DIR",
        help="where plots/ and tables/ go (default: beside the results)",
    )
    parser.add_argument(
        "--pictures",
        action="append",
        default=[],
        metavar="DATASET=DIR",
        help="a data set's originals, for the viewer; may be repeated",
    )
    parser.add_argument(
        "--streams",
        type=Path,
        default=ROOT / "out" / "streams",
        metavar="DIR",
        help="DIR/DATASET/CODEC/IMAGE.qQUALITY.* (default: out/streams)",
    )
    parser.add_argument(
        "--images",
        type=int,
        default=8,
        metavar="N",
        help="at most so many images in the viewer (default: 8); 0 for none",
    )
    parser.add_argument(
        "--codecs",
        default="",
        metavar="A,B",
        help="codecs for the sample photographs (default: all that are at hand)",
    )
    parser.add_argument(
        "--models",
        type=Path,
        default=Sources.models,
        metavar="DIR",
        help="retrained baselines, to decode their files (default: %(default)s)",
    )
    parser.add_argument(
        "--unfinetuned", type=Path, metavar="FILE", help="our weights before fine-tuning, likewise"
    )
    parser.add_argument("--no-png", action="store_true", help="leave the PNG plots as they are")
    arguments = parser.parse_args(argv)
    try:
        write_report(arguments)
    except CodecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def write_report(arguments: argparse.Namespace) -> None:
    """Write everything that was asked for.

    Raises:
        CodecError: when results or originals cannot be used or files cannot be written.
    """
    report = build_report(arguments.results)
    add_pictures(report, arguments)
    page = arguments.output / "report.html"
    write_atomically(page, render(report).encode())
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB, {len(report.plots)} plots, "
          f"{len(report.images)} images in the viewer")  # fmt: skip
    documents = arguments.documents or arguments.results
    written = write_tables(report.tables, documents / "tables")
    print(f"{documents / 'tables'}: {len(written)} tables")
    if arguments.no_png:
        return
    try:
        drawn = write_plots(report.plots, documents / "plots")
        print(f"{documents / 'plots'}: {len(drawn)} plots")
    except CodecError as error:
        print(f"{documents / 'plots'}: stored plots kept: {error}")


def add_pictures(report: Report, arguments: argparse.Namespace) -> None:
    """Fill the viewer: from stored streams, or from the sample photographs.

    Raises:
        CodecError: for a folder of originals that does not exist, and fewer than no images.
    """
    if arguments.images < 0:
        raise CodecError("--images takes 0 or more")
    if not arguments.images:
        return
    originals = dict(_originals(text) for text in arguments.pictures)
    sources = Sources(arguments.models, arguments.unfinetuned)
    codec = functools.partial(make_codec, sources=sources)
    packer = Packer(arguments.output / "cache")
    stored = StoredImages(report.results, arguments.streams, originals, codec, packer, _warn)
    report.images = _take(stored, arguments.images)
    if report.images:
        report.images_remark = "Decoded from the very files that the figures were measured on."
    else:
        if originals:
            _warn(f"viewer: no streams in {arguments.streams} for the originals given")
        report.images = _take(sample_images(_names(arguments), codec, _warn), arguments.images)
        report.images_remark = (
            "Two photographs that scikit-learn ships, compressed when this page was made: they "
            "belong to no data set above."
        )
    used = {key for image in report.images for key in image.codecs}
    report.labels = {key: CODECS[key].label for key in used} | report.labels


def _names(arguments: argparse.Namespace) -> list[str]:
    names = [name.strip() for name in arguments.codecs.split(",") if name.strip()]
    unknown = [name for name in names if name not in CODECS]
    if unknown:
        raise CodecError(f"no codec {unknown[0]!r}; there are {', '.join(CODECS)}")
    return names or list(SAMPLE_CODECS)


def _take(images: Iterable[ViewerImage], most: int) -> list[ViewerImage]:
    taken: list[ViewerImage] = []
    left = _PAGE_CHARACTERS - _PLOTLY_CHARACTERS
    for image in images:
        left -= image.size
        if left < 0 and taken:
            break
        taken.append(image)
        if len(taken) == most:
            break
    return taken


def _originals(text: str) -> tuple[str, Path]:
    dataset, equals, folder = text.partition("=")
    if not (dataset and equals and folder):
        raise CodecError(f"--pictures {text}: write it as DATASET=DIR, such as kodak=photos/")
    return dataset, Path(folder)


def _warn(message: str) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
