"""``compressai-vq export-onnx``: networks and tables for other runtimes and the decoder page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..atomic_file import refuse_to_overwrite
from ..errors import CodecError
from . import quick_start
from .path_arguments import stored_path
from .standard_streams import show
from .weights import asked_qualities


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("export-onnx", help="the lite networks as ONNX, with tables")
    parser.add_argument("-o", "--output", type=stored_path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--weights",
        type=stored_path,
        metavar="FILE",
        help="safetensors file (default: the package's)",
    )
    parser.add_argument(
        "--prior", type=stored_path, metavar="FILE",
        help="index prior of these weights (default: the package's, if it has one)",
    )  # fmt: skip
    parser.add_argument(
        "-q", "--qualities", default="", help="whose codebooks, such as 1,5,9 (default: all)"
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite an earlier export")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the folder."""
    folder: Path = arguments.output
    if folder.exists() and not folder.is_dir():
        raise CodecError(f"{folder} is a file; the export needs a folder")
    quick_start.import_compressai()
    from ..ladder_weights import LadderWeights
    from ..onnx_export import ARCHITECTURE, FILES, export_onnx
    from ..pretrained import pretrained_weights
    from ..prior.prior_weights import packaged_prior

    for name in FILES:
        refuse_to_overwrite(folder / name, arguments.force)
    if arguments.weights is None:
        weights = pretrained_weights(ARCHITECTURE)
    else:
        weights = LadderWeights.load(arguments.weights)
    prior = packaged_prior(weights) if arguments.prior is None else arguments.prior
    qualities = asked_qualities(arguments.qualities, weights)
    for path in export_onnx(weights, folder, qualities, prior):
        show(f"{path}: {path.stat().st_size} bytes")
    return 0
