from __future__ import annotations

import pytest
import torch
from torch import Tensor

from compressai_vq.contact_sheet import contact_sheet

from .fixtures import noise, photograph


def contains(sheet: Tensor, picture: Tensor) -> bool:
    """Whether the picture is somewhere in the sheet, pixel by pixel."""
    height, width = picture.shape[1:]
    windows = sheet.unfold(1, height, 1).unfold(2, width, 1)
    same = (windows == picture[:, None, None]).flatten(3).all(3).all(0)
    return bool(same.any())


def test_all_pictures_are_there_with_their_captions() -> None:
    pictures = [noise(8, 12, seed) for seed in range(3)]
    sheet = contact_sheet([(picture, "") for picture in pictures], columns=2)
    assert sheet.dtype == torch.uint8
    assert all(contains(sheet, picture) for picture in pictures)
    # Captions wider than their pictures do not run into each other.
    captioned = contact_sheet([(picture, "A caption") for picture in pictures], columns=2)
    assert captioned.shape[1] == sheet.shape[1]
    assert captioned.shape[2] > sheet.shape[2]
    assert all(contains(captioned, picture) for picture in pictures)
    dark = (captioned < 128).all(0)
    height, width = dark.shape
    assert dark[height // 2 - 16 : height // 2, : width // 2].any()
    assert dark[height // 2 - 16 : height // 2, width // 2 :].any()
    assert dark[height - 20 :, : width // 2].any()
    # In the second row there is one picture, so nothing on the right.
    assert not dark[height - 20 :, width // 2 :].any()


def test_wide_pictures_are_scaled_down() -> None:
    sheet = contact_sheet([(photograph(100, 400), "wide")], width=200)
    assert 200 <= sheet.shape[2] < 220
    assert 50 <= sheet.shape[1] < 100


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5000), (3000, 1)])
def test_thin_pictures(height: int, width: int) -> None:
    sheet = contact_sheet([(noise(height, width), "thin"), (noise(16, 16), "square")])
    assert sheet.shape[0] == 3
    assert contains(sheet, noise(16, 16))


def test_same_pixels_each_time() -> None:
    tiles = [(photograph(20, 30), "a"), (photograph(30, 20), "b")]
    assert torch.equal(contact_sheet(tiles), contact_sheet(tiles))
