"""``python -m compressai_vq.plugins.hific hific_low.pt -o low.pth``: import a checkpoint."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import torch

from compressai_vq.argument_parser import ArgumentParser
from compressai_vq.atomic_file import refuse_to_overwrite, write_atomically
from compressai_vq.errors import CodecError

from .checkpoint import import_hific


def main(argv: list[str] | None = None) -> int:
    """Import; returns the exit code, 2 after one line about input that cannot be used."""
    parser = ArgumentParser(
        prog="python -m compressai_vq.plugins.hific",
        description="Turn hific_low.pt, hific_med.pt or hific_hi.pt into a checkpoint for "
        "'python -m compressai.utils.eval_model checkpoint -a hific -p OUTPUT'.",
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="a .pth file")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite an existing file")
    arguments = parser.parse_args(argv)
    try:
        refuse_to_overwrite(arguments.output, arguments.force, [arguments.checkpoint])
        codec = import_hific(arguments.checkpoint)
        buffer = io.BytesIO()
        torch.save({"state_dict": codec.state_dict()}, buffer)
        write_atomically(arguments.output, buffer.getvalue())
    except CodecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
