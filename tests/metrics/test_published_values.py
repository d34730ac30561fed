"""Values that others published, for pictures that can be had anywhere.

The lpips and DISTS repositories give values for example images which are in none of the
packages.  TorchMetrics' documentation gives values of the same metrics for seeded random
pictures, and these can be drawn again:

- LPIPS-VGG 0.3493, TorchMetrics 0.11, class ``LearnedPerceptualImagePatchSimilarity``;
- DISTS 0.1285 to 0.1356, TorchMetrics 1.9, function
  ``deep_image_structure_and_texture_similarity``.

IQA-PyTorch gives the values of the original code of LPIPS-Alex, DISTS and PSNR for five pairs
of real pictures, which it brings; see ``tests.calibration_pictures``.

The repositories' own examples are compared when they are in the cache; see
:func:`example_image`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn as nn
import torchvision
from torch import Tensor

from compressai_vq.cache import cache_dir
from compressai_vq.errors import CodecError
from compressai_vq.evaluation import psnr
from compressai_vq.metrics.lpips import load_lpips
from compressai_vq.metrics.picture_metrics import PictureMetrics
from compressai_vq.picture import read_picture

from .. import calibration_pictures
from ..taming_reference import one_thread  # noqa: F401


@torch.inference_mode()
def test_lpips_vgg_of_torchmetrics_example() -> None:
    try:
        metric = load_lpips("vgg", allow_download=False)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")
    with torch.random.fork_rng():
        torch.manual_seed(123)
        # The example builds the metric between seed and pictures; that draws numbers too.
        torchvision.models.vgg16(init_weights=False)
        for channels in (64, 128, 256, 512, 512):
            nn.Conv2d(channels, 1, 1, bias=False)
        a = torch.rand(10, 3, 100, 100) * 2 - 1
        b = torch.rand(10, 3, 100, 100) * 2 - 1
    assert round(metric(a, b).mean().item(), 4) == 0.3493


@torch.inference_mode()
def test_dists_of_torchmetrics_example() -> None:
    pytest.importorskip("DISTS_pytorch", reason="it is in the extra 'metrics'")
    from compressai_vq.metrics.dists import load_dists

    try:
        metric = load_dists(allow_download=False)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")
    with torch.random.fork_rng():
        torch.manual_seed(42)  # what TorchMetrics seeds its documentation's examples with
        a = torch.rand(5, 3, 256, 256)
        b = torch.rand(5, 3, 256, 256)
    found = [round(value, 4) for value in metric(a[:2], b[:2]).tolist()]
    assert found == [0.1285, 0.1344]


def calibration_pairs() -> list[tuple[Tensor, Tensor]]:
    if calibration_pictures.missing():
        pytest.skip("python -m tests.fetched has not brought the pictures")
    return calibration_pictures.pairs()


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("lpips", ["0.7237", "0.2572", "0.0508", "0.0521", "0.4253"]),
        ("dists", ["0.4742", "0.1424", "0.0682", "0.0287", "0.3123"]),
    ],
)
def test_values_of_the_original_code_for_real_pictures(metric: str, values: list[str]) -> None:
    pairs = calibration_pairs()
    measure = picture_metrics(metric).against
    assert [f"{measure(a)(b)[metric]:.4f}" for a, b in pairs] == values


def test_psnr_of_real_pictures() -> None:
    found = [psnr(a, b) for a, b in calibration_pairs()]
    assert [f"{value:.2f}" for value in found] == ["21.11", "20.99", "27.01", "23.30", "21.62"]


def picture_metrics(metric: str) -> PictureMetrics:
    try:
        return PictureMetrics([metric], allow_download=False)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")


def example_image(name: str) -> Tensor:
    """A repository's example image, uint8 (3, H, W), put by hand into the cache.

    ``$COMPRESSAI_VQ_CACHE/example-images`` takes ``ex_ref.png``, ``ex_p0.png`` and
    ``ex_p1.png`` of richzhang/PerceptualSimilarity (``imgs/``) and ``r0.png`` and ``r1.png``
    of dingkeyan93/DISTS (``images/``); that these are the right ones shows in the values.
    """
    path: Path = cache_dir() / "example-images" / name
    if not path.is_file():
        pytest.skip(f"no package has the repositories' example images: put {name} at {path}")
    return read_picture(path, max_pixels=1 << 20)


def measured(metric: str, original: str, *decoded: str) -> list[float]:
    pictures = [example_image(name) for name in (original, *decoded)]
    measure = picture_metrics(metric).against(pictures[0])
    return [measure(picture)[metric] for picture in pictures[1:]]


@pytest.mark.parametrize(
    ("metric", "values"), [("lpips", [0.722, 0.138]), ("lpips-vgg", [0.569, 0.422])]
)
def test_lpips_of_its_repositorys_example(metric: str, values: list[float]) -> None:
    found = measured(metric, "ex_ref.png", "ex_p0.png", "ex_p1.png")
    assert [round(value, 3) for value in found] == values


def test_dists_of_its_repositorys_example() -> None:
    assert [round(v, 4) for v in measured("dists", "r0.png", "r1.png")] == [0.3347]
