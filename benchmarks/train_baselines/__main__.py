"""``python -m benchmarks.train_baselines``: Cheng2020 and HiFiC at our rates, on our data.

Each goes on where it was interrupted when its command is run again::

    python -m benchmarks.train_baselines cheng2020 --data DIR_OR_TAR... --runs DIR
    python -m benchmarks.train_baselines hific     --data DIR_OR_TAR... --runs DIR

What comes of it lies in DIR/cheng2020 and DIR/hific; see :class:`.run.BaselineRun`.
"""

from __future__ import annotations

import argparse
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from compressai_vq.argument_parser import ArgumentParser
from compressai_vq.errors import CodecError
from compressai_vq.training.photographs import load_photographs

from .cheng2020 import Cheng2020Recipe, Cheng2020Settings
from .hific import HiFiCRecipe, HiFiCSettings
from .recipe import Recipe
from .run import BaselineRun
from .schedule import Schedule

_SCHEDULES = {
    "cheng2020": Schedule(3600, (0.09, 0.05, 0.03, 0.015), 0.4, 2.0),
    "hific": Schedule(2200, (0.045, 0.03, 0.02), 0.4, 1.5),
}


def main(argv: list[str] | None = None) -> int:
    """Train one baseline; returns the exit code, 2 after one line about unusable input."""
    parser = ArgumentParser(prog="python -m benchmarks.train_baselines")
    parser.add_argument("baseline", choices=_SCHEDULES)
    parser.add_argument("--data", nargs="+", required=True, help="folders or tar files")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--steps", type=int, help="default: about 20 minutes of one core")
    parser.add_argument("--targets", type=_targets, help="falling bits per pixel, a,b,c")
    parser.add_argument("--width", type=_positive, help="N of cheng2020; of hific, the first of 5")
    parser.add_argument("--batch", type=_positive, help="crops a step")
    parser.add_argument("--threads", type=_positive, help="default: all cores")
    arguments = parser.parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    schedule = _SCHEDULES[arguments.baseline]
    try:
        schedule = replace(
            schedule,
            steps=schedule.steps if arguments.steps is None else arguments.steps,
            targets=arguments.targets or schedule.targets,
        )
        recipe = _RECIPES[arguments.baseline](arguments)
        pictures = load_photographs(arguments.data, recipe.settings.crop)
        names = [Path(source).name for source in arguments.data]
        BaselineRun(recipe, schedule, arguments.runs, pictures, names).train()
    except (CodecError, ValueError, OSError, tarfile.TarError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _cheng2020(arguments: argparse.Namespace) -> Recipe:
    settings = Cheng2020Settings()
    width, batch = arguments.width or settings.width, arguments.batch or settings.batch
    return Cheng2020Recipe(replace(settings, width=width, batch=batch))


def _hific(arguments: argparse.Namespace) -> Recipe:
    settings = HiFiCSettings()
    first = arguments.width or settings.widths[0]
    widths = tuple(width * first // settings.widths[0] for width in settings.widths)
    batch = arguments.batch or settings.batch
    return HiFiCRecipe(replace(settings, widths=widths, batch=batch))


_RECIPES: dict[str, Callable[[argparse.Namespace], Recipe]] = {
    "cheng2020": _cheng2020,
    "hific": _hific,
}


def _targets(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return number


if __name__ == "__main__":
    sys.exit(main())
