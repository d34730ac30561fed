"""``compressai-vq train``: pretrain, cluster, fine-tune, adversarial, export."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import CodecError
from ..training.output_files import check_output
from . import quick_start
from .path_arguments import stored_file_path, stored_path

STAGES = ("pretrain", "cluster", "finetune", "adversarial", "export")


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser(
        "train",
        help="train weights of one's own",
        description="Stages, in this order: pretrain, cluster, finetune, adversarial, "
        "export. Each goes on where it was interrupted when its command is run again. "
        "Several processes: torchrun --nproc-per-node N -m compressai_vq.cli train ...",
    )
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--data", nargs="+", required=True, metavar="DIR_OR_TAR")
    parser.add_argument(
        "--validation", nargs="+", metavar="DIR_OR_TAR", help="photographs not trained on"
    )
    parser.add_argument(
        "--runs",
        type=stored_path,
        required=True,
        metavar="DIR",
        help="with a folder for each stage",
    )
    parser.add_argument(
        "--config", type=stored_path, help="TOML file (default: the stage's packaged one)"
    )
    parser.add_argument(
        # torchrun takes --start for an abbreviation of an option of its own.
        "--start",
        "--start-from",
        dest="start",
        type=stored_path,
        metavar="WEIGHTS",
        help="start from a weights file, not a stage; --start-from under torchrun. Of export: "
        "what the stage started from, so that the new weights' provenance begins with its",
    )
    parser.add_argument("--accelerator", default="cpu", choices=["cpu", "cuda", "auto"])
    parser.add_argument("--devices", type=int, default=1, help="processes of one machine")
    parser.add_argument("--nodes", type=int, default=1, help="machines")
    parser.add_argument("--threads", type=int, default=0, help="default: all cores")
    parser.add_argument("--steps", type=int, help="instead of the configuration's")
    parser.add_argument("--save-every", type=int, default=250, metavar="STEPS")
    parser.add_argument(
        "--of", dest="exported", choices=STAGES[1:-1], help="which stage to export (default: last)"
    )
    parser.add_argument(
        "--blend",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="of export: share of what was trained, the rest being --start's weights (default: 1)",
    )
    parser.add_argument(
        "-o", "--output", type=stored_file_path, help="of export: .safetensors file"
    )
    parser.add_argument(
        "-f", "--force", action="store_true",
        help="of export: overwrite an existing file, and the .json beside it",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run one stage."""
    if arguments.stage == "export":
        if arguments.output is None:
            raise CodecError("export needs -o FILE.safetensors")
        check_output(arguments.output, arguments.force)
    for name in ("devices", "nodes", "steps", "save_every"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise CodecError(f"--{name.replace('_', '-')} is 1 or more, not {value}")
    if arguments.stage not in ("export", "cluster") and not arguments.validation:
        raise CodecError(f"{arguments.stage} needs --validation: photographs not trained on")
    quick_start.import_compressai()
    try:
        from ..training.launch import launch
    except ImportError as error:
        raise CodecError(f"training needs pip install compressai-vq[train]: {error}") from None
    launch(arguments)
    return 0
