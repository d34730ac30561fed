"""Rate and distortion of complete files over a folder of images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Protocol

import torch
from pytorch_msssim import ms_ssim
from torch import Tensor

Metric = Callable[[Tensor, Tensor], Tensor]


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


def evaluate_picture(
    codec: StillCodec, picture: Tensor, quality: int, metrics: dict[str, Metric]
) -> dict[str, float]:
    """Compress and decompress one picture and measure what came back.

    Args:
        codec: the codec.
        picture: uint8 (3, H, W).
        quality: a point of the codec's own scale (ours: 1 to 9).
        metrics: name to a function of two (1, 3, H, W) in [-1, 1].

    Returns:
        ``bytes`` and ``bpp`` of the complete file, ``psnr-rgb``, ``ms-ssim-rgb`` (NaN for
        sides of at most 160 pixels, where it is not defined), seconds, and the metrics.
    """
    started = time.perf_counter()
    data = codec.compress(picture, quality)
    compressed = time.perf_counter()
    decoded = codec.decompress(data)
    finished = time.perf_counter()
    a, b = picture[None].float(), decoded[None].float()
    small = min(picture.shape[1:]) <= 160
    row = {
        "bytes": len(data),
        "bpp": 8 * len(data) / (picture.shape[1] * picture.shape[2]),
        "psnr-rgb": psnr(picture, decoded),
        "ms-ssim-rgb": math.nan if small else ms_ssim(a, b, data_range=255).item(),
        "encoding_time": compressed - started,
        "decoding_time": finished - compressed,
    }
    with torch.no_grad():
        for name, metric in metrics.items():
            row[name] = metric(a / 127.5 - 1, b / 127.5 - 1).item()
    return row


def averages(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Mean of every figure over images, a list in the order of quality for each figure."""
    qualities = sorted({row["quality"] for row in rows})
    names = [k for k in rows[0] if k not in ("image", "quality")]
    table: dict[str, list[float]] = {"quality": [float(q) for q in qualities]}
    for name in names:
        table[name] = []
        for quality in qualities:
            values = [row[name] for row in rows if row["quality"] == quality]
            table[name].append(sum(values) / len(values))
    return table
