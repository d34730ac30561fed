"""Keeping and drawing a training's logs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from benchmarks.training_log import draw, keep, main
from compressai_vq.training.log import append_row


def _stage(runs: Path, stage: str, steps: int) -> None:
    (runs / stage).mkdir(parents=True)
    for step in (steps // 2, steps):
        row = {"step": step, "seconds": 2.0 * step, "loss": 1 / step}
        append_row(runs / stage / "log.csv", {**row, "lpips_9": 0.5, "used_9": 7})
    config = {"batch": 3, "crop": 32}
    state = {"config": config, "step": steps, "seconds": 2.0 * steps, "commits": ["abc"]}
    torch.save(state, runs / stage / "state.pt")


def test_a_folder_without_logs_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--runs", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: {tmp_path} has no log of a stage (STAGE/log.csv)"


def test_logs_are_kept_summarised_and_drawn(tmp_path: Path) -> None:
    runs, folder = tmp_path / "runs", tmp_path / "results" / "training"
    _stage(runs, "pretrain", 100)
    _stage(runs, "finetune", 900)
    keep(runs, folder)
    summary = json.loads((tmp_path / "results" / "training.json").read_text())
    assert list(summary) == ["pretrain", "finetune"]
    assert summary["finetune"]["crops"] == 2700
    assert summary["finetune"]["hours"] == 0.5
    assert summary["finetune"]["commits"] == ["abc"]
    # A stage that follows elsewhere is added to what is known.
    _stage(tmp_path / "elsewhere", "adversarial", 10)
    keep(tmp_path / "elsewhere", folder)
    again = json.loads((tmp_path / "results" / "training.json").read_text())
    assert list(again) == ["pretrain", "finetune", "adversarial"]
    assert {name: again[name] for name in summary} == summary
    # One of the same name that starts from its result is kept beside it, and then goes on.
    for steps in (20, 20):
        _stage(tmp_path / "further", "adversarial", steps)
        keep(tmp_path / "further", folder)
        shutil.rmtree(tmp_path / "further")
    again = json.loads((tmp_path / "results" / "training.json").read_text())
    assert [(name, again[name]["steps"]) for name in list(again)[2:]] == [
        ("adversarial", 10), ("adversarial 2", 20)
    ]  # fmt: skip
    assert draw(folder).read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in folder.iterdir()) == [
        "adversarial-2.csv", "adversarial.csv", "curves.png", "finetune.csv", "pretrain.csv"
    ]  # fmt: skip
