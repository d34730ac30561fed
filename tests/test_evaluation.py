from __future__ import annotations

import math

import pytest
import torch
import torch.nn as nn
from torch import Tensor

from compressai_vq.evaluation import averages, evaluate_picture, psnr

from .fixtures import photograph, untrained_codec
from .taming_reference import one_thread  # noqa: F401

CODEC = untrained_codec()


class MeanDifference(nn.Module):
    """Stands for a metric; checks what it is given."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        for x in (a, b):
            assert x.dim() == 4 and x.min() >= -1 and x.max() <= 1
        return (a - b).abs().mean()


def test_psnr() -> None:
    black = torch.zeros(3, 4, 5, dtype=torch.uint8)
    assert psnr(black, black) == math.inf
    assert psnr(black, black + 255) == 0
    assert psnr(black, black + 1) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(black + 255, black) == psnr(black, black + 255)


def test_evaluate_picture() -> None:
    picture = photograph(161, 200)
    row = evaluate_picture(CODEC, picture, 3, {"difference": MeanDifference()})
    data = CODEC.compress(picture, 3)
    decoded = CODEC.decompress(data)
    assert row["bytes"] == len(data)
    assert row["bpp"] == 8 * len(data) / (161 * 200)
    assert row["psnr-rgb"] == psnr(picture, decoded)
    difference = (picture.float() - decoded.float()).abs().mean().item() / 127.5
    assert row["difference"] == pytest.approx(difference, rel=1e-5)
    assert 0 <= row["ms-ssim-rgb"] < 1
    assert row["encoding_time"] > 0 and row["decoding_time"] > 0


@pytest.mark.parametrize(("height", "width"), [(1, 1), (160, 300), (300, 160)])
def test_small_pictures_have_no_ms_ssim(height: int, width: int) -> None:
    row = evaluate_picture(CODEC, photograph(height, width), 1, {})
    assert math.isnan(row["ms-ssim-rgb"])
    assert row["psnr-rgb"] > 0


def test_averages() -> None:
    rows = [
        {"image": f"{which}.png", "quality": quality}
        | evaluate_picture(CODEC, photograph(48, 64, which), quality, {})
        for which in (0, 1)
        for quality in (2, 7)
    ]
    table = averages(rows)
    assert table["quality"] == [2, 7]
    for n, quality in enumerate((2, 7)):
        sizes = [len(CODEC.compress(photograph(48, 64, which), quality)) for which in (0, 1)]
        assert table["bytes"][n] == sum(sizes) / 2
        assert table["bpp"][n] == pytest.approx(4 * sum(sizes) / (48 * 64))
