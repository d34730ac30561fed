"""Packed weights: the same sums, and none left over from other weights."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from compressai_vq.networks import packed_weights
from compressai_vq.networks.convolution import Convolution
from compressai_vq.networks.memory_layout import channels_last

real = pytest.mark.skipif(
    not packed_weights.available(), reason="torch has no packed weights in bf16 here"
)


@pytest.fixture
def packing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is packed is kept everywhere: where torch cannot pack, a copy serves as well."""
    if not packed_weights.available():
        monkeypatch.setattr(packed_weights, "available", lambda: True)
        monkeypatch.setattr(packed_weights, "pack", lambda weight, x: weight.detach().clone())
        monkeypatch.setattr(
            packed_weights, "convolve", lambda x, w, b: F.conv2d(x, w, b, padding=1)
        )


def frozen(in_channels: int, out_channels: int) -> Convolution:
    torch.manual_seed(in_channels)
    convolution = Convolution(in_channels, out_channels).bfloat16().requires_grad_(False)
    return channels_last(convolution)


def torchs(x: torch.Tensor, convolution: Convolution) -> torch.Tensor:
    return F.conv2d(x, convolution.weight, convolution.bias, padding=1)


@real
@torch.no_grad()
@pytest.mark.parametrize(
    "channels", [(3, 128), (48, 64), (8, 256), (256, 256), (32, 12), (128, 3)]
)
def test_sums_are_torchs_at_every_size(channels: tuple[int, int]) -> None:
    convolution = frozen(*channels)
    for n, height, width in ((1, 32, 48), (2, 7, 5), (1, 1, 1), (1, 96, 160)):
        x = torch.randn(n, channels[0], height, width).bfloat16()
        for layout in (torch.contiguous_format, torch.channels_last):
            x = x.contiguous(memory_format=layout)
            found = convolution(x)
            assert torch.equal(found, torchs(x, convolution))
            assert found.is_contiguous(memory_format=torch.channels_last)
    assert convolution._packed is not None


@pytest.mark.usefixtures("packing")
@torch.no_grad()
def test_new_weights_are_packed_anew() -> None:
    convolution, other = frozen(16, 16), frozen(16, 16)
    x = torch.randn(1, 16, 4, 4).bfloat16()
    convolution(x)
    other.weight.mul_(2)
    convolution.load_state_dict(other.state_dict())
    assert torch.equal(convolution(x), torchs(x, other))
    assert convolution.float()(x.float()).dtype == torch.float32


@pytest.mark.usefixtures("packing")
@torch.no_grad()
def test_what_is_packed_is_neither_copied_nor_pickled() -> None:
    convolution = frozen(16, 16)
    x = torch.randn(1, 16, 4, 4).bfloat16()
    wanted = convolution(x)
    for twin in (copy.deepcopy(convolution), pickle.loads(pickle.dumps(convolution))):
        assert twin._packed is None
        assert torch.equal(twin(x), wanted)


@pytest.mark.usefixtures("packing")
def test_weights_that_are_learned_are_not_packed() -> None:
    convolution = frozen(16, 16)
    x = torch.randn(1, 16, 4, 4).bfloat16().requires_grad_()
    convolution(x).sum().backward()
    assert x.grad is not None and convolution._packed is None
    convolution.requires_grad_(True)
    with torch.no_grad():
        convolution(x.detach())
    assert convolution._packed is None


@pytest.mark.usefixtures("packing")
@torch.no_grad()
def test_weights_that_are_changed_in_place_are_packed_anew() -> None:
    convolution = frozen(16, 16)
    x = torch.randn(1, 16, 4, 4).bfloat16()
    before = convolution(x)
    convolution.weight.mul_(2)
    assert torch.equal(convolution(x), torchs(x, convolution))
    assert not torch.equal(convolution(x), before)


@pytest.mark.usefixtures("packing")
@torch.no_grad()
def test_a_weight_in_the_memory_of_another_is_not_taken_for_it() -> None:
    """As freed memory comes to be used again: neither address nor number of changes differs."""
    convolution = frozen(16, 16)
    x = torch.randn(1, 16, 4, 4).bfloat16()
    convolution(x)
    memory = convolution.weight.data
    memory.mul_(2)
    convolution.weight = nn.Parameter(memory, requires_grad=False)
    assert torch.equal(convolution(x), torchs(x, convolution))
