"""``python -m compressai_vq.training.prior``: train the index prior of a codec's weights.

It goes on where it was interrupted when the command is run again, and ends by exporting::

    python -m compressai_vq.training.prior --data DIR_OR_TAR... --validation TAR --runs RUNS \\
        -o PRIOR.safetensors
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from ...argument_parser import ArgumentParser
from ...errors import CodecError
from ...ladder_weights import LadderWeights
from ...pretrained import pretrained_weights
from ..exit_code import exit_code
from ..output_files import check_output
from ..photographs import load_photographs
from ..threads import use_threads
from .config import PriorConfig
from .export import export
from .index_maps import IndexMaps
from .run import PriorRun

_CONFIG = Path(__file__).parent / "configs" / "prior.toml"
_ARCHITECTURE = "mao2024-vqgan-lite"


def main(argv: list[str] | None = None) -> int:
    """Train and export; see the module's docstring.  Returns the exit code."""
    parser = ArgumentParser(prog="python -m compressai_vq.training.prior")
    parser.add_argument("--data", nargs="+", required=True, help="folders or tar files")
    parser.add_argument("--validation", nargs="+", required=True, help="not trained on")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--weights", type=Path, help="of the codec; default: the packaged ones")
    parser.add_argument(
        "--start",
        type=Path,
        metavar="PRIOR",
        help="an earlier prior that a new run goes on from: state.pt of a run, or .safetensors "
        "with its .json",
    )
    parser.add_argument("--config", type=Path, default=_CONFIG, help="default: the packaged one")
    parser.add_argument("--threads", type=int, default=0, help="default: all cores")
    parser.add_argument("--device", default="cpu", help="where training runs")
    parser.add_argument("-o", "--output", type=Path, help="default: prior.safetensors in the run")
    parser.add_argument(
        "-f", "--force", action="store_true", help="overwrite -o's file, and the .json beside it"
    )
    arguments = parser.parse_args(argv)
    return exit_code(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> None:
    use_threads(arguments.threads)
    device = _device(arguments.device)
    if arguments.output is not None:
        check_output(arguments.output, arguments.force)
    config = PriorConfig.load(arguments.config)
    if arguments.weights:
        weights = LadderWeights.load(arguments.weights)
    else:
        weights = pretrained_weights(_ARCHITECTURE)
    maps = IndexMaps(weights, device)
    pictures = load_photographs(arguments.data, config.crop)
    validation = load_photographs(arguments.validation, config.crop)
    folder = arguments.runs / "prior"
    start, data = arguments.start, arguments.data
    run = PriorRun(maps, config, folder, pictures, validation, device, start, data)
    run.train()
    output = arguments.output or folder / "prior.safetensors"
    export(folder, maps.codewords(), output)


def _device(name: str) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch asserts that it has CUDA
        raise CodecError(f"--device {name}: {str(error).partition(chr(10))[0]}") from error


if __name__ == "__main__":
    sys.exit(main())
