"""One stage's settings, as its TOML file gives them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CodecError
from .optimizer import check_optimizer
from .regularity import SMALLEST_CROP
from .schedule import warm_cosine

PACKAGED = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class TrainingConfig:
    """The settings; sizes in pixels, rates from 1 to 9, times in steps.

    Weights of terms of the loss are relative to L1's, which is 1.
    """

    steps: int
    batch: int  # pictures a step, over all processes
    crop: int
    learning_rate: float
    final_learning_rate: float
    warmup: int
    decay: float  # of the codebooks' moving averages
    average: float  # of the weights' moving average, which is what is kept
    commitment: float
    spread: float  # of the covariance penalty on latents
    alex: float
    vgg: float
    seed: int
    unquantized: int = 0  # steps before codebooks are filled with latents and used
    codewords: int = 0  # of the large codebook
    latent_channels: int = 8
    dists: float = 0.0
    window: int = 64  # side of VGG16's random window
    regularity: float = 0.0  # of the term against lattices in flat areas
    grain: int = 0  # channels of the noise that a lite decoder paints grain from
    cooldown: int = 0  # steps of linear decay after a constant rate; 0: a cosine throughout
    restarts: list[int] = field(default_factory=list)  # steps at which a cooldown has ended before
    adversarial: float = 0.0  # weight of the discriminator's term, before it is adapted
    adversarial_from: int = 0  # step from which the codec feels it; it learns from the start
    qualities: list[int] = field(default_factory=lambda: list(range(1, 10)))
    optimizer: str = "adamw"  # or "muon", which see in optimizer.py
    train: str = "all"  # or "codebook": codebooks and the convolutions next to them only

    @classmethod
    def load(cls, path: str | Path) -> TrainingConfig:
        """Read a TOML file.

        Raises:
            CodecError: for a file that cannot be read, and unknown, missing or bad settings.
        """
        try:
            settings = tomllib.loads(Path(path).read_text())
        except (OSError, ValueError) as error:
            raise CodecError(f"cannot read settings {path}: {error}") from error
        try:
            config = cls(**settings)
        except TypeError as error:
            raise CodecError(
                f"{path}: {error}".replace("TrainingConfig.__init__()", "")
            ) from error
        if config.train not in ("all", "codebook"):
            raise CodecError(f'{path}: train is "all" or "codebook", not "{config.train}"')
        try:
            check_optimizer(config.optimizer)
        except CodecError as error:
            raise CodecError(f"{path}: {error}") from None
        if not config.qualities or not set(config.qualities) <= set(range(1, 10)):
            raise CodecError(f"{path}: qualities are of 1 to 9, not {config.qualities}")
        if config.regularity and config.crop < SMALLEST_CROP:
            raise CodecError(f"{path}: regularity wants crops of at least {SMALLEST_CROP} pixels")
        if config.crop % 16 or config.crop < 16:
            raise CodecError(f"{path}: crop is a multiple of 16, not {config.crop}")
        return config

    @classmethod
    def packaged(cls, stage: str) -> TrainingConfig:
        """The settings that the package brings for a stage."""
        return cls.load(PACKAGED / f"{stage}.toml")

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step: a linear warm-up, then constant or cosine decay.

        With a cooldown, each of ``restarts`` ends one and brings the constant rate back, so
        that a run that has been finished can be prolonged.
        """
        first, last = self.learning_rate, self.final_learning_rate
        if step < self.warmup or not self.cooldown:
            return warm_cosine(step, self.steps, self.warmup, first, last)
        end = next((end for end in self.restarts if end > step), self.steps)
        return last + (first - last) * min(1.0, (end - step) / self.cooldown)
