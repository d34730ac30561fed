"""``compressai-vq import``: a taming-transformers checkpoint to nine-rate weights."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..atomic_file import check_folder_of, refuse_to_overwrite
from ..errors import CodecError
from . import quick_start
from .path_arguments import stored_file_path, stored_path
from .standard_streams import show

_LARGEST_SEED = 2**32 - 1  # of NumPy's generators


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("import", help="a taming-transformers checkpoint to weights")
    parser.add_argument("checkpoint", type=stored_path, metavar="CKPT")
    parser.add_argument(
        "--calibrate",
        type=stored_path,
        metavar="DIR",
        help="images that show how often codewords occur",
    )
    parser.add_argument(
        "--unweighted", action="store_true", help="cluster without regard to use, as published"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the clustering")
    parser.add_argument(
        "-o", "--output", type=stored_file_path, required=True, metavar="OUT.safetensors"
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite an existing file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Import one checkpoint."""
    if not 0 <= arguments.seed <= _LARGEST_SEED:
        raise CodecError(f"--seed must be from 0 to {_LARGEST_SEED}")
    refuse_to_overwrite(arguments.output, arguments.force, [arguments.checkpoint])
    check_folder_of(arguments.output)
    quick_start.import_compressai()
    from ..importing import import_checkpoint

    weights = import_checkpoint(
        arguments.checkpoint,
        arguments.calibrate,
        seed=arguments.seed,
        weighted=not arguments.unweighted,
        progress=sys.stderr.isatty(),
    )
    fingerprint = weights.save(arguments.output)
    show(
        f"{arguments.output}: {weights.architecture}, qualities {weights.qualities}, "
        f"frequencies {weights.calibration}, fingerprint {fingerprint.hex()}"
    )
    return 0
