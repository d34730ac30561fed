"""One stage of training from the command line's arguments."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path

import torch
from lightning_fabric import Fabric

from ..errors import CodecError
from ..ladder_weights import LadderWeights
from ..precision import for_training
from ..rates import LADDER
from .config import TrainingConfig
from .export import export
from .ladder import Ladder
from .photographs import load_photographs
from .run import TrainingRun, check_batch, steps_done
from .stages import (
    ClusterConfig,
    cluster,
    model_of,
    pretrain_model,
    previous_state,
    state_of_weights,
)
from .threads import use_threads

_VALIDATION_SIDE = 304  # pixels; smaller photographs are left out of validation


def launch(arguments: argparse.Namespace) -> None:
    """Run the stage that the arguments name; see ``compressai-vq train --help``.

    Raises:
        CodecError: for sources without photographs, bad settings and missing earlier stages.
    """
    use_threads(arguments.threads)
    if arguments.stage == "export":
        export(
            arguments.runs,
            arguments.data,
            arguments.output,
            arguments.exported,
            start=arguments.start,
            blend=arguments.blend,
        )
        return
    if arguments.stage == "cluster":
        clustering = ClusterConfig.load(arguments.config) if arguments.config else None
        pictures = _photographs(arguments.data, 16)
        cluster(clustering or ClusterConfig.packaged(), arguments.runs, pictures)
        return
    stage = arguments.stage
    config = (
        TrainingConfig.load(arguments.config)
        if arguments.config
        else TrainingConfig.packaged(stage)
    )
    if arguments.steps:
        config = dataclasses.replace(config, steps=arguments.steps)
    fabric = make_fabric(arguments.accelerator, arguments.devices, arguments.nodes)
    folder = arguments.runs / stage
    done = steps_done(folder)
    for phase in config.to_come(done):
        check_batch(phase.batch, fabric)
    if done >= config.steps and fabric.is_global_zero:
        print(f"{folder}: all of its {done} steps are done; --steps prolongs it")
    settings = config.at(done)
    model, start = _start(stage, settings, arguments.runs, arguments.start)
    pictures = _photographs(arguments.data, config.smallest_side)
    try:
        validation = _photographs(arguments.validation, _VALIDATION_SIDE)
    except CodecError:
        validation = _photographs(arguments.validation, config.smallest_side)
    while True:
        until = config.next_phase(done)
        run = TrainingRun(model, settings, folder, pictures, validation, fabric, start)
        run.train(arguments.save_every, until)
        if until >= config.steps:
            return
        # As if it had been interrupted there and taken up with other settings.
        done, settings = until, config.at(until)
        model, _ = _start(stage, settings, arguments.runs, arguments.start)


def make_fabric(accelerator: str, devices: int, nodes: int) -> Fabric:
    """Fabric for these devices, launched; under ``torchrun`` it takes its processes."""
    if accelerator == "auto":  # the number format depends on which one it is
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    world = int(os.environ.get("WORLD_SIZE", devices * nodes))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
    fabric = Fabric(
        accelerator=accelerator,
        devices=local,
        num_nodes=max(nodes, world // local),
        strategy="ddp" if world > 1 else "auto",
        precision=for_training(accelerator),
    )
    fabric.launch()
    return fabric


def _start(
    stage: str, config: TrainingConfig, runs: Path, path: Path | None
) -> tuple[Ladder, str]:
    """What a stage starts from, and the fingerprint if that is a weights file."""
    if stage == "pretrain":
        if config.codewords < LADDER[-1]:
            raise CodecError(
                f"codewords is {LADDER[-1]} or more, for the ladder's codebooks to be made of, "
                f"not {config.codewords}"
            )
        return pretrain_model(config), ""
    fingerprint = ""
    if path is not None:
        weights = LadderWeights.load(path)
        fingerprint = weights.fingerprint.hex()
        state = state_of_weights(weights, config.positions / len(config.qualities))
    else:
        state = previous_state(runs, stage)
    torch.manual_seed(config.seed)
    return model_of(state, config.decay, config.qualities, config.grain), fingerprint


def _photographs(sources: list[str], min_side: int) -> list[torch.Tensor]:
    missing = [source for source in sources if not Path(source).exists()]
    if missing:
        raise CodecError(f"{missing[0]}: no such folder or tar")
    return load_photographs(sources, min_side)
