"""``compressai-vq import``: a taming-transformers checkpoint to nine-rate weights."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..atomic_file import refuse_to_overwrite
from ..errors import CodecError
from . import quick_start


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("import", help="a taming-transformers checkpoint to weights")
    parser.add_argument("checkpoint", type=Path, metavar="CKPT")
    parser.add_argument(
        "--calibrate", type=Path, metavar="DIR", help="images that show how often codewords occur"
    )
    parser.add_argument(
        "--unweighted", action="store_true", help="cluster without regard to use, as published"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the clustering")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.safetensors")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite an existing file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Import one checkpoint."""
    refuse_to_overwrite(arguments.output, arguments.force, [arguments.checkpoint])
    if not arguments.output.resolve().parent.is_dir():
        raise CodecError(f"{arguments.output} cannot be written: no such folder")
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
    print(
        f"{arguments.output}: {weights.architecture}, qualities {weights.qualities}, "
        f"frequencies {weights.calibration}, fingerprint {fingerprint.hex()}"
    )
    return 0
