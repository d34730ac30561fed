"""Settings of the prior's training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import CodecError
from ..optimizer import check_optimizer
from ..settings_file import read_settings


@dataclass(frozen=True)
class PriorConfig:
    """What the TOML file gives."""

    steps: int
    batch: int  # crops a rate and step
    masks: int  # times that an encoded crop is used in its step, with gaps of its own each
    crop: int  # pixels a side, a multiple of 16
    channels: int
    depth: int
    learning_rate: float
    final_learning_rate: float
    warmup: int
    weight_decay: float
    average: float  # of the moving average of the weights
    random_share: float  # how likely gaps are random and not those of a pass
    quantize_from: int  # step from which rounding is that of the integer network
    seed: int
    validation: int = 32  # tiles that the logged bits are measured on
    optimizer: str = "adamw"  # or "muon", which see in ../optimizer.py
    views: int = 0  # of each photograph, encoded before training; 0: crops as they are asked for
    zoom: float = 1.0  # up to which factor photographs are enlarged for every second view

    @classmethod
    def load(cls, path: str | Path) -> PriorConfig:
        """Read a TOML file.

        Raises:
            CodecError: when it cannot be read, or lacks settings or has unknown or bad ones.
        """
        config = read_settings(cls, path)
        try:
            check_optimizer(config.optimizer)
            if config.crop % 16 or config.crop < 16:
                raise CodecError(f"crop is a multiple of 16, not {config.crop}")
            if not config.validation:
                raise CodecError("validation is 1 tile or more: the log has bits of some")
            if config.zoom < 1:
                raise CodecError(f"zoom is 1 or more, not {config.zoom}")
        except CodecError as error:
            raise CodecError(f"{path}: {error}") from None
        return config
