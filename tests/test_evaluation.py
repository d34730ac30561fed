from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from compressai_vq.evaluation import averages, distortion, evaluate_picture, psnr, undefined

from .fixtures import photograph, untrained_codec
from .taming_reference import one_thread  # noqa: F401

CODEC = untrained_codec()


def test_psnr() -> None:
    black = torch.zeros(3, 4, 5, dtype=torch.uint8)
    assert psnr(black, black) == math.inf
    assert psnr(black, black + 255) == 0
    assert psnr(black, black + 1) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(black + 255, black) == psnr(black, black + 255)


def test_evaluate_picture() -> None:
    picture = photograph(161, 200)
    seen: list[Tensor] = []

    def measure(decoded: Tensor) -> dict[str, float]:
        seen.append(decoded)
        return {"lpips": 0.25, "dists": 0.125}

    row = evaluate_picture(CODEC, picture, 3, measure)
    data = CODEC.compress(picture, 3)
    decoded = CODEC.decompress(data)
    assert row["bytes"] == len(data)
    assert row["bpp"] == 8 * len(data) / (161 * 200)
    assert row["psnr-rgb"] == psnr(picture, decoded)
    assert 0 <= row["ms-ssim-rgb"] < 1
    assert row["encoding_time"] > 0 and row["decoding_time"] > 0
    assert (row["lpips"], row["dists"]) == (0.25, 0.125)
    (measured,) = seen
    assert torch.equal(measured, decoded)


def test_any_codec_can_be_evaluated() -> None:
    """A codec that keeps the picture as it is, in a file of raw pixels and its size."""

    class Raw:
        def compress(self, picture: Tensor, quality: int) -> bytes:
            assert quality == 17
            return bytes(picture.shape[1:]) + picture.numpy().tobytes()

        def decompress(self, data: bytes) -> Tensor:
            size = (3, *data[:2])
            return torch.frombuffer(bytearray(data[2:]), dtype=torch.uint8).reshape(size)

    row = evaluate_picture(Raw(), photograph(162, 170), 17)
    assert row["bytes"] == 3 * 162 * 170 + 2
    assert row["bpp"] == pytest.approx(24, abs=0.01)
    assert (row["psnr-rgb"], row["ms-ssim-rgb"]) == (math.inf, 1)


def test_distortion_is_what_evaluate_picture_reports() -> None:
    picture = photograph(170, 200)
    decoded = CODEC.decompress(CODEC.compress(picture, 5))
    found = distortion(picture, decoded)
    assert found == {"psnr-rgb": psnr(picture, decoded), "ms-ssim-rgb": found["ms-ssim-rgb"]}
    row = evaluate_picture(CODEC, picture, 5)
    assert found.items() <= row.items()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (160, 300), (300, 160)])
def test_small_pictures_have_no_ms_ssim(height: int, width: int) -> None:
    row = evaluate_picture(CODEC, photograph(height, width), 1)
    assert math.isnan(row["ms-ssim-rgb"])
    assert row["psnr-rgb"] > 0


def test_figures_that_an_image_lacks_leave_the_mean_to_the_others() -> None:
    rows = [
        {"image": image, "quality": quality, "bpp": bpp, "ms-ssim-rgb": score, "lpips": math.nan}
        for image, bpp, score in (("a", 0.25, math.nan), ("b", 0.75, 0.5), ("c", 0.5, 0.25))
        for quality in (1, 2)
    ]
    table = averages(rows)
    assert table["bpp"] == [0.5, 0.5] and table["ms-ssim-rgb"] == [0.375, 0.375]
    assert all(math.isnan(value) for value in table["lpips"])
    assert undefined(rows) == {"ms-ssim-rgb": 1, "lpips": 3}


def test_averages() -> None:
    rows = [
        {"image": f"{which}.png", "quality": quality}
        | evaluate_picture(CODEC, photograph(48, 64, which), quality)
        for which in (0, 1)
        for quality in (2, 7)
    ]
    table = averages(rows)
    assert table["quality"] == [2, 7]
    for n, quality in enumerate((2, 7)):
        sizes = [len(CODEC.compress(photograph(48, 64, which), quality)) for which in (0, 1)]
        assert table["bytes"][n] == sum(sizes) / 2
        assert table["bpp"][n] == pytest.approx(4 * sum(sizes) / (48 * 64))
