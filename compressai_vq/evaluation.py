"""Rate and distortion of complete files over a folder of images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Protocol

from pytorch_msssim import ms_ssim
from torch import Tensor

Row = dict[str, float]
"""Figures of one picture at one quality, by name."""

Measure = Callable[[Tensor], Row]
"""A decoded picture, uint8 (3, H, W), to its distances from an original."""


class StillCodec(Protocol):
    """What is compared: pictures to the bytes of a complete file, and back."""

    def compress(self, picture: Tensor, quality: int) -> bytes:
        """A picture, uint8 (3, H, W), to a complete file."""

    def decompress(self, data: bytes) -> Tensor:
        """A complete file to the picture, uint8 (3, H, W)."""


def psnr(a: Tensor, b: Tensor) -> float:
    """PSNR in dB of two uint8 pictures (3, H, W); infinite when they are equal."""
    error = (a.double() - b.double()).square().mean().item()
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def distortion(original: Tensor, decoded: Tensor, measure: Measure | None = None) -> Row:
    """How far a decoded picture is from the original.

    Args:
        original: uint8 (3, H, W).
        decoded: uint8 (3, H, W).
        measure: further metrics of the decoded picture, such as
            ``PictureMetrics([...]).against(original)``, made once for all that is compared
            with that original.

    Returns:
        ``psnr-rgb``, ``ms-ssim-rgb`` (NaN for sides of at most 160 pixels, where it is not
        defined), and what ``measure`` gives.
    """
    a, b = original[None].float(), decoded[None].float()
    small = min(original.shape[1:]) <= 160
    return {
        "psnr-rgb": psnr(original, decoded),
        "ms-ssim-rgb": math.nan if small else ms_ssim(a, b, data_range=255).item(),
        **(measure(decoded) if measure is not None else {}),
    }


def code_picture(codec: StillCodec, picture: Tensor, quality: int) -> tuple[Row, Tensor]:
    """Compress and decompress one picture.

    Args:
        codec: the codec.
        picture: uint8 (3, H, W).
        quality: a point of the codec's own scale (ours: 1 to 9).

    Returns:
        ``bytes`` and ``bpp`` of the complete file and the seconds that ``encoding_time`` and
        ``decoding_time`` took; and the decoded picture.
    """
    started = time.perf_counter()
    data = codec.compress(picture, quality)
    compressed = time.perf_counter()
    decoded = codec.decompress(data)
    row = {
        "bytes": len(data),
        "bpp": 8 * len(data) / (picture.shape[1] * picture.shape[2]),
        "encoding_time": compressed - started,
        "decoding_time": time.perf_counter() - compressed,
    }
    return row, decoded


def evaluate_picture(
    codec: StillCodec, picture: Tensor, quality: int, measure: Measure | None = None
) -> Row:
    """Compress and decompress one picture and measure what came back.

    Args:
        codec: the codec.
        picture: uint8 (3, H, W).
        quality: a point of the codec's own scale (ours: 1 to 9).
        measure: as for :func:`distortion`.

    Returns:
        The figures of :func:`code_picture` and of :func:`distortion`.
    """
    row, decoded = code_picture(codec, picture, quality)
    seconds = {name: row.pop(name) for name in ("encoding_time", "decoding_time")}
    return {**row, **distortion(picture, decoded, measure), **seconds}  # as columns of tables


def averages(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Mean of every figure over images, a list in the order of quality for each figure.

    Means are over the images that have the figure: :func:`undefined` tells of others.  NaN where
    none has it.
    """
    qualities = sorted({row["quality"] for row in rows})
    names = [k for k in rows[0] if k not in ("image", "quality")]
    table: dict[str, list[float]] = {"quality": [float(q) for q in qualities]}
    for name in names:
        table[name] = []
        for quality in qualities:
            values = [row[name] for row in rows if row["quality"] == quality]
            values = [value for value in values if not math.isnan(value)]
            table[name].append(sum(values) / len(values) if values else math.nan)
    return table


def undefined(rows: list[dict[str, Any]]) -> dict[str, int]:
    """How many images lack a figure, such as MS-SSIM of small ones, by the figure's name."""
    lacking: dict[str, int] = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, float) and math.isnan(value):
                lacking[name] = lacking.get(name, 0) + (row["quality"] == rows[0]["quality"])
    return lacking
