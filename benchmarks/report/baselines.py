"""How far the baselines that we train ourselves were trained, for notes under their figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compressai_vq.errors import CodecError

MARKS = "\N{SUPERSCRIPT ONE}\N{SUPERSCRIPT TWO}\N{SUPERSCRIPT THREE}\N{SUPERSCRIPT FOUR}"
"""What stands behind a codec's name and before its note."""


def training_notes(folder: Path) -> dict[str, str]:
    """What ``benchmarks.train_baselines.keep`` kept, as a sentence for each codec.

    Args:
        folder: of the results, which may hold ``baselines.json``.

    Returns:
        Codec to sentence; empty when nothing was kept.

    Raises:
        CodecError: when the file is not one of that command's.
    """
    path = folder / "baselines.json"
    if not path.exists():
        return {}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {codec: _sentence(points) for codec, points in kept.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise CodecError(
            f"{path} is not a file of benchmarks.train_baselines.keep; make it anew"
        ) from None


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
