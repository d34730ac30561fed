"""``compressai-vq train``: pretrain, cluster, fine-tune, adversarial, export."""

from __future__ import annotations

import argparse
from typing import Any

from ..argument_parser import positive
from ..errors import CodecError
from ..training.output_files import check_output
from . import quick_start
from .path_arguments import stored_file_path, stored_path

_STAGES = {
    "pretrain": "the networks and one large codebook",
    "cluster": "nine codebooks of the large one, by K-means",
    "finetune": "networks and codebooks, all rates jointly",
    "adversarial": "as finetune, on larger crops and with a discriminator",
    "export": "a weights file of what was trained, and its provenance",
}
_TRAINED = ("pretrain", "finetune", "adversarial")


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser(
        "train",
        help="train weights of one's own",
        description="Stages, in this order. Each goes on where it was interrupted when its "
        "command is run again. "
        "Several processes: torchrun --nproc-per-node N -m compressai_vq.cli train ...",
    )
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for name, makes in _STAGES.items():
        stage = stages.add_parser(name, help=makes, description=makes)
        stage.add_argument("--data", nargs="+", required=True, metavar="DIR_OR_TAR")
        stage.add_argument(
            "--runs",
            type=stored_path,
            required=True,
            metavar="DIR",
            help="with a folder for each stage",
        )
        stage.add_argument("--threads", type=int, default=0, help="default: all cores")
        if name != "export":
            stage.add_argument(
                "--config",
                type=stored_path,
                help="TOML file (default: the stage's packaged one)",
            )
        if name in _TRAINED:
            _add_training(stage)
        if name in ("finetune", "adversarial"):
            _add_start(stage, "a weights file to start from; --start-from under torchrun")
        if name == "export":
            _add_start(
                stage,
                "what the stage started from, so that the new weights' provenance begins with its",
            )
            _add_export(stage)
    parser.set_defaults(run=run, start=None)


def _add_training(stage: argparse.ArgumentParser) -> None:
    stage.add_argument(
        "--validation",
        nargs="+",
        required=True,
        metavar="DIR_OR_TAR",
        help="photographs not trained on",
    )
    stage.add_argument("--accelerator", default="cpu", choices=["cpu", "cuda", "auto"])
    stage.add_argument("--devices", type=positive, default=1, help="processes of one machine")
    stage.add_argument("--nodes", type=positive, default=1, help="machines")
    stage.add_argument("--steps", type=positive, help="instead of the configuration's")
    stage.add_argument("--save-every", type=positive, default=250, metavar="STEPS")


def _add_start(stage: argparse.ArgumentParser, help: str) -> None:
    # torchrun takes --start for an abbreviation of an option of its own.
    stage.add_argument(
        "--start", "--start-from", dest="start", type=stored_path, metavar="WEIGHTS", help=help
    )


def _add_export(stage: argparse.ArgumentParser) -> None:
    stage.add_argument(
        "--of", dest="exported", choices=list(_STAGES)[1:-1],
        help="which stage to export (default: last)",
    )  # fmt: skip
    stage.add_argument(
        "--blend",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="share of what was trained, the rest being --start's weights (default: 1)",
    )
    stage.add_argument(
        "-o", "--output", type=stored_file_path, required=True, help=".safetensors file"
    )
    stage.add_argument(
        "-f", "--force", action="store_true",
        help="overwrite an existing file, and the .json beside it",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Run one stage."""
    if arguments.stage == "export":
        check_output(arguments.output, arguments.force)
    quick_start.import_compressai()
    try:
        from ..training.launch import launch
    except ImportError as error:
        raise CodecError(f"training needs pip install compressai-vq[train]: {error}") from None
    launch(arguments)
    return 0
