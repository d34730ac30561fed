"""Pictures to planes and back: the matrix, the range, and where no colour is."""

from __future__ import annotations

import pytest
import torch

from compressai_vq.errors import CodecError
from compressai_vq.evaluation import psnr
from plugins.still_codecs.colour_planes import from_planes, to_planes

from ..fixtures import gentle, noise


def test_planes_are_those_of_bt709_in_full_range() -> None:
    grey = torch.full((3, 2, 2), 100, dtype=torch.uint8)
    assert to_planes(grey, 8, False) == bytes([100] * 4 + [128] * 8)
    # Luma of pure green is its weight in BT.709; in BT.601 it would be 150.
    green = torch.tensor([0, 255, 0], dtype=torch.uint8).view(3, 1, 1).expand(3, 2, 2)
    assert to_planes(green, 8, False)[0] == round(0.7152 * 255)
    assert to_planes(green, 10, True)[:2] == round(0.7152 * 1023).to_bytes(2, "little")


@pytest.mark.parametrize("bits", [8, 10])
def test_greys_stay_grey(bits: int) -> None:
    picture = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).expand(3, 16, 16)
    assert torch.equal(from_planes(to_planes(picture, bits, False), 16, 16, bits, False), picture)


@pytest.mark.parametrize("bits", [8, 10])
def test_planes_without_subsampling_lose_next_to_nothing(bits: int) -> None:
    picture = noise(11, 7)
    planes = to_planes(picture, bits, False)
    assert len(planes) == 3 * 77 * (1 if bits == 8 else 2)
    difference = picture.int() - from_planes(planes, 11, 7, bits, False).int()
    assert difference.abs().max() <= (2 if bits == 8 else 1)


def test_subsampled_planes_of_odd_sides_are_padded() -> None:
    picture = gentle(51, 33)
    planes = to_planes(picture, 10, True)
    assert len(planes) == 2 * (52 * 34 + 2 * 26 * 17)
    decoded = from_planes(planes, 52, 34, 10, True)[:, :51, :33]
    assert psnr(picture, decoded) > 42
    with pytest.raises(CodecError, match="not the planes of a 34x50"):
        from_planes(planes, 50, 34, 10, True)
