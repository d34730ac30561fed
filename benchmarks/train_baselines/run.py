"""The loop: resumable, logged, a file for each operating point."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from compressai_vq.atomic_file import write_atomically
from compressai_vq.machine import describe_machine
from compressai_vq.training.log import append_row
from compressai_vq.training.photographs import random_crops
from compressai_vq.training.source_commit import note_commit
from compressai_vq.training.state_file import load_state, save_state

from .recipe import Recipe
from .schedule import Schedule


class BaselineRun:
    """One baseline in one folder.

    The folder holds ``state.pt`` (what resuming needs), ``log.csv``, and for each operating
    point NAME.safetensors (a state dict with the coder's tables, for the architecture's
    ``from_state_dict``) and NAME.json, which says how it came about.  A run that is started
    again goes on from ``state.pt``, to the same weights as if it had not been interrupted.

    Args:
        recipe: what is trained.
        schedule: steps and target rates.
        runs: where the folder of the recipe's name lies or is made.
        pictures: training photographs, uint8 (3, H, W).
        data: names of the photographs' sources, for the provenance.

    Raises:
        ValueError: when the folder's run has other settings, another schedule or other
            photographs.
    """

    def __init__(
        self,
        recipe: Recipe,
        schedule: Schedule,
        runs: Path,
        pictures: list[Tensor],
        data: list[str],
    ) -> None:
        self.recipe, self.schedule = recipe, schedule
        self.folder = runs / recipe.name
        self.pictures, self.data = pictures, data
        self.step, self.seconds = 0, 0.0
        self.commits: list[str] = []
        self._rows: list[dict[str, float]] = []  # since the last line of the log
        self._last: dict[str, float] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / "state.pt").exists():
            self._resume()
        note_commit(self.commits)

    def train(self, save_every: int = 100) -> None:
        """Train to the schedule's end, writing the operating points on the way."""
        started, settings = time.monotonic(), self.recipe.settings
        ends = dict(zip(self.schedule.ends(), self.schedule.targets, strict=True))
        while self.step < self.schedule.steps:
            # Quantisation noise too is the same after an interruption.
            torch.manual_seed(settings.seed * 1_000_003 + self.step)
            x = random_crops(
                self.pictures, settings.batch, settings.crop, settings.seed, self.step
            )
            moment = self.schedule.at(self.step)
            self._rows.append(self.recipe.train_step((x + 1) / 2, moment))
            self.step += 1
            if self.step % save_every == 0 or self.step in ends:
                now = time.monotonic()
                self.seconds += now - started
                started = now
                self._log(moment.target)
                if self.step in ends:
                    self._export(ends[self.step])
                self._save()

    def _log(self, target: float) -> None:
        count = len(self._rows)
        means = {name: sum(row[name] for row in self._rows) / count for name in self._rows[0]}
        self._rows, self._last = [], means
        row: dict[str, Any] = {"step": self.step, "seconds": round(self.seconds, 1)}
        row |= {"target": target} | {name: float(f"{v:.5g}") for name, v in means.items()}
        append_row(self.folder / "log.csv", row)
        print(" ".join(f"{k}={v}" for k, v in row.items()), flush=True)

    def _export(self, target: float) -> None:
        model = copy.deepcopy(self.recipe.model).eval()
        model.update(force=True, update_quantiles=True)
        tensors = {k: v.detach().contiguous() for k, v in model.state_dict().items()}
        name = f"{self.recipe.name}-{target:g}"
        settings = asdict(self.recipe.settings)
        facts = {
            "name": name,
            "architecture": self.recipe.architecture,
            "target_bpp": target,
            "training": {k: round(v, 5) for k, v in self._last.items()},
            "steps": self.step,
            "crops": self.step * settings["batch"],
            "hours": round(self.seconds / 3600, 3),
            "parameters": sum(p.numel() for p in model.parameters()),
            "settings": settings,
            "schedule": asdict(self.schedule),
            "data": self.data,
            "photographs": len(self.pictures),
            "device": "cpu",
            "machine": describe_machine(),
            "commits": self.commits,
        }
        write_atomically(self.folder / f"{name}.safetensors", safetensors.torch.save(tensors))
        text = json.dumps(facts, indent=1) + "\n"
        write_atomically(self.folder / f"{name}.json", text.encode())

    def _settings(self) -> str:
        settings = {"recipe": asdict(self.recipe.settings), "schedule": asdict(self.schedule)}
        return json.dumps({**settings, "data": self.data, "photographs": len(self.pictures)})

    def _save(self) -> None:
        state = {
            "settings": self._settings(),
            "step": self.step,
            "seconds": self.seconds,
            "commits": self.commits,
            "recipe": self.recipe.state(),
        }
        save_state(state, self.folder / "state.pt")

    def _resume(self) -> None:
        state = load_state(self.folder / "state.pt")
        if state["settings"] != self._settings():
            raise ValueError(
                f"the run in {self.folder} has other settings or --data: give the same, or "
                "remove it"
            )
        self.step, self.seconds = state["step"], state["seconds"]
        self.commits = state["commits"]
        self.recipe.resume(state["recipe"])
