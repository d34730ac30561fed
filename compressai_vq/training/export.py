"""The averaged weights of a run to a weights file, with their provenance beside it.

Of a run that trained the encoder alone, the encoder: everything else is that of the weights that
it started from, so that both write and read the same compressed images.  Where weights come from
begins with what is known of those that a run started from.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Container
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..atomic_file import write_atomically
from ..errors import CodecError
from ..index_coder import IndexCoder
from ..ladder_weights import LadderWeights
from .config import PACKAGED, TrainingConfig
from .log import last_row
from .photographs import load_photographs
from .source_commit import source_commit
from .stages import STAGES, ClusterConfig, model_of, state_of_weights
from .state_file import load_state
from .usage import count_usage

_COUNTED = 2000  # photographs, or a few more


def export(
    runs: Path,
    data: list[str],
    output: Path,
    stage: str | None = None,
    start: Path | None = None,
    blend: float = 1.0,
) -> LadderWeights:
    """Count frequencies on training photographs and write weights and provenance.

    Args:
        runs: folder with the stages' folders.
        data: the training photographs, folders or tars.
        output: safetensors file; ``.json`` beside it tells where the weights come from.
        stage: which one is exported; the last that was run when left out.
        start: the weights file that the stage started from, if it did: what is known of it is
            kept, and where the encoder alone was trained, everything else comes from it.
        blend: share of the trained weights, above 0 and at most 1; the rest is ``start``'s.  What
            was learned on other pictures than before then costs less of what was known before
            (Wortsman et al., 2022, "Robust fine-tuning of zero-shot models").

    Raises:
        CodecError: when there is no such stage to export, when ``start`` is not what it started
            from, and when more than the encoder differs from ``start`` after a training of the
            encoder alone; when there is nothing to blend with.
    """
    if not 0 < blend <= 1:
        raise CodecError(f"--blend is above 0 and at most 1, not {blend:g}")
    if blend < 1 and start is None:
        raise CodecError("--blend needs --start, the weights to blend with")
    done = [name for name in STAGES if (runs / name / "state.pt").exists()]
    if stage is None:
        stage = done[-1] if done else "finetune"
    if stage not in done or stage == "pretrain":
        raise CodecError(f"{runs} has no {stage} stage with the ladder's codebooks to export")
    if start is not None and stage == "cluster":
        raise CodecError("cluster starts from no weights file: export it without --start")
    state = load_state(runs / stage / "state.pt")
    before = None if start is None else LadderWeights.load(start)
    stages = _stages(runs, stage, start is not None)
    _check_start(stages[0], load_state(runs / stages[0] / "state.pt", mmap=True), before)
    # Counted with the weights as they are stored.
    average = state["average"] if before is None else blended(state["average"], before, blend)
    average = {name: value.half().float() for name, value in average.items()}
    if before is not None and state["config"].get("train") == "encoder":
        weights = with_encoder(before, average)
        _write(weights, output, provenance(runs, stages, data, weights, start, blend))
        return weights
    model = model_of(average, 0.0)
    photographs = load_photographs(data, 16)
    photographs = photographs[:: max(1, len(photographs) // _COUNTED)]
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
    _write(weights, output, provenance(runs, stages, data, weights, start, blend))
    return weights


def blended(average: dict[str, Tensor], before: LadderWeights, share: float) -> dict[str, Tensor]:
    """A share of a run's averaged weights, and for the rest those that it started from."""
    if share == 1:
        return average
    rest = state_of_weights(before, 1.0)
    return {
        name: torch.lerp(rest[name], value.float(), share) if name in rest else value
        for name, value in average.items()
    }


def _stages(runs: Path, last: str, started: bool) -> tuple[str, ...]:
    """The stages behind the last one: from the first, or from one that began with weights."""
    until = STAGES[: STAGES.index(last) + 1]
    for n, stage in reversed(list(enumerate(until))):
        path = runs / stage / "state.pt"
        recorded = load_state(path, mmap=True).get("start") if path.exists() else ""
        # Runs of old have not recorded it.
        if recorded or (recorded is None and started):
            return until[n:]
    return until


def _check_start(stage: str, state: dict[str, Any], before: LadderWeights | None) -> None:
    """Make sure that a stage started from these weights; runs of old have not recorded it."""
    recorded = state.get("start")
    named = "" if before is None else before.fingerprint.hex()
    if recorded is None or recorded == named:
        return
    known = f"weights {recorded[:16]}" if recorded else "the stage before"
    other = f"weights {named[:16]}" if named else "the stage before"
    raise CodecError(f"{stage} started from {known}, not from {other}: change --start")


def with_encoder(start: LadderWeights, average: dict[str, Tensor]) -> LadderWeights:
    """Weights with another encoder, that write and read the same compressed images.

    Args:
        start: from which the training of the encoder started.
        average: the training's result, rounded to fp16.

    Raises:
        CodecError: when more than the encoder has been trained.
    """
    fixed = {f"codebooks.{q}": f"codebooks.{q - 1}.weight" for q in start.qualities}
    fixed |= {name: name for name in start.tensors if name.startswith("decoder.")}
    for name, trained in fixed.items():
        if trained not in average or not torch.equal(
            start.tensors[name].half(), average[trained].half()
        ):
            raise CodecError(
                f"{name} is another one in the run than in the weights that it should have "
                "started from: it is another file, or more than the encoder was trained"
            )
    encoder = {name: value.half() for name, value in average.items() if name in start.tensors}
    encoder = {name: value for name, value in encoder.items() if name.startswith("encoder.")}
    return LadderWeights(
        start.architecture,
        start.calibration,
        {**start.tensors, **encoder},
        decodes=start.image_fingerprint,
    )


def _write(weights: LadderWeights, output: Path, facts: dict[str, Any]) -> None:
    facts = {"fingerprint": weights.save(output).hex(), **facts}
    write_atomically(output.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode())


def provenance(
    runs: Path,
    stages: tuple[str, ...],
    data: list[str],
    weights: LadderWeights,
    start: Path | None = None,
    blend: float = 1.0,
) -> dict[str, Any]:
    """Where weights come from: commands, commits, data, and each stage's last figures.

    Args:
        runs: with a folder for every stage.
        stages: those that were run there, in order.
        data: training photographs.
        weights: where these come from.
        start: weights that the first stage started from; what is known of them goes before.
        blend: share of the trained weights; the rest is ``start``'s.

    Raises:
        CodecError: when a log, or what is known of ``start``, is damaged.
    """
    shards = " ".join(Path(path).name for path in data)
    # Not into the earlier weights' folder, where a stage of that name may have been run.
    folder = "RUNS" if start is None else "LATER"
    common = f"--data {shards} --runs {folder}"
    commands = [
        f"compressai-vq train {stage} {common}"
        + ("" if stage == "cluster" else " --validation VALIDATION")
        + _settings(runs, stage)
        for stage in stages
    ]
    last = f"compressai-vq train export --of {stages[-1]} {common}"
    output = "WEIGHTS.safetensors" if start is None else "BETTER.safetensors"
    earlier: dict[str, Any] = {"commands": [], "stages": {}}
    if start is not None:
        commands[0] += " --start-from WEIGHTS.safetensors"
        last += " --start-from WEIGHTS.safetensors"
        last += "" if blend == 1 else f" --blend {blend:g}"
        if start.with_suffix(".json").exists():
            earlier = _facts(start.with_suffix(".json"))
    described = dict(earlier["stages"])
    for stage in stages:
        if (runs / stage / "log.csv").exists():
            described[another_name(stage, described)] = describe_stage(runs / stage)
    return {
        "frequencies": weights.calibration,
        "data": [Path(path).name for path in data],
        "commands": [*earlier["commands"], *commands, f"{last} -o {output}"],
        "exported_by": source_commit(),
        "stages": described,
        **({} if blend == 1 else {"blend": blend}),  # share of the last stage
    }


def _facts(path: Path) -> dict[str, Any]:
    """What an earlier export wrote beside its weights."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        facts = json.loads(path.read_text())
        kinds = [type(facts[name]) for name in ("commands", "stages")]
        if kinds == [list, dict]:
            return dict(facts)
    raise CodecError(f"{path} is damaged: restore it, or remove it to leave out what it knows")


def _settings(runs: Path, stage: str) -> str:
    """The argument that names a stage's settings: one of the package's files, or another."""
    path = runs / stage / "state.pt"
    if not path.exists():
        return ""
    state = load_state(path, mmap=True)
    own = f"{stage}.toml"
    if stage == "cluster":
        packaged = asdict(ClusterConfig.packaged())
        made_of = state.get("made_of", {"settings": packaged})  # of old ones it is not known
        return "" if made_of["settings"] == packaged else " --config CONFIG"
    names = sorted((path.name for path in PACKAGED.glob("*.toml")), key=lambda name: name != own)
    for name in names:
        if name != "cluster.toml" and state["config"] == _at_the_end(
            TrainingConfig.load(PACKAGED / name)
        ):
            return "" if name == own else f" --config compressai_vq/training/configs/{name}"
    return " --config CONFIG"


def _at_the_end(config: TrainingConfig) -> dict[str, Any]:
    return asdict(config.at(config.steps - 1))


def another_name(stage: str, taken: Container[str]) -> str:
    """A stage's name; where it has been run before, with a number: ``"finetune 2"``."""
    names = (stage if n == 1 else f"{stage} {n}" for n in count(1))
    return next(name for name in names if name not in taken)


def describe_stage(folder: Path) -> dict[str, Any]:
    """What a stage's folder tells of it: amounts, machine, commits, settings, last figures."""
    state = load_state(folder / "state.pt")
    config = state["config"]
    return {
        "steps": state["step"],
        "crops": state.get("crops", state["step"] * config["batch"]),
        "crop_side": config["crop"],
        "hours": round(state["seconds"] / 3600, 2),
        "device": state.get("device", "not recorded"),
        "commits": state.get("commits", []) or ["not recorded"],
        "metrics": last_row(folder / "log.csv"),  # lpips_Q: AlexNet, validation
        "config": config,
        "changes": state.get("changes", []),  # of the settings above, on the way
    }
