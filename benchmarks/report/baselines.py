"""How far what we train ourselves was trained, for notes under its figures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.codecs import OURS
from compressai_vq.errors import CodecError

MARKS = "\N{SUPERSCRIPT ONE}\N{SUPERSCRIPT TWO}\N{SUPERSCRIPT THREE}\N{SUPERSCRIPT FOUR}"
"""What stands behind a codec's name and before its note."""


def training_notes(folder: Path) -> dict[str, str]:
    """What was kept of the baselines' training and of our own weights', a sentence for each codec.

    Args:
        folder: of the results, which may hold ``baselines.json``, written by
            ``benchmarks.train_baselines.keep``, and ``training.json``, by
            ``benchmarks.training_log``.

    Returns:
        Codec to sentence; empty when nothing was kept.

    Raises:
        CodecError: when a file is not one of these commands'.
    """
    sentences = {}
    try:
        path, command = folder / "baselines.json", "benchmarks.train_baselines.keep"
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            sentences = {codec: _sentence(points) for codec, points in kept.items()}
        path, command = folder / "training.json", "benchmarks.training_log"
        if path.exists():
            sentences[OURS] = _of_stages(json.loads(path.read_text(encoding="utf-8")).values())
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise CodecError(f"{path} is not a file of {command}; make it anew") from None
    return sentences


def _of_stages(stages: Iterable[dict[str, Any]]) -> str:
    stages = list(stages)
    sides = [stage["crop_side"] for stage in stages]
    return (
        f"Ours was trained on {sum(stage['crops'] for stage in stages):,} crops of {min(sides)} "
        f"to {max(sides)} pixels in {sum(stage['hours'] for stage in stages):.2f} hours."
    )


def _sentence(points: list[dict[str, Any]]) -> str:
    last = points[-1]
    rates = ", ".join(
        f"{point['training_bpp']:.3f} ({point['target_bpp']:g}; {point['crops']:,})"
        for point in points
    )
    return (
        f"Trained on {last['crops']:,} crops of {last['crop_side']} pixels in "
        f"{last['hours']:.2f} hours; bits per pixel in training (target; crops seen by then): "
        f"{rates}."
    )
