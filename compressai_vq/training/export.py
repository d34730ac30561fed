"""The averaged weights of a run to a weights file, with their provenance beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..atomic_file import write_atomically
from ..errors import CodecError
from ..index_coder import IndexCoder
from ..ladder_weights import LadderWeights
from .log import read_rows
from .photographs import load_photographs
from .source_commit import source_commit
from .stages import STAGES, model_of
from .usage import count_usage


def export(
    runs: Path, data: list[str], output: Path, stage: str | None = None, pictures: int = 2000
) -> LadderWeights:
    """Count frequencies on training photographs and write weights and provenance.

    Args:
        runs: folder with the stages' folders.
        data: the training photographs, folders or tars.
        output: safetensors file; ``.json`` beside it tells where the weights come from.
        stage: which one is exported; the last that was run when left out.
        pictures: how many photographs are counted on.

    Raises:
        CodecError: when there is no such stage to export.
    """
    done = [name for name in STAGES if (runs / name / "state.pt").exists()]
    if stage is None:
        stage = done[-1] if done else "finetune"
    if stage not in done or stage == "pretrain":
        raise CodecError(f"{runs} has no {stage} stage with the ladder's codebooks to export")
    state = torch.load(runs / stage / "state.pt", weights_only=True, map_location="cpu")
    # Counted with the weights as they are stored.
    average = {name: value.half().float() for name, value in state["average"].items()}
    model = model_of(average, 0.0)
    photographs = load_photographs(data, 16)
    photographs = photographs[:: max(1, len(photographs) // pictures)]
    tensors: dict[str, Tensor] = {}
    for name, value in average.items():
        if name.startswith(("encoder.", "decoder.")):
            tensors[name] = value.half()
    for rate, counts in count_usage(model, photographs).items():
        coder = IndexCoder(len(counts))
        coder.set_counts(counts)
        tensors[f"codebooks.{rate + 1}"] = model.codebook(rate).weight.half()
        tensors[f"log2_frequencies.{rate + 1}"] = coder.quantiles.detach().clone()
    calibration = f"counted on {len(photographs)} images"
    taming = "encoder.net.conv_in.weight" in average
    architecture = "mao2024-vqgan" if taming else "mao2024-vqgan-lite"
    weights = LadderWeights(architecture, calibration, tensors)
    fingerprint = weights.save(output)
    stages = STAGES[: STAGES.index(stage) + 1]
    facts = provenance(runs, stages, data, fingerprint, calibration)
    write_atomically(output.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode())
    return weights


def provenance(
    runs: Path, stages: tuple[str, ...], data: list[str], fingerprint: bytes, calibration: str
) -> dict[str, Any]:
    """Where weights come from: commands, commits, data, and each stage's last figures."""
    shards = " ".join(Path(path).name for path in data)
    command = "compressai-vq train"
    commands = [
        f"{command} {stage} --data {shards} --runs RUNS"
        + ("" if stage == "cluster" else " --validation VALIDATION")
        for stage in stages
    ]
    last = f"{command} export --of {stages[-1]} --data {shards} --runs RUNS"
    trained = [stage for stage in stages if (runs / stage / "log.csv").exists()]
    return {
        "fingerprint": fingerprint.hex(),
        "frequencies": calibration,
        "data": [Path(path).name for path in data],
        "commands": [*commands, f"{last} -o WEIGHTS.safetensors"],
        "exported_by": source_commit(),
        "stages": {stage: describe_stage(runs / stage) for stage in trained},
    }


def describe_stage(folder: Path) -> dict[str, Any]:
    """What a stage's folder tells of it: amounts, machine, commits, settings, last figures."""
    state = torch.load(folder / "state.pt", weights_only=True, map_location="cpu")
    config = state["config"]
    return {
        "steps": state["step"],
        "crops": state["step"] * config["batch"],
        "crop_side": config["crop"],
        "hours": round(state["seconds"] / 3600, 2),
        "device": state.get("device", "not recorded"),
        "commits": state.get("commits", []) or ["not recorded"],
        "metrics": read_rows(folder / "log.csv")[-1],  # lpips_Q: AlexNet, validation
        "config": config,
        "changes": state.get("changes", []),  # of the settings above, on the way
    }
