"""The first photographs of a folder or tar, for benchmarks on those that were not trained on."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.training.photographs import load_photographs


def first_photographs(source: str, side: int, count: int) -> list[Tensor]:
    """At most ``count`` photographs, uint8 (3, H, W), of at least ``side`` pixels a side.

    Raises:
        CodecError: when there is no such source or none are asked for.
        ValueError: when it holds no photograph that is large enough.
    """
    if not Path(source).exists():
        raise CodecError(f"{source}: no such folder or tar")
    if count < 1:
        raise CodecError(f"{count} images: 1 or more are needed")
    return load_photographs([source], side)[:count]
