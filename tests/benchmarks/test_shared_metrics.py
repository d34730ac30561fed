from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import Tensor

from benchmarks.shared_metrics import Distances, SharedMetrics, _Remembering
from compressai_vq.errors import CodecError
from compressai_vq.metrics.picture_metrics import PictureMetrics

from ..fixtures import photograph
from ..taming_reference import one_thread  # noqa: F401

NAMES = ("lpips", "dists")


@pytest.fixture(scope="module")
def nets() -> tuple[PictureMetrics, SharedMetrics]:
    try:
        plain = PictureMetrics(NAMES, allow_download=False)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")
    return plain, SharedMetrics(NAMES)


def test_figures_are_the_same_with_less_work(nets: tuple[PictureMetrics, SharedMetrics]) -> None:
    plain, shared = nets
    originals = {"a": photograph(48, 64), "b": (photograph(48, 64) // 32) * 32}
    distances, expected = Distances(shared, originals), Distances(plain, originals)
    passes = []
    for net in shared._nets.values():
        last = [module for module in net.modules() if isinstance(module, _Remembering)][-1]
        last.stage.register_forward_hook(lambda *_: passes.append(1))
    pictures = [photograph(48, 64, 1), originals["b"], photograph(48, 64, 1) // 2]
    for picture in [*pictures, *pictures]:
        assert distances(picture) == pytest.approx(expected(picture), abs=1e-7)
    # Once for each picture, though there are two originals and each picture came twice.
    assert len(passes) == len(NAMES) * len(pictures)


def test_names_and_remembering() -> None:
    calls = []

    class Metrics:
        def against(self, original: Tensor) -> Callable[[Tensor], dict[str, float]]:
            def measure(picture: Tensor) -> dict[str, float]:
                calls.append(picture)
                return {"x": float((picture.float() - original).abs().mean())}

            return measure

    one, other = photograph(16, 16), photograph(16, 16, 1)
    distances = Distances(Metrics(), {"one": one, "other": other})  # type: ignore[arg-type]
    first = distances(one)
    assert list(first) == ["x_to_one", "x_to_other"]
    assert first["x_to_one"] == 0 < first["x_to_other"]
    assert distances(one.clone()) == first and len(calls) == 2
    assert distances(other)["x_to_one"] == first["x_to_other"] and len(calls) == 4
