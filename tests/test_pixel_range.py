"""Pixels to the range of the networks' numbers, and back."""

from __future__ import annotations

import pytest
import torch

from compressai_vq import pixel_range
from compressai_vq.picture import from_unit, to_unit
from compressai_vq.pixel_range import eight_bit, network_range, pad_to_stride, unit_range

SIZES = [(1, 1), (16, 16), (17, 31), (48, 1), (130, 700)]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (17, 31), (48, 1)])
def test_padding_repeats_the_edge(height: int, width: int) -> None:
    x = torch.rand(1, 3, height, width)
    padded = pad_to_stride(x)
    assert padded.shape[-2] % 16 == padded.shape[-1] % 16 == 0
    assert padded.shape[-2] - height < 16 and padded.shape[-1] - width < 16
    assert torch.equal(padded[..., :height, :width], x)
    assert (padded[..., height:, :] == padded[..., height - 1 : height, :]).all()
    assert (padded[..., width:] == padded[..., width - 1 : width]).all()


@pytest.mark.parametrize("at_once", [1, 1 << 11, 1 << 30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_rows_at_a_time_are_the_whole(
    height: int, width: int, dtype: torch.dtype, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_range, "_AT_ONCE", at_once)
    picture = torch.randint(256, (height, width, 3), dtype=torch.uint8).permute(2, 0, 1)
    for given in (picture, picture.contiguous()):
        found = network_range(given[None], dtype)
        assert found.dtype == dtype and found.is_contiguous()
        assert torch.equal(found, (2 * pad_to_stride(to_unit(picture)) - 1).to(dtype))


@pytest.mark.parametrize("at_once", [1, 1 << 11, 1 << 30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_eight_bits_are_those_of_the_unit_range(
    height: int, width: int, dtype: torch.dtype, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_range, "_AT_ONCE", at_once)
    y = (torch.rand(1, 3, height, width) * 2.4 - 1.2).to(dtype)
    kept = y.clone()
    assert torch.equal(eight_bit(y[0]), from_unit(unit_range(y)))
    assert torch.equal(y, kept), "what it reads is left as it is"


def test_no_pictures() -> None:
    assert network_range(torch.zeros(0, 3, 32, 32, dtype=torch.uint8)).shape == (0, 3, 32, 32)
