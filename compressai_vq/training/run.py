"""The training loop of all stages: resumable, logged, its result a moving average.

On one CPU, one GPU, or many processes under ``torchrun``, through Lightning Fabric.  Every
process cuts its own pictures out of one and the same batch, so that a run on two processes
is the run on one with its arithmetic in another order; but each has VGG16 judge every other
one of its own pictures, which are not quite those that one process would choose.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from ..errors import CodecError
from ..machine import cpu_name
from ..networks.convolution import wants_default_layout
from ..networks.grain import PERIOD, Corner
from ..networks.memory_layout import channels_last
from ..precision import for_training
from ..rates import STRIDE
from .adversary import Adversary
from .config import TrainingConfig
from .ladder import Ladder, LadderOutput
from .log import append_row, read_rows
from .optimizer import make_optimizer, take_step
from .perceptual import PerceptualLoss
from .photographs import random_crops
from .regularity import regularity
from .source_commit import note_commit
from .stages import with_grain_of
from .state_file import load_state, save_state
from .validation import Validation


def single_process() -> Fabric:
    """Fabric on the CPU alone, in bf16 where tensors meet and it is fast at that."""
    return Fabric(accelerator="cpu", devices=1, precision=for_training("cpu"))


def check_batch(batch: int, fabric: Fabric) -> None:
    """Raise CodecError unless a batch can be dealt out evenly to the processes."""
    if batch % fabric.world_size:
        raise CodecError(
            f"a batch of {batch} cannot be dealt out evenly to {fabric.world_size} processes"
        )


class TrainingRun:
    """One stage of training in one folder.

    The folder holds ``state.pt`` (everything that resuming needs), ``log.csv`` and
    ``samples/``.  A run that is started again goes on from ``state.pt``.

    Args:
        model: what is trained.
        config: the stage's settings.
        folder: where state, log and samples are kept; made if missing.
        pictures: training photographs, uint8 (3, H, W).
        validation: photographs of which the first 32 give the logged LPIPS.
        fabric: devices and precision; one CPU process when left out.
        start: fingerprint of the weights file that the stage starts from, in hexadecimal, for
            the record; empty where it starts from the stage before.

    Raises:
        CodecError: when the batch cannot be dealt out evenly to the processes, and when there is a
            state in the folder that cannot be gone on from: damaged, or of other settings or
            weights.
    """

    def __init__(
        self,
        model: Ladder,
        config: TrainingConfig,
        folder: Path,
        pictures: list[Tensor],
        validation: list[Tensor],
        fabric: Fabric | None = None,
        start: str = "",
    ) -> None:
        self.start = start
        self.fabric = fabric or single_process()
        check_batch(config.batch, self.fabric)
        device = self.fabric.device
        self.model = model.to(device)
        fp32 = for_training(device.type) == "32-true"
        for network in (model.encoder, model.decoder):
            # Winograd's filtering wants the default layout.
            if not (fp32 and wants_default_layout(network)):
                channels_last(network)
        self.config, self.folder = config, folder
        # On the GPU, if there is one: pixels are decoded and sent there once.
        self.pictures = [picture.to(device) for picture in pictures]
        self.loss = PerceptualLoss(config.alex, config.vgg, config.dists, config.window, fp32)
        self.loss.to(device)
        side = config.crop if config.surround else 0
        validation = [p.to(device) for p in validation]
        self.validation = Validation(self.loss, validation, self.fabric, side)
        self.adversary = Adversary(self.fabric).to(device) if config.adversarial else None
        self.commits: list[str] = []
        self.changes: list[dict[str, Any]] = []  # of settings: {"step": first, name: value}
        freeze(model, config.train)
        self.wrapped = self.fabric.setup_module(self.model)
        self.optimizer = make_optimizer(config.optimizer, self.model, config.learning_rate)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.step = 0
        self.crops = 0
        self.seconds = 0.0
        self.average = {k: v.clone() for k, v in model.state_dict().items()}
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "state.pt").exists():
            self._resume()
        note_commit(self.commits)

    def train(self, save_every: int = 250, until: int | None = None) -> dict[str, Tensor]:
        """Train to the configured number of steps, or until another one before it.

        Returns:
            The averaged state dict.
        """
        config, started = self.config, time.monotonic()
        until = config.steps if until is None else min(until, config.steps)
        losses: list[dict[str, float]] = []
        first = self.fabric.is_global_zero
        bar = tqdm(
            total=config.steps, initial=self.step, unit="step", disable=None if first else True
        )
        while self.step < until:
            losses.append(self._train_step())
            self.step += 1
            self.crops += config.batch
            bar.update()
            rate = bar.format_dict["rate"] or 0.0
            bar.set_postfix_str(f"{rate * config.batch:.0f} images/s", refresh=False)
            if self.step % save_every == 0 or self.step == until:
                now = time.monotonic()
                self.seconds += now - started
                started = now
                self._check_finite()
                if first:
                    means = {k: float(np.mean([row[k] for row in losses])) for k in losses[-1]}
                    self._log(means)
                    self._save()
                self.fabric.barrier()
                losses = []
        bar.close()
        return self.average

    def _train_step(self) -> dict[str, float]:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate_at(self.step)
        # Rates in order, so that those of one codebook lie together; dealt out one by one.  Where
        # a step has not all of them, the next one goes on with the others.
        part = slice(self.fabric.global_rank, None, self.fabric.world_size)
        known = torch.tensor(self.model.rates)
        places = self.step * config.batch + torch.arange(config.batch)
        everyones = known[places % len(known)].sort().values
        rates = everyones[part]
        x = self._crops(config.batch, config.seed, self.step, part)
        if self.step == config.unquantized and self.step:
            self._fill_codebooks()
        rng = np.random.default_rng((config.seed, self.step, 1))
        quantize = self.step >= config.unquantized
        output: LadderOutput = self.wrapped(x, rates, quantize, self._corner())
        # A view of its own: Fabric lets gradients reach the model's output in its way only, and
        # the adversary's weight asks for them outside of the step's one backward pass.
        x_hat = output.x_hat.view_as(output.x_hat)
        terms = {}
        with self.fabric.autocast():
            pixels = self.loss(x, x_hat, rng)
            loss = pixels.total + config.commitment * output.commitment
            loss = loss + config.spread * output.spread
            if config.regularity:
                lattice = regularity(x, x_hat)
                terms["regularity"] = lattice.item()
                loss = loss + config.regularity * lattice
            if self.adversary and self.step >= config.adversarial_from:
                fooled = self.adversary.fooled(pixels.fake)
                if self.step % 8 == 0:
                    self.adversary.weigh(pixels.total, fooled, x_hat)
                loss = loss + config.adversarial * self.adversary.balance * fooled
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        take_step(self.model, self.optimizer, self.step)
        terms["loss"] = loss.item()
        if self.adversary:
            with self.fabric.autocast():
                terms["discriminator"] = self.adversary.update(pixels.real, pixels.fake)
            terms["balance"] = self.adversary.balance.item()
        if self.step >= config.unquantized and config.train != "encoder":
            self._update_codebooks(output, everyones)
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, 1 - config.average if self.step > 500 else 0.05)
        return terms

    def _crops(self, count: int, seed: int, step: int, part: slice = slice(None)) -> Tensor:
        size, surround, zoom = self.config.crop, self.config.surround, self.config.zoom
        x = random_crops(self.pictures, count, size, seed, step, part, surround, zoom)
        return x.to(self.fabric.device)

    def _corner(self) -> Corner | None:
        """Where on the decoder's field of grain this step's crops lie, if it has one."""
        if getattr(self.model.decoder, "grain", None) is None:
            return None
        rng = np.random.default_rng((self.config.seed, self.step, 2))
        row, column = rng.integers(0, PERIOD, size=2).tolist()
        return row, column

    def _update_codebooks(self, output: LadderOutput, rates: Tensor) -> None:
        """Follow the latents of this step, whose pictures have these rates in all processes."""
        positions = (self.config.crop // STRIDE) ** 2
        rank, processes = self.fabric.global_rank, self.fabric.world_size

        def reduce(total: Tensor) -> Tensor:
            return cast(Tensor, self.fabric.all_reduce(total, reduce_op="sum"))

        for rate in self.model.rates:
            book = self.model.codebook(rate)
            # Every process takes part in the sums, whether it has seen the rate or not.
            nothing = (
                book.weight[:0],
                torch.zeros(0, dtype=torch.long, device=book.weight.device),
            )
            vectors, indices = output.assigned.get(rate, nothing)
            pictures = (rates == rate).nonzero().flatten()
            ours = (pictures % processes == rank).nonzero().flatten()
            places = (ours[:, None] * positions + torch.arange(positions)).flatten()
            total = len(pictures) * positions
            book.update(vectors, indices, self.generator, reduce, places.to(vectors.device), total)

    @torch.no_grad()
    def _fill_codebooks(self) -> None:
        """Start every codebook from latents of the encoder as it is now."""
        for rate in self.model.rates:
            book = self.model.codebook(rate)
            vectors: list[Tensor] = []
            seed = self.config.seed + 1
            while sum(map(len, vectors)) < 2 * len(book.weight):
                x = self._crops(64, seed, len(vectors))
                latent = self.model.encoder(x, rate)
                vectors.append(latent.permute(0, 2, 3, 1).flatten(0, 2))
            pool = torch.cat(vectors)
            chosen = torch.randperm(len(pool), generator=self.generator)[: len(book.weight)]
            book.weight.copy_(pool[chosen.to(pool.device)])
            book.sums.copy_(book.weight)
            book.counts.fill_(1.0)
        # The average would keep a share of the random codewords that there were before.
        for name, value in self.model.state_dict().items():
            if name.startswith("codebooks."):
                self.average[name].copy_(value)

    def _log(self, means: dict[str, float]) -> None:
        row: dict[str, Any] = {"step": self.step, "seconds": round(self.seconds, 1)}
        row.update({name: round(value, 4) for name, value in means.items()})
        current = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        row.update(self.validation.measure(self.model))
        self.validation.write_samples(
            self.model, self.folder / "samples" / f"step-{self.step:06}.png"
        )
        self.model.load_state_dict(current)
        append_row(self.folder / "log.csv", row)
        tqdm.write(" ".join(f"{k}={v}" for k, v in row.items()))

    def _check_finite(self) -> None:
        """Refuse, in every process, to save what no run could go on from."""
        if not all(value.isfinite().all() for value in self.average.values()):
            raise CodecError(
                f"after step {self.step} the weights are not finite: training goes on from the "
                "last state that was saved; give it a lower learning_rate"
            )

    def _save(self) -> None:
        state = {
            "config": asdict(self.config),
            "step": self.step,
            "seconds": self.seconds,
            "device": self.device_name(),
            "processes": self.fabric.world_size,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "crops": self.crops,
            "commits": self.commits,
            "changes": self.changes,
            "start": self.start,
        }
        if self.adversary:
            state["adversary"] = self.adversary.state()
        save_state(state, self.folder / "state.pt")

    def _resume(self) -> None:
        state = load_state(self.folder / "state.pt")
        if (self.folder / "log.csv").exists():
            read_rows(self.folder / "log.csv")  # damage is better found before than after training
        self.step, self.seconds = state["step"], state["seconds"]
        self.crops = state.get("crops", self.step * state["config"]["batch"])
        try:
            self.model.load_state_dict(with_grain_of(self.model, state["model"]))
        except RuntimeError as error:  # of many lines
            raise CodecError(
                f"{self.folder} has a run of other codewords, qualities, latent_channels or "
                "grain: give it the settings that it was begun with"
            ) from error
        for name, value in state["average"].items():
            self.average[name].copy_(value)
        # A stage that goes on with another optimizer, or with other parameters, starts the
        # optimizer's averages afresh.
        was, now = {**_BEFORE_THEY_WERE_KEPT, **state["config"]}, asdict(self.config)
        if all(was[name] == now[name] for name in _BEFORE_THEY_WERE_KEPT):
            self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.commits = state.get("commits", [])
        self.changes = state.get("changes", [])
        # A run goes on from its own state, whatever weights its command names by now.
        self.start = state.get("start", self.start)
        changed = {k: v for k, v in asdict(self.config).items() if state["config"].get(k) != v}
        if changed:
            self.changes.append({"step": self.step, **changed})
        if self.adversary and "adversary" in state:  # or a phase begins that brings it
            self.adversary.resume(state["adversary"])

    def device_name(self) -> str:
        """What the run computes on."""
        if self.fabric.device.type == "cuda":
            return torch.cuda.get_device_name(self.fabric.device)
        return f"{cpu_name()}, {torch.get_num_threads()} threads"


_BEFORE_THEY_WERE_KEPT = {"optimizer": "adamw", "grain": 0, "train": "all"}
"""Settings that the optimizer's state depends on, as they were for runs that do not tell."""


def steps_done(folder: Path) -> int:
    """How far the run in a folder has come; 0 if there is none."""
    path = folder / "state.pt"
    if not path.exists():
        return 0
    return int(load_state(path, mmap=True)["step"])


def freeze(model: Ladder, train: str) -> None:
    """Leave to training what ``train`` says.

    Args:
        model: the model; codebooks have no gradient and are always trained.
        train: ``"all"``; ``"codebook"`` for the convolutions next to the codebooks alone, as the
            published code of Mao et al., 2024, does; ``"encoder"`` for the encoder alone, so
            that decoders that are in use already read the files.
    """
    if train == "all":
        return
    model.requires_grad_(False)
    if train == "encoder":
        model.encoder.requires_grad_(True)
        return
    beside = (
        (model.encoder, ("quant_conv", "head")),
        (model.decoder, ("post_quant_conv", "stem")),
    )
    for network, names in beside:
        for name in names:
            if hasattr(network, name):
                getattr(network, name).requires_grad_(True)
