"""What export makes of runs, and what it tells of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from compressai_vq.errors import CodecError
from compressai_vq.training.export import _stages, provenance, with_encoder
from compressai_vq.training.log import append_row
from compressai_vq.training.stages import ClusterConfig, state_of_weights
from compressai_vq.training.state_file import save_state

from ..fixtures import untrained_weights


def test_only_the_encoder_may_have_been_trained() -> None:
    weights = untrained_weights()
    average = state_of_weights(weights, 1.0)
    average["encoder.stem.weight"] = average["encoder.stem.weight"] + 1
    better = with_encoder(weights, average)
    assert better.image_fingerprint == weights.fingerprint
    changed = {
        name for name, value in weights.tensors.items()
        if not torch.equal(value.float(), better.tensors[name].float())
    }  # fmt: skip
    assert changed == {"encoder.stem.weight"}


@pytest.mark.parametrize("name", ["decoder.stem.weight", "codebooks.4.weight"])
def test_more_than_the_encoder_is_refused(name: str) -> None:
    average = state_of_weights(untrained_weights(), 1.0)
    average[name] = average[name] + 1
    with pytest.raises(CodecError, match="more than the encoder was trained"):
        with_encoder(untrained_weights(), average)
    del average[name]
    with pytest.raises(CodecError, match="more than the encoder was trained"):
        with_encoder(untrained_weights(), average)


def _ran(runs: Path, stage: str, **state: Any) -> None:
    (runs / stage).mkdir(parents=True)
    known = {"config": {"batch": 4, "crop": 64}, "step": 3, "seconds": 1.0, "start": ""}
    save_state({**known, **state}, runs / stage / "state.pt")
    if stage != "cluster":
        append_row(runs / stage / "log.csv", {"step": 3, "loss": 0.5})


def test_stages_begin_where_a_weights_file_was(tmp_path: Path) -> None:
    for stage in ("pretrain", "cluster", "finetune", "adversarial"):
        _ran(tmp_path / "all", stage)
    everything = ("pretrain", "cluster", "finetune", "adversarial")
    assert _stages(tmp_path / "all", "adversarial", False) == everything
    assert _stages(tmp_path / "all", "cluster", False) == everything[:2]
    _ran(tmp_path / "some", "finetune", start="ab" * 32)
    _ran(tmp_path / "some", "adversarial")
    assert _stages(tmp_path / "some", "adversarial", True) == everything[2:]
    weights, start = untrained_weights(), tmp_path / "start.safetensors"
    start.touch()
    facts = provenance(tmp_path / "some", everything[2:], ["a.tar"], weights, start)
    first, second, last = facts["commands"]
    assert "train finetune" in first and first.endswith("--start-from WEIGHTS.safetensors")
    assert "train adversarial" in second and "--start-from" not in second
    assert "train export --of adversarial" in last and "--start-from WEIGHTS" in last


def test_settings_of_clustering_and_crops_are_told(tmp_path: Path) -> None:
    packaged = {"seed": 2, "photographs": 1000, "weighted": True}
    assert ClusterConfig.packaged() == ClusterConfig(**packaged)  # type: ignore[arg-type]
    for name, settings in (("same", packaged), ("other", {**packaged, "weighted": False})):
        _ran(tmp_path / name, "cluster", made_of={"settings": settings})
        _ran(tmp_path / name, "finetune", crops=10)
        stages = ("cluster", "finetune")
        facts = provenance(tmp_path / name, stages, ["a.tar"], untrained_weights())
        assert ("--config CONFIG" in facts["commands"][0]) == (name == "other")
        assert facts["stages"]["finetune"]["crops"] == 10


@pytest.mark.parametrize("known", ["{", "[]", "{}", '{"commands": [], "stages": []}'])
def test_damaged_knowledge_of_the_start_is_one_line(tmp_path: Path, known: str) -> None:
    _ran(tmp_path, "finetune")
    start = tmp_path / "start.safetensors"
    start.with_suffix(".json").write_text(known)
    with pytest.raises(CodecError, match=r"start\.json is damaged"):
        provenance(tmp_path, ("finetune",), ["a.tar"], untrained_weights(), start)


def test_a_log_without_rows_is_one_line(tmp_path: Path) -> None:
    _ran(tmp_path, "finetune")
    (tmp_path / "finetune" / "log.csv").write_text("step,loss\n")
    with pytest.raises(CodecError, match="no rows"):
        provenance(tmp_path, ("finetune",), ["a.tar"], untrained_weights())
