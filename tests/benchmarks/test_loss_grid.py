from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.loss_grid import GREY, RATES, as_png, chosen, draw, main, survivors
from compressai_vq.picture import write_picture

from ..fixtures import noise, photograph, untrained_weights


def test_images_are_chosen_by_a_rule() -> None:
    names = [Path(f"{n:02}.png") for n in range(24)]
    assert [path.stem for path in chosen(names)] == ["06", "12", "18"]
    assert chosen(names[:1]) == names[:1] and len(chosen(names[:2])) == 2


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("count", [1, 10, 16])
def test_the_share_is_exact_and_one_is_left(rate: float, count: int) -> None:
    packets = [bytes([n]) for n in range(count)]
    left = survivors(packets, rate, np.random.default_rng(0))
    assert len(left) == max(1, count - int(np.ceil(round(rate * count, 6))))
    assert left == sorted(left)


def test_pictures_of_all_shapes_in_lines() -> None:
    shapes = [(64, 96), (96, 64), (16, 200)]
    images = [[("a", [noise(*shape)] * len(RATES))] * 2 for shape in shapes]
    sheet = draw(images, tile=60)
    assert sheet.width > len(RATES) * 60 and sheet.height > 6 * 40
    data = as_png(sheet, 64)
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == sheet.size and image.mode == "P"
    assert len(data) < len(as_png(sheet, 0))


def test_a_small_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, folder, output = (tmp_path / name for name in ("w.safetensors", "in", "out.png"))
    untrained_weights().save(weights)
    arguments = [str(folder), "-o", str(output), "--weights", str(weights), "-q", "3"]
    assert main(arguments) == 2
    assert "holds no images" in capsys.readouterr().err and not output.exists()
    folder.mkdir()
    for n in range(4):
        write_picture(folder / f"{n}.png", photograph(64, 96, n % 2))
    assert main([*arguments, "--packets", "8"]) == 0
    assert capsys.readouterr().out.startswith(f"{output}: 1.png, 2.png, 3.png; ")
    with Image.open(output) as image:
        sheet = torch.from_numpy(np.array(image.convert("RGB")).astype(np.int64))
    width = sheet.shape[1] // len(RATES)
    # The first line of the first image: the more is lost, the more of it is grey.
    grey = [
        (sheet[30:180, n * width + 20 : n * width + 240] - GREY).abs().amax(2).lt(6).float().mean()
        for n in range(len(RATES))
    ]
    assert grey[0] < 0.1 < grey[2] < grey[4]
    assert 0.35 < grey[4] < 0.65
