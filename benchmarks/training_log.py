"""Keeps what the shipped weights' training logged, and draws it.

    python -m benchmarks.training_log --runs runs    copy logs, summarise, draw
    python -m benchmarks.training_log                draw again from what is kept

Writes ``benchmarks/results/training.json`` (crops seen, hours, device, commits) and, in
``benchmarks/results/training/``, a CSV for each stage and ``curves.png`` (loss, and LPIPS on
validation photographs).
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.environment import ROOT
from compressai_vq.argument_parser import ArgumentParser
from compressai_vq.errors import CodecError
from compressai_vq.training.export import another_name, describe_stage
from compressai_vq.training.log import read_rows
from compressai_vq.training.stages import STAGES

FOLDER = ROOT / "benchmarks" / "results" / "training"


def keep(runs: Path, folder: Path = FOLDER) -> None:
    """Copy the logs of a training's stages and summarise them.

    Raises:
        CodecError: for a folder without any.
    """
    if not any((runs / stage / "log.csv").exists() for stage in STAGES):
        raise CodecError(f"{runs} has no log of a stage (STAGE/log.csv)")
    folder.mkdir(parents=True, exist_ok=True)
    told = folder.with_suffix(".json")
    # Stages that were run elsewhere keep what is told of them.
    summary: dict[str, Any] = json.loads(told.read_text()) if told.exists() else {}
    for stage in STAGES:
        log = runs / stage / "log.csv"
        if log.exists():
            name = _name(stage, read_rows(log), summary, folder)
            shutil.copyfile(log, _log(folder, name))
            facts = describe_stage(runs / stage)
            summary[name] = {
                k: facts[k] for k in ("steps", "crops", "crop_side", "hours", "device", "commits")
            }
    told.write_text(json.dumps(summary, indent=1) + "\n")


def _name(stage: str, rows: list[dict[str, float]], summary: dict[str, Any], folder: Path) -> str:
    """Under which name a stage is kept: that of the same run if it is, or else a new one."""
    taken: list[str] = []
    while (name := another_name(stage, taken)) in summary:
        kept = read_rows(_log(folder, name))
        if [kept[0][k] for k in _FIRST] == [rows[0][k] for k in _FIRST]:
            break
        taken.append(name)
    return name


_FIRST = ("step", "seconds")  # of its first row tell a run from another


def _log(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(' ', '-')}.csv"


def draw(folder: Path = FOLDER) -> Path:
    """The curves of all stages, one after the other; returns the PNG."""
    names = json.loads(folder.with_suffix(".json").read_text())
    logs = {name: read_rows(_log(folder, name)) for name in names}
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 7), sharex=True)
    start = 0.0
    for n, (stage, rows) in enumerate(logs.items()):
        hours = [start + row["seconds"] / 3600 for row in rows]
        above.plot(hours, [row["loss"] for row in rows], color=f"C{n}", label=stage)
        for quality, style in ((1, ":"), (5, "--"), (9, "-")):
            name = f"lpips_{quality}"
            if name in rows[0]:
                values = [row[name] for row in rows]
                label = f"{stage}, quality {quality}"
                below.plot(hours, values, style, color=f"C{n}", label=label)
        start = hours[-1]
    above.set_ylabel("training loss (its terms differ between stages)")
    below.set_ylabel("LPIPS (AlexNet), validation photographs")
    below.set_xlabel("hours of training")
    for axis in (above, below):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, ncols=2)
    figure.tight_layout()
    path = folder / "curves.png"
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return path


def main(argv: list[str] | None = None) -> int:
    """Keep and draw, or draw alone; returns the exit code."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, help="folder of the training's stages")
    arguments = parser.parse_args(argv)
    try:
        if arguments.runs is not None:
            keep(arguments.runs)
        print(draw())
    except (CodecError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
