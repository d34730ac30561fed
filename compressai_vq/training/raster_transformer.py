"""``python -m compressai_vq.training.raster_transformer``: train the paper's transformer.

It belongs to one quality of a codec's weights, and serves to compare with: see
``compressai_vq/prior/raster_transformer.py``::

    python -m compressai_vq.training.raster_transformer --data DIR_OR_TAR... \\
        --validation TAR -q 9 --steps 2000 -o TRANSFORMER.safetensors

Beside the weights file lie ``.csv`` (the log), ``.json`` (where it comes from) and, until it
is done, ``.state.pt``, from which the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..argument_parser import ArgumentParser
from ..atomic_file import refuse_to_overwrite, write_atomically
from ..errors import CodecError
from ..ladder_weights import LadderWeights
from ..precision import autocast
from ..pretrained import pretrained_weights
from ..prior.raster_transformer import GPT, RasterTransformer, logits_at, new_gpt
from ..rates import STRIDE
from .exit_code import exit_code
from .log import append_row, last_row
from .optimizer import take_step
from .output_files import check_output
from .photographs import load_photographs
from .prior.index_maps import IndexMaps
from .schedule import warm_cosine
from .source_commit import note_commit
from .state_file import load_state, save_state
from .threads import use_threads

_ARCHITECTURE = "mao2024-vqgan-lite"
_TABLE_SCALE = 0.05  # standard deviation of the tables at the start


@dataclass(frozen=True)
class RasterConfig:
    """Settings; the defaults suit a CPU core and less than an hour."""

    steps: int
    batch: int = 8  # crops a step
    masks: int = 2  # windows that are cut out of a crop, with gaps of their own each
    crop: int = 288  # pixels a side; more than a window has, so that it falls anywhere
    window: int = 16  # indices a side
    layers: int = 4
    heads: int = 4
    width: int = 256
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-5
    warmup: int = 100
    weight_decay: float = 0.01
    seed: int = 5
    validation: int = 64  # windows that the logged bits are measured on
    validation_ratio: float = 0.2  # of their indices that are masked


def draw_gaps(count: int, positions: int, rng: np.random.Generator) -> Tensor:
    """M = ceil(r N) of N positions, for a uniform r in (0, 1] (Mao et al., 2024, section 2.3).

    Returns:
        bool (count, positions); at least one of each row.
    """
    gaps = torch.zeros(count, positions, dtype=torch.bool)
    for row in gaps:
        masked = math.ceil((1 - rng.random()) * positions)
        row[torch.from_numpy(rng.permutation(positions)[:masked])] = True
    return gaps


@torch.no_grad()
def start_from_codewords(gpt: GPT, codewords: Tensor, seed: int) -> None:
    """Set the tables of input and output to one random projection of the codewords, in place.

    What is learned about one codeword then serves those like it from the first step on.  In
    the paper's much longer training that is not needed.

    Args:
        gpt: the transformer.
        codewords: fp32 (K, D).
        seed: of the projection.
    """
    tables = (gpt.tok_emb.weight, gpt.head.weight)
    scaled = (codewords - codewords.mean(0)) / codewords.std(0).clamp(min=1e-6)
    shape = (codewords.shape[1], tables[0].shape[1])
    projection = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    for table in tables:
        table[: len(codewords)] = scaled @ projection * (_TABLE_SCALE / math.sqrt(shape[0]))


class RasterRun:
    """Training; the state is kept beside the weights file that it shall become.

    Args:
        maps: the encoder, of the one rate that is trained for.
        config: the settings.
        output: the weights file.
        pictures: training photographs, uint8 (3, H, W), at least a crop in size.
        validation: photographs for the log.
        data: names of the training photographs' folders or tars, for the record.

    Raises:
        CodecError: when there is a state of other weights, photographs or settings.
    """

    def __init__(
        self,
        maps: IndexMaps,
        config: RasterConfig,
        output: Path,
        pictures: list[Tensor],
        validation: list[Tensor],
        data: Sequence[str] = (),
    ) -> None:
        self.maps, self.config, self.pictures = maps, config, pictures
        self.data = [Path(source).name for source in data]
        self.output = output
        self.state_path, self.log_path = _state_and_log(output)
        (self.rate,) = maps.rates
        codewords = maps.codewords()[self.rate]
        self.size = len(codewords)
        torch.manual_seed(config.seed)
        self.gpt = new_gpt(self.size, config.window, config.layers, config.heads, config.width)
        start_from_codewords(self.gpt, codewords, config.seed)
        self.optimizer = torch.optim.AdamW(self._groups(), config.learning_rate, betas=(0.9, 0.95))
        self.step, self.seconds = 0, 0.0
        self.commits: list[str] = []
        self._prepare_validation(validation)
        if self.state_path.exists():
            self._resume()
        note_commit(self.commits)

    def train(self, save_every: int = 100) -> RasterTransformer:
        """Train to the configured number of steps."""
        self.output.parent.mkdir(parents=True, exist_ok=True)
        if not self.step:
            self.log_path.unlink(missing_ok=True)  # of an earlier run that was finished
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
        return RasterTransformer(self.gpt.eval(), self.rate + 1, self.maps.fingerprint)

    def export(self) -> bytes:
        """Train what is left, write the weights and where they come from; the state is removed.

        Returns:
            The file's fingerprint.
        """
        fingerprint = self.train().save(self.output)
        facts = {
            "fingerprint": fingerprint.hex(),
            "codec": self.maps.fingerprint.hex(),
            "quality": self.rate + 1,
            "data": self.data,
            "commits": self.commits,
            "steps": self.step,
            "windows": self.step * self.config.batch * self.config.masks,
            "hours": round(self.seconds / 3600, 2),
            "metrics": last_row(self.log_path),  # validation, bits an index
            "config": asdict(self.config),
        }
        text = json.dumps(facts, indent=1) + "\n"
        write_atomically(self.output.with_suffix(".json"), text.encode())
        self.state_path.unlink()
        return fingerprint

    @torch.no_grad()
    def validation_figures(self) -> tuple[float, float]:
        """Bits of a masked index, and the share of them that the likeliest guess hits."""
        with self._precision():
            logits = logits_at(self.gpt, self.shown, *self.asked)
        bits = F.cross_entropy(logits.float(), self.wanted).item() / math.log(2)
        return bits, (logits.argmax(1) == self.wanted).float().mean().item()

    def _train_step(self) -> float:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        maps = self.maps.batch(self.pictures, config.batch, config.crop, config.seed, self.step)
        rng = np.random.default_rng((config.seed, self.step, 1))
        tokens = self._windows(maps[self.rate].cpu().repeat(config.masks, 1, 1), rng)
        gaps = draw_gaps(len(tokens), tokens.shape[1], rng)
        with self._precision():
            shown = tokens.masked_fill(gaps, self.size)
            logits = logits_at(self.gpt, shown, *gaps.nonzero(as_tuple=True))
        loss = F.cross_entropy(logits.float(), tokens[gaps])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        take_step(self.gpt, self.optimizer, self.step)
        return loss.item() / math.log(2)

    def _windows(self, maps: Tensor, rng: np.random.Generator) -> Tensor:
        """Of each map a window, wherever it falls, in raster order."""
        side = self.config.window
        windows = []
        for found in maps:
            top, left = (int(rng.integers(length - side + 1)) for length in found.shape)
            windows.append(found[top : top + side, left : left + side].flatten())
        return torch.stack(windows)

    def _precision(self) -> torch.autocast:
        return autocast("cpu")

    def _learning_rate(self) -> float:
        config = self.config
        rates = config.learning_rate, config.final_learning_rate
        return warm_cosine(self.step, config.steps, config.warmup, *rates)

    def _groups(self) -> list[dict[str, object]]:
        """As VQGAN's second stage: matrices of linear layers decay, nothing else does."""
        linear = [m.weight for m in self.gpt.modules() if isinstance(m, nn.Linear)]
        decayed = {id(weight) for weight in linear}
        others = [p for p in self.gpt.parameters() if id(p) not in decayed]
        return [
            {"params": linear, "weight_decay": self.config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]

    def _prepare_validation(self, pictures: list[Tensor]) -> None:
        config = self.config
        crops = [p[:, : config.crop, : config.crop] for p in pictures[: config.validation]]
        images = torch.stack(crops).float().div_(127.5).sub_(1.0)
        rng = np.random.default_rng(config.seed)
        maps = [self.maps.encode(part, self.rate).cpu() for part in images.split(16)]
        tokens = self._windows(torch.cat(maps), rng)
        gaps = torch.zeros(tokens.shape, dtype=torch.bool)
        for row in gaps:
            masked = math.ceil(config.validation_ratio * len(row))
            row[torch.from_numpy(rng.permutation(len(row))[:masked])] = True
        self.shown = tokens.masked_fill(gaps, self.size)
        self.asked, self.wanted = gaps.nonzero(as_tuple=True), tokens[gaps]
        frequencies = self.maps.log2_frequencies()[self.rate]
        self.plain = -frequencies[self.wanted].mean().item()

    def _log(self, loss: float) -> None:
        bits, hits = self.validation_figures()
        row = {
            "step": self.step,
            "seconds": round(self.seconds, 1),
            "loss": round(loss, 4),  # bits of a masked index
            "bits": round(bits, 4),
            "bits_by_frequencies": round(self.plain, 4),
            "hits": round(hits, 4),
        }
        append_row(self.log_path, row)
        print(" ".join(f"{k}={v}" for k, v in row.items()), flush=True)

    def _save(self) -> None:
        state = {
            "config": asdict(self.config),
            "fingerprint": self.maps.fingerprint.hex(),
            "rate": self.rate,
            "step": self.step,
            "seconds": self.seconds,
            "gpt": self.gpt.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "commits": self.commits,
            "data": self.data,
        }
        save_state(state, self.state_path)

    def _resume(self) -> None:
        state = load_state(self.state_path)
        ours = (asdict(self.config), self.maps.fingerprint.hex(), self.rate, self.data)
        if (state["config"], state["fingerprint"], state["rate"], state["data"]) != ours:
            raise CodecError(
                f"{self.state_path} belongs to other weights, --data or settings: "
                "remove it or choose another -o"
            )
        self.step, self.seconds = state["step"], state["seconds"]
        self.gpt.load_state_dict(state["gpt"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.commits = state["commits"]


def _state_and_log(output: Path) -> tuple[Path, Path]:
    return output.with_suffix(".state.pt"), output.with_suffix(".csv")


def index_maps(weights: LadderWeights, quality: int) -> IndexMaps:
    """The encoder of one quality alone.

    Raises:
        CodecError: when the weights have no such quality.
    """
    weights.check_quality(quality)
    others = {f".{q}" for q in weights.qualities if q != quality}
    tensors = {
        name: value
        for name, value in weights.tensors.items()
        if not (name.startswith(("codebooks", "log2_frequencies")) and name[-2:] in others)
    }
    return IndexMaps(dataclasses.replace(weights, tensors=tensors))


def main(argv: list[str] | None = None) -> int:
    """Train and export; see the module's docstring."""
    parser = ArgumentParser(prog="python -m compressai_vq.training.raster_transformer")
    parser.add_argument("--data", nargs="+", required=True, help="folders or tar files")
    parser.add_argument("--validation", nargs="+", required=True, help="not trained on")
    parser.add_argument("--weights", type=Path, help="of the codec; default: the packaged ones")
    parser.add_argument("-q", "--quality", type=int, default=9)
    parser.add_argument("--steps", type=int, default=2000)
    for name in ("batch", "layers", "heads", "width"):
        default = RasterConfig.__dataclass_fields__[name].default
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    parser.add_argument("--crop", type=int, default=RasterConfig.crop, help="pixels a side")
    parser.add_argument("--learning-rate", type=float, default=RasterConfig.learning_rate)
    parser.add_argument("--threads", type=int, default=0, help="default: all cores")
    parser.add_argument("-o", "--output", type=Path, required=True, help="safetensors file")
    parser.add_argument(
        "-f", "--force", action="store_true", help="overwrite it, and .json and .csv beside it"
    )
    arguments = parser.parse_args(argv)
    return exit_code(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> None:
    use_threads(arguments.threads)
    names = ("steps", "batch", "crop", "layers", "heads", "width", "learning_rate")
    config = RasterConfig(**{name: getattr(arguments, name) for name in names})
    if arguments.output.suffix != ".safetensors":  # files beside it differ in the ending
        raise CodecError(f"{arguments.output} must end in .safetensors: choose another -o")
    check_output(arguments.output, arguments.force)
    state, log = _state_and_log(arguments.output)
    if not state.exists():
        refuse_to_overwrite(log, arguments.force)
    if config.steps < 1 or config.batch < 1:
        raise CodecError("--steps and --batch must be at least 1")
    if min(config.layers, config.width) < 1:
        raise CodecError("--layers and --width must be at least 1")
    if config.heads < 1 or config.width % config.heads:
        raise CodecError(f"{config.heads} heads cannot share {config.width} channels")
    if config.crop % STRIDE or config.crop < config.window * STRIDE:
        raise CodecError(
            f"--crop must be a multiple of {STRIDE} and hold a window of "
            f"{config.window * STRIDE} pixels"
        )
    if arguments.weights:
        weights = LadderWeights.load(arguments.weights)
    else:
        weights = pretrained_weights(_ARCHITECTURE)
    maps = index_maps(weights, arguments.quality)
    pictures = load_photographs(arguments.data, config.crop)
    validation = load_photographs(arguments.validation, config.crop)
    RasterRun(maps, config, arguments.output, pictures, validation, arguments.data).export()


if __name__ == "__main__":
    sys.exit(main())
