"""The averaged weights of a run to the file that the package ships, with its provenance."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..index_coder import IndexCoder
from ..ladder_weights import LadderWeights
from .ladder import Ladder
from .photographs import load_photographs
from .usage import count_usage

ARCHITECTURE = "mao2024-vqgan-lite"


def export(runs: Path, data: list[str], output: Path, pictures: int = 2000) -> LadderWeights:
    """Count frequencies on training photographs and write weights and provenance.

    Args:
        runs: folder with the stages' folders; ``finetune`` is exported.
        data: the training photographs, folders or tars.
        output: safetensors file; ``.json`` beside it tells where the weights come from.
        pictures: how many photographs are counted on.
    """
    state = torch.load(runs / "finetune" / "state.pt", weights_only=True)
    average = state["average"]
    books = {
        int(name.split(".")[1]): value.half().float()
        for name, value in average.items()
        if name.endswith(".weight") and name.startswith("codebooks.")
    }
    model = Ladder(books, decay=0.0)
    model.load_state_dict({k: v.half().float() for k, v in average.items()})
    photographs = load_photographs(data, 16)
    photographs = photographs[:: max(1, len(photographs) // pictures)]
    tensors: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if name.startswith(("encoder.", "decoder.")):
            tensors[name] = value.half()
    for rate, counts in count_usage(model, photographs).items():
        coder = IndexCoder(len(counts))
        coder.set_counts(counts)
        tensors[f"codebooks.{rate + 1}"] = books[rate].half()
        tensors[f"log2_frequencies.{rate + 1}"] = coder.quantiles.detach().clone()
    calibration = f"counted on {len(photographs)} images"
    weights = LadderWeights(ARCHITECTURE, calibration, tensors)
    fingerprint = weights.save(output)
    facts = provenance(runs, data, fingerprint, calibration)
    output.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    return weights


def provenance(
    runs: Path, data: list[str], fingerprint: bytes, calibration: str
) -> dict[str, Any]:
    """Where weights come from: commands, data, and each stage's settings and last figures."""
    shards = " ".join(Path(path).name for path in data)
    command = "python -m compressai_vq.training"
    return {
        "fingerprint": fingerprint.hex(),
        "frequencies": calibration,
        "data": [Path(path).name for path in data],
        "commands": [
            f"{command} pretrain --data {shards} --validation VALIDATION --runs RUNS",
            f"{command} finetune --data {shards} --validation VALIDATION --runs RUNS",
            f"{command} export --data {shards} --runs RUNS -o WEIGHTS.safetensors",
        ],
        "stages": {s: _stage(runs / s) for s in ("pretrain", "finetune")},
    }


def _stage(folder: Path) -> dict[str, Any]:
    state = torch.load(folder / "state.pt", weights_only=True)
    with (folder / "log.csv").open(newline="") as log:
        *_, last = csv.DictReader(log)
    config = state["config"]
    return {
        "steps": state["step"],
        "crops": state["step"] * config["batch"],
        "hours": round(state["seconds"] / 3600, 2),
        "metrics": {k: float(v) for k, v in last.items()},  # lpips_Q: AlexNet, validation
        "config": config,
    }
