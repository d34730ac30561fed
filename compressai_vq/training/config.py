"""One stage's settings, as its TOML file gives them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..errors import CodecError
from .optimizer import check_optimizer
from .regularity import SMALLEST_CROP
from .schedule import warm_cosine
from .settings_file import check_settings, read_settings

PACKAGED = Path(__file__).parent / "configs"

_SMALLEST_SURROUNDED = 64  # pixels; a smaller photograph has little to mirror

_SMALLEST_OF_ALEXNET = 64  # pixels, of which some random crops inside have 39
_SMALLEST_OF_VGG16 = 16  # pixels, which its four poolings leave one of

TRAINABLE = ("all", "codebook", "encoder")


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
    average: float  # of the weights' moving average, which is what is kept; 0.95 to step 500
    commitment: float
    spread: float  # of the covariance penalty on latents
    alex: float
    vgg: float
    seed: int
    unquantized: int = 0  # steps before codebooks are filled with latents and used
    codewords: int = 0  # of the large codebook
    latent_channels: int = 8
    dists: float = 0.0
    surround: bool = False  # photographs by their mirror images, so that crops can be larger
    zoom: float = 1.0  # up to which factor photographs are enlarged
    window: int = 64  # side of VGG16's random window
    regularity: float = 0.0  # of the term against lattices in flat areas
    grain: int = 0  # channels of the noise that a lite decoder paints grain from
    cooldown: int = 0  # steps of linear decay after a constant rate; 0: a cosine throughout
    restarts: list[int] = field(default_factory=list)  # steps at which a cooldown has ended before
    adversarial: float = 0.0  # weight of the discriminator's term, before it is adapted
    adversarial_from: int = 0  # step from which the codec feels it; it learns from the start
    qualities: list[int] = field(default_factory=lambda: list(range(1, 10)))
    optimizer: str = "adamw"  # or "muon", which see in optimizer.py
    train: str = "all"  # or a part of the model alone: "codebook" or "encoder"
    # Settings that are other ones from a step on: {"from_step": step, name: value}, in order.
    phase: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def load(cls, path: str | Path) -> TrainingConfig:
        """Read a TOML file.

        Raises:
            CodecError: for a file that cannot be read, and unknown, missing or bad settings.
        """
        config = read_settings(cls, path)
        try:
            config._check_phases()
            for settings in config.to_come(0):
                settings._check()
        except CodecError as error:
            raise CodecError(f"{path}: {error}") from None
        return config

    def _check(self) -> None:
        check_settings(self)
        if self.train not in TRAINABLE:
            known = ", ".join(TRAINABLE)
            raise CodecError(f'train is one of {known}, not "{self.train}"')
        check_optimizer(self.optimizer)
        if not self.qualities or not set(self.qualities) <= set(range(1, 10)):
            raise CodecError(f"qualities are of 1 to 9, not {self.qualities}")
        if self.regularity and self.crop < SMALLEST_CROP:
            raise CodecError(f"regularity wants crops of at least {SMALLEST_CROP} pixels")
        if self.restarts != sorted(set(self.restarts)) or min([1, *self.restarts]) < 1:
            raise CodecError(
                f"restarts are steps above 0, each above that before: {self.restarts}"
            )
        if not self.decay:
            raise CodecError("decay is above 0: codewords would follow single latents")
        if self.seed >= 1 << 62:
            raise CodecError(f"seed is below 2**62, not {self.seed}")
        if self.adversarial and not (self.vgg or self.dists):
            raise CodecError("adversarial wants vgg or dists, whose features are what it judges")
        if self.alex and self.crop < _SMALLEST_OF_ALEXNET:
            raise CodecError(f"alex wants crops of at least {_SMALLEST_OF_ALEXNET} pixels")
        if self.zoom < 1:
            raise CodecError(f"zoom is 1 or more, not {self.zoom}")
        if self.crop % 16 or self.crop < 16:
            raise CodecError(f"crop is a multiple of 16, not {self.crop}")
        if (self.vgg or self.dists) and not _SMALLEST_OF_VGG16 <= self.window <= self.crop:
            raise CodecError(
                f"window is {_SMALLEST_OF_VGG16} to crop, {self.crop}, not {self.window}"
            )

    def _check_phases(self) -> None:
        if not isinstance(self.phase, list) or not all(isinstance(p, dict) for p in self.phase):
            raise CodecError("phases are tables, each under [[phase]]")
        starts = self._starts()
        counts = len(starts) == len(self.phase) and all(type(start) is int for start in starts)
        if not counts or starts != sorted(set(starts)) or min([1, *starts]) < 1:
            raise CodecError("every phase has a from_step, above 0 and that of the one before")
        constant = {"steps", "restarts", "phase", "qualities", "latent_channels", "codewords"}
        known = {each.name for each in fields(self)} - constant | {"from_step"}
        for phase in self.phase:
            for name in phase.keys() - known:
                raise CodecError(f"a phase cannot set {name!r}")

    def _starts(self) -> list[int]:
        return [phase["from_step"] for phase in self.phase if "from_step" in phase]

    def at(self, step: int) -> TrainingConfig:
        """The settings of a step: with those of the phases that have begun by then."""
        settings: dict[str, Any] = {}
        for phase in self.phase:
            if phase["from_step"] <= step:
                settings |= {k: v for k, v in phase.items() if k != "from_step"}
        return replace(self, **settings)

    def next_phase(self, step: int) -> int:
        """The step until which the settings of ``step`` hold."""
        return min([self.steps, *(start for start in self._starts() if start > step)])

    def to_come(self, step: int) -> list[TrainingConfig]:
        """The settings of a step and those of the phases that begin after it."""
        return [self.at(start) for start in (step, *self._starts()) if start >= step]

    @property
    def smallest_side(self) -> int:
        """Photographs with a smaller side are left out: in some phase no crop would fit."""
        return max(_SMALLEST_SURROUNDED if p.surround else p.crop for p in self.to_come(0))

    @property
    def positions(self) -> int:
        """Latents a step, of all rates together."""
        return self.batch * (self.crop // 16) ** 2

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
        end = min([self.steps, *(end for end in self.restarts if end > step)])
        return last + (first - last) * min(1.0, (end - step) / self.cooldown)
