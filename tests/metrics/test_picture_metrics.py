from __future__ import annotations

import math
import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn as nn
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.metrics import picture_metrics
from compressai_vq.metrics.picture_metrics import NAMES, PictureMetrics

from ..fixtures import noise, photograph
from ..taming_reference import one_thread  # noqa: F401


@pytest.fixture(scope="module")
def metrics() -> PictureMetrics:
    try:
        return PictureMetrics(NAMES, allow_download=False)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")


def packages(metrics: PictureMetrics, original: Tensor, decoded: Tensor) -> dict[str, float]:
    """The same figures by the packages' own ``forward``."""
    a, b = (x[None].float() / 255 for x in (original, decoded))
    nets = metrics._nets
    assert type(nets["dists"]).__module__.startswith("DISTS_pytorch")
    with torch.no_grad():
        return {
            "lpips": nets["lpips"](2 * a - 1, 2 * b - 1).item(),
            "lpips-vgg": nets["lpips-vgg"](2 * a - 1, 2 * b - 1).item(),
            "dists": nets["dists"](a, b).item(),
        }


def test_figures_are_the_packages_own(metrics: PictureMetrics) -> None:
    original = photograph(75, 98)
    measure = metrics.against(original)
    for decoded in (photograph(75, 98, 1), (original // 32) * 32):
        found, expected = measure(decoded), packages(metrics, original, decoded)
        assert list(found) == list(NAMES)
        for name in NAMES:
            assert expected[name] > 0.01
            assert found[name] == pytest.approx(expected[name], abs=1e-5)


def test_equal_pictures_have_no_distance(metrics: PictureMetrics) -> None:
    original = photograph(64, 64)
    measure = metrics.against(original)
    assert measure(original.clone()) == pytest.approx(dict.fromkeys(NAMES, 0), abs=1e-6)


def test_the_original_stays_as_it_was(metrics: PictureMetrics) -> None:
    """Work in place must not leak into the features that are kept."""
    measure = metrics.against(photograph(48, 64))
    first = measure(noise(48, 64))
    assert measure(photograph(48, 64, 1)) != first
    assert measure(noise(48, 64)) == first


def test_sides_too_small_for_a_metric(metrics: PictureMetrics) -> None:
    smallest = {"lpips": 31, "lpips-vgg": 16, "dists": 1}
    for side in (1, 15, 16, 30, 31):
        row = metrics.against(photograph(side, 64))(noise(side, 64))
        for name, value in row.items():
            assert math.isnan(value) == (side < smallest[name])
            assert math.isnan(value) or value > 0


class CountedNet(nn.Module):
    """Stands for LPIPS: one stage, and a count of the pictures that went through it."""

    chns = (3,)

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.net = nn.Sequential(nn.Identity())
        self.net[0].register_forward_hook(self._count)
        self.lins = [nn.Conv2d(3, 1, 1, bias=False)]

    def _count(self, *_: object) -> None:
        self.seen += 1

    def scaling_layer(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 3 and x.min() >= -1 and x.max() <= 1
        return x


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> CountedNet:
    net = CountedNet()
    monkeypatch.setattr(picture_metrics, "load_lpips", lambda *_: net)
    return net


def test_an_original_goes_through_the_network_once(counted: CountedNet) -> None:
    measure = PictureMetrics(["lpips"]).against(photograph(40, 40))
    assert counted.seen == 1
    for seed in range(3):
        measure(noise(40, 40, seed))
    assert counted.seen == 4


def test_other_sizes_are_refused(counted: CountedNet) -> None:
    measure = PictureMetrics(["lpips"]).against(photograph(40, 50))
    with pytest.raises(CodecError, match="50x40 and 40x50"):
        measure(photograph(50, 40))


@pytest.mark.parametrize(
    "other",
    [photograph(40, 40).float() / 255, photograph(40, 40)[None], photograph(40, 40)[:1]],
    ids=["floats", "batch", "grey"],
)
def test_what_is_no_picture_is_refused(counted: CountedNet, other: Tensor) -> None:
    metrics = PictureMetrics(["lpips"])
    with pytest.raises(CodecError, match=r"a picture must be uint8 \(3, H, W\)"):
        metrics.against(other)
    with pytest.raises(CodecError, match=r"a picture must be uint8 \(3, H, W\)"):
        metrics.against(photograph(40, 40))(other)


@pytest.mark.parametrize(
    ("names", "words"), [(["ssim"], "no metric 'ssim'"), (["lpips", "psnr"], "'psnr'")]
)
def test_unknown_names(counted: CountedNet, names: list[str], words: str) -> None:
    with pytest.raises(CodecError, match=words):
        PictureMetrics(names)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "compressai_vq.metrics.dists", None)
    with pytest.raises(CodecError, match=r"pip install compressai-vq\[metrics\]"):
        PictureMetrics(["dists"])


def test_no_metrics_at_all() -> None:
    measure: Callable[[Tensor], dict[str, float]] = PictureMetrics([]).against(noise(1, 1))
    assert measure(noise(1, 1)) == {}
