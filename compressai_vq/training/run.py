"""The training loop of both stages: resumable, logged, its result a moving average."""

from __future__ import annotations

import csv
import math
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..networks.lite import NUM_RATES
from ..networks.memory_layout import channels_last
from .adversary import Adversary
from .ladder import Ladder, LadderOutput
from .perceptual import PerceptualLoss, lpips_distance
from .photographs import random_crops
from .source_commit import source_commit


@dataclass(frozen=True)
class TrainingConfig:
    """One stage's settings, as its TOML file gives them."""

    steps: int
    batch: int
    crop: int
    learning_rate: float
    final_learning_rate: float
    warmup: int
    decay: float
    average: float
    commitment: float
    spread: float
    alex: float
    vgg: float
    seed: int
    unquantized: int = 0
    codewords: int = 0
    latent_channels: int = 8
    window: int = 64  # side of VGG16's random window
    cooldown: int = 0  # steps of linear decay after a constant rate; 0: a cosine throughout
    adversarial: float = 0.0  # weight of the discriminator's term, before it is adapted
    adversarial_from: int = 0  # step from which the codec feels it; it learns from the start

    @classmethod
    def load(cls, path: str | Path) -> TrainingConfig:
        """Read a TOML file; unknown keys are a TypeError."""
        return cls(**tomllib.loads(Path(path).read_text()))


class TrainingRun:
    """One stage of training in one folder.

    The folder holds ``state.pt`` (everything that resuming needs) and ``log.csv``.  A run
    that is started again goes on from ``state.pt``.

    Args:
        model: what is trained.
        config: the stage's settings.
        folder: where state and log are kept; made if missing.
        pictures: training photographs, uint8 (3, H, W).
        validation: photographs of which the first 32 give the logged LPIPS.
    """

    def __init__(
        self,
        model: Ladder,
        config: TrainingConfig,
        folder: Path,
        pictures: list[Tensor],
        validation: list[Tensor],
    ) -> None:
        self.model = channels_last(model)
        self.config, self.folder = config, folder
        self.pictures, self.validation = pictures, validation
        self.loss = PerceptualLoss(config.alex, config.vgg, config.window)
        self.adversary = Adversary() if config.adversarial else None
        self.commits: list[str] = []
        self.optimizer = torch.optim.AdamW(
            model.parameters(), config.learning_rate, betas=(0.9, 0.99), weight_decay=0.01
        )
        self.generator = torch.Generator().manual_seed(config.seed)
        self.step = 0
        self.seconds = 0.0
        self.judged: list[float] = []  # the discriminator's losses since the last log
        self.average = {k: v.clone() for k, v in model.state_dict().items()}
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "state.pt").exists():
            self._resume()
        commit = source_commit()
        if commit not in self.commits:
            self.commits.append(commit)

    def train(self, save_every: int = 250) -> dict[str, Tensor]:
        """Train to the configured number of steps; returns the averaged state dict."""
        config, losses, started = self.config, [], time.monotonic()
        while self.step < config.steps:
            losses.append(self._train_step())
            self.step += 1
            if self.step % save_every == 0 or self.step == config.steps:
                now = time.monotonic()
                self.seconds += now - started
                started = now
                self._log(float(np.mean(losses)))
                self._save()
                losses = []
        return self.average

    def _train_step(self) -> float:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        x = random_crops(self.pictures, config.batch, config.crop, config.seed, self.step)
        rates = torch.tensor(self.model.rates).repeat(math.ceil(config.batch / NUM_RATES))
        rates = rates[torch.arange(config.batch) % len(rates)].sort().values
        if self.step == config.unquantized and self.step:
            self._fill_codebooks()
        quantize = self.step >= config.unquantized
        rng = np.random.default_rng((config.seed, self.step, 1))
        with torch.autocast("cpu", torch.bfloat16):
            output: LadderOutput = self.model(x, rates, quantize)
            pixels = self.loss(x, output.x_hat, rng)
            loss = pixels.total + config.commitment * output.commitment
            loss = loss + config.spread * output.spread
            if self.adversary and self.step >= config.adversarial_from:
                fooled = self.adversary.fooled(pixels.fake)
                if self.step % 8 == 0:
                    self.adversary.weigh(pixels.total, fooled, output.x_hat)
                loss = loss + config.adversarial * self.adversary.balance * fooled
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        if self.adversary:
            with torch.autocast("cpu", torch.bfloat16):
                self.judged.append(self.adversary.update(pixels.real, pixels.fake))
        for rate, (vectors, indices) in output.assigned.items():
            self.model.codebook(rate).update(vectors, indices, self.generator)
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, 1 - config.average if self.step > 500 else 0.05)
        return loss.item()

    def _learning_rate(self) -> float:
        config = self.config
        if self.step < config.warmup:
            return config.learning_rate * (self.step + 1) / config.warmup
        if config.cooldown:
            left = min(1.0, (config.steps - self.step) / config.cooldown)
            span = config.learning_rate - config.final_learning_rate
            return config.final_learning_rate + span * left
        done = (self.step - config.warmup) / max(1, config.steps - config.warmup)
        cosine = 0.5 + 0.5 * math.cos(math.pi * done)
        span = config.learning_rate - config.final_learning_rate
        return config.final_learning_rate + span * cosine

    @torch.no_grad()
    def _fill_codebooks(self) -> None:
        """Start every codebook from latents of the encoder as it is now."""
        for rate in self.model.rates:
            book = self.model.codebook(rate)
            vectors: list[Tensor] = []
            seed = self.config.seed + 1
            while sum(map(len, vectors)) < 2 * len(book.weight):
                x = random_crops(self.pictures, 64, self.config.crop, seed, len(vectors))
                latent = self.model.encoder(x, rate)
                vectors.append(latent.permute(0, 2, 3, 1).flatten(0, 2))
            pool = torch.cat(vectors)
            chosen = torch.randperm(len(pool), generator=self.generator)[: len(book.weight)]
            book.weight.copy_(pool[chosen])
            book.sums.copy_(pool[chosen])
            book.counts.fill_(1.0)

    @torch.no_grad()
    def _log(self, loss: float) -> None:
        row = {"step": self.step, "seconds": round(self.seconds, 1), "loss": round(loss, 4)}
        if self.adversary:
            row["discriminator"] = round(float(np.mean(self.judged)), 4)
            row["balance"] = round(self.adversary.balance.item(), 4)
            self.judged = []
        current = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        side = self.validation[0].shape[-1] // 16 * 16
        batch = torch.stack([p[:, :side, :side] for p in self.validation[:32]])
        x = batch.float().div(127.5).sub(1.0).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            for rate in self.model.rates:
                out = self.model(x, torch.full((len(x),), rate))
                if "alex" in self.loss.nets:
                    distance = lpips_distance(self.loss.nets["alex"], x, out.x_hat.clamp(-1, 1))
                    row[f"lpips_{rate + 1}"] = round(distance.item(), 4)
                else:
                    row[f"l1_{rate + 1}"] = round((out.x_hat - x).abs().mean().item(), 4)
                used = len(out.assigned[rate][1].unique()) if out.assigned else 0
                row[f"used_{rate + 1}"] = used
        self.model.load_state_dict(current)
        path = self.folder / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        print(" ".join(f"{k}={v}" for k, v in row.items()), flush=True)

    def _save(self) -> None:
        state = {
            "config": asdict(self.config),
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "commits": self.commits,
        }
        if self.adversary:
            state["adversary"] = self.adversary.state()
        part = self.folder / "state.part"
        torch.save(state, part)
        part.replace(self.folder / "state.pt")

    def _resume(self) -> None:
        state = torch.load(self.folder / "state.pt", weights_only=True)
        self.step, self.seconds = state["step"], state["seconds"]
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.commits = state.get("commits", [])
        if self.adversary:
            self.adversary.resume(state["adversary"])
