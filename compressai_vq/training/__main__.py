"""``python -m compressai_vq.training``: pretrain, cluster, fine-tune.

Each stage goes on where it was interrupted when its command is run again::

    python -m compressai_vq.training pretrain --data DIR_OR_TAR... --validation TAR --runs RUNS
    python -m compressai_vq.training finetune --data DIR_OR_TAR... --validation TAR --runs RUNS
    python -m compressai_vq.training adversarial --data ... --validation TAR --runs RUNS
    python -m compressai_vq.training export   --data DIR_OR_TAR... --runs RUNS -o WEIGHTS
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from .photographs import load_photographs
from .run import TrainingConfig, TrainingRun
from .stages import STAGES, adversarial_model, finetune_model, pretrain_model

_CONFIGS = Path(__file__).parent / "configs"


def main(argv: list[str] | None = None) -> None:
    """Run one stage; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m compressai_vq.training")
    parser.add_argument("stage", choices=[*STAGES, "export"])
    parser.add_argument("--data", nargs="+", required=True, help="folders or tar files")
    parser.add_argument("--validation", nargs="+", help="folders or tar files, not trained on")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--config", type=Path, help="default: the packaged one of the stage")
    parser.add_argument("--threads", type=int, default=0, help="default: all cores")
    parser.add_argument("-o", "--output", type=Path, help="of export: safetensors file")
    arguments = parser.parse_args(argv)
    if arguments.stage == "export" and arguments.output is None:
        parser.error("export needs -o")
    if arguments.stage != "export" and not arguments.validation:
        parser.error(f"{arguments.stage} needs --validation")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.stage == "export":
        from .export import export

        export(arguments.runs, arguments.data, arguments.output)
        return
    config = TrainingConfig.load(arguments.config or _CONFIGS / f"{arguments.stage}.toml")
    torch.manual_seed(config.seed)
    torch.set_flush_denormal(True)
    pictures = load_photographs(arguments.data, config.crop)
    validation = load_photographs(arguments.validation, 304)
    if arguments.stage == "pretrain":
        model = pretrain_model(config)
    elif arguments.stage == "adversarial":
        model = adversarial_model(config, arguments.runs / "finetune" / "state.pt")
    else:
        model = finetune_model(config, arguments.runs / "pretrain" / "state.pt", pictures)
    folder = arguments.runs / arguments.stage
    TrainingRun(model, config, folder, pictures, validation).train()


if __name__ == "__main__":
    main()
