"""The prior's training loop: resumable, logged, its result a moving average."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...precision import autocast
from ...prior.order import NUM_PASSES, pass_numbers
from ..log import append_row
from ..optimizer import make_optimizer, take_step
from ..schedule import warm_cosine
from ..source_commit import note_commit
from ..state_file import load_state, save_state
from .config import PriorConfig
from .index_maps import IndexMaps
from .masks import draw_masks
from .model import PriorModel
from .start import start_from
from .stored_maps import StoredMaps


class PriorRun:
    """Training in one folder.

    It holds ``state.pt`` (all that resuming needs), ``log.csv`` and, where photographs are encoded
    before, ``views-0.pt`` and so on.

    Args:
        maps: the encoder at all rates.
        config: the settings.
        folder: where state and log are kept; made if missing.
        pictures: training photographs, uint8 (3, H, W).
        validation: photographs for the log.
        device: where training runs.
        start: ``state.pt`` of another run or a prior's weights file, of the same sizes, that a
            new run goes on from: a codec that was trained further has nearly the same index maps.
        data: names of the photographs' folders or tars, for the record.

    Raises:
        CodecError: when it cannot start from ``start``.
        ValueError: when the folder's run is of other weights or photographs, began from another
            ``start``, or has settings that differ in more than how many steps there are.
    """

    def __init__(
        self,
        maps: IndexMaps,
        config: PriorConfig,
        folder: Path,
        pictures: list[Tensor],
        validation: list[Tensor],
        device: str | torch.device = "cpu",
        start: Path | None = None,
        data: Sequence[str] = (),
    ) -> None:
        self.maps, self.config, self.folder = maps, config, folder
        self.pictures, self.device = pictures, torch.device(device)
        torch.manual_seed(config.seed)
        frequencies = maps.log2_frequencies()
        model = PriorModel(maps.codewords(), frequencies, config.channels, config.depth)
        self.model = model.to(self.device)
        self.optimizer = make_optimizer(
            config.optimizer, self.model, config.learning_rate, config.weight_decay
        )
        self.step = 0
        self.seconds = 0.0
        self.commits: list[str] = []
        self.data = [Path(source).name for source in data]
        self.start = None if start is None else start_from(start, self.model)
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()}
        self._prepare_validation(validation, frequencies)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "state.pt").exists():
            self._resume()
        self.stored = None
        if config.views:
            self.stored = StoredMaps(
                maps, pictures, config.views, config.crop, config.zoom, folder
            )
        note_commit(self.commits)

    @property
    def quantizing(self) -> bool:
        """Whether the model rounds as the integer network does."""
        return self.step >= self.config.quantize_from

    def train(self, save_every: int = 500) -> dict[str, Tensor]:
        """Train to the configured number of steps; returns the averaged state dict."""
        losses, started = [], time.monotonic()
        while self.step < self.config.steps:
            losses.append(self._train_step())
            self.step += 1
            if self.step % save_every == 0 or self.step == self.config.steps:
                now = time.monotonic()
                self.seconds += now - started
                self._log(float(np.mean(losses)))
                self._save()
                losses, started = [], time.monotonic()
        return self.average

    def _train_step(self) -> float:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        maps = self._maps()
        rng = np.random.default_rng((config.seed, self.step, 1))
        bits = torch.zeros((), device=self.device)
        shown, wanted = {}, {}
        for rate, indices in maps.items():
            indices = indices.to(self.device).repeat(config.masks, 1, 1)
            count, height, width = indices.shape
            gaps, weights = draw_masks(count, height, width, config.random_share, rng)
            size = len(self.model.get_buffer(f"codewords_{rate}"))
            shown[rate] = indices.masked_fill(gaps.to(self.device), size)
            chosen = weights > 0
            wanted[rate] = (chosen, weights[chosen].to(self.device), indices[chosen])
        with self._precision():
            hidden = self.model(shown, self.quantizing)
            for rate, (chosen, weights, indices) in wanted.items():
                logits = self.model.logits(hidden[rate][chosen], rate, self.quantizing)
                bits = bits + (weights * _bits(logits, indices)).sum() / len(shown[rate])
        loss = bits / len(maps)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        take_step(self.model, self.optimizer, self.step)
        fresh = 1 - min(config.average, (self.step + 1) / (self.step + 10))
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, fresh)
        return loss.item()

    def _maps(self) -> dict[int, Tensor]:
        config = self.config
        if self.stored is not None:
            return self.stored.batch(config.batch, config.seed, self.step)
        return self.maps.batch(self.pictures, config.batch, config.crop, config.seed, self.step)

    def _precision(self) -> torch.autocast:
        # Rounding to the integer network's steps needs more bits than bf16 has.
        return autocast(self.device, enabled=not self.quantizing)

    def _learning_rate(self) -> float:
        config = self.config
        rates = config.learning_rate, config.final_learning_rate
        return warm_cosine(self.step, config.steps, config.warmup, *rates)

    def _prepare_validation(self, tiles: list[Tensor], frequencies: dict[int, Tensor]) -> None:
        side = min(min(tile.shape[1:]) for tile in tiles) // 16 * 16
        chosen = [tile[:, :side, :side] for tile in tiles[: self.config.validation]]
        images = torch.stack(chosen).float().div_(127.5).sub_(1.0)
        self.validation = {r: self.maps.encode(images, r).to(self.device) for r in self.maps.rates}
        self.plain = {
            rate: -frequencies[rate][indices.cpu()].mean().item()
            for rate, indices in self.validation.items()
        }

    @torch.no_grad()
    def validation_bits(self) -> dict[int, float]:
        """Bits an index of each rate, coded in order with the averaged weights."""
        current = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        bits = dict.fromkeys(self.validation, 0.0)
        numbers = pass_numbers(*next(iter(self.validation.values())).shape[1:]).to(self.device)
        with self._precision():
            for number in range(NUM_PASSES):
                coded = numbers == number
                if not coded.any():
                    continue
                for rate, indices in self.validation.items():
                    size = len(self.model.get_buffer(f"codewords_{rate}"))
                    shown = indices.masked_fill(numbers >= number, size)
                    hidden = self.model({rate: shown}, self.quantizing)[rate]
                    logits = self.model.logits(hidden[:, coded], rate, self.quantizing)
                    bits[rate] += (
                        _bits(logits.flatten(0, 1), indices[:, coded].flatten()).sum().item()
                    )
        self.model.load_state_dict(current)
        return {rate: total / self.validation[rate].numel() for rate, total in bits.items()}

    def _log(self, loss: float) -> None:
        row: dict[str, float] = {"step": self.step, "seconds": round(self.seconds, 1)}
        row["loss"] = round(loss, 4)
        for rate, bits in self.validation_bits().items():
            row[f"bits_{rate + 1}"] = round(bits, 4)
            row[f"saving_{rate + 1}"] = round(100 * (1 - bits / self.plain[rate]), 2)
        append_row(self.folder / "log.csv", row)
        print(" ".join(f"{k}={v}" for k, v in row.items()), flush=True)

    def _save(self) -> None:
        state = {
            "config": asdict(self.config),
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "commits": self.commits,
            "fingerprint": self.maps.fingerprint.hex(),
            "rates": self.maps.rates,
            "start": self.start,
            "data": self.data,
        }
        save_state(state, self.folder / "state.pt")

    def _resume(self) -> None:
        state = load_state(self.folder / "state.pt", self.device)
        if state["fingerprint"] != self.maps.fingerprint.hex():
            raise ValueError(f"{self.folder} belongs to other weights of the codec")
        # A run can be prolonged, and that is all: its steps are not told apart afterwards.
        settings = asdict(self.config)
        for name in settings.keys() - {"steps"}:
            if name in state["config"] and state["config"][name] != settings[name]:
                raise ValueError(
                    f"the run in {self.folder} has {name} {state['config'][name]}, not "
                    f"{settings[name]}: give the same settings, or another --runs"
                )
        if state.get("data", self.data) != self.data:
            raise ValueError(
                f"the run in {self.folder} is of {' '.join(state['data'])}: give the same --data, "
                "or another --runs"
            )
        if self.start is not None and self.start != state.get("start"):
            raise ValueError(
                f"the run in {self.folder} did not begin from that --start: leave it out to go "
                "on, or give another --runs"
            )
        self.step, self.seconds = state["step"], state["seconds"]
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.commits = state["commits"]
        self.start = state.get("start")


def _bits(logits: Tensor, indices: Tensor) -> Tensor:
    """Bits that each index costs: logits (P, K) in bits, indices (P,)."""
    return F.cross_entropy(logits.float() * math.log(2), indices, reduction="none") / math.log(2)
