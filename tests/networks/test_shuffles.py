"""Pixels move as torch's own functions move them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from compressai_vq.networks.shuffles import shuffle_2, unshuffle_4

LAYOUTS = [torch.contiguous_format, torch.channels_last]
FORMATS = [torch.float32, torch.bfloat16]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_channels_are_pixel_unshuffles(layout: torch.memory_format, kind: torch.dtype) -> None:
    x = torch.rand(2, 3, 8, 20).to(kind, memory_format=layout)
    wanted = unshuffle_4(x)
    assert torch.equal(wanted, F.pixel_unshuffle(x, 4))
    with torch.no_grad():
        assert torch.equal(unshuffle_4(x), wanted)
        assert torch.equal(unshuffle_4(x[1:]), wanted[1:])


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_planes_are_pixel_shuffles(layout: torch.memory_format, kind: torch.dtype) -> None:
    x = torch.rand(2, 12, 5, 3).to(kind, memory_format=layout)
    wanted = shuffle_2(x)
    assert torch.equal(wanted, F.pixel_shuffle(x, 2))
    with torch.no_grad():
        found = shuffle_2(x)
    assert torch.equal(found, wanted) and found.is_contiguous()


@pytest.mark.parametrize("grad", [False, True])
def test_empty_batches_have_the_shape_of_others(grad: bool) -> None:
    with torch.set_grad_enabled(grad):
        assert unshuffle_4(torch.rand(0, 3, 8, 20)).shape == (0, 48, 2, 5)
        assert shuffle_2(torch.rand(0, 12, 5, 3)).shape == (0, 3, 10, 6)
