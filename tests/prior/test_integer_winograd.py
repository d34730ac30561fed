"""Exactness, up to the largest numbers that are let through."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from compressai_vq.pretrained import pretrained_weights
from compressai_vq.prior import integer_winograd
from compressai_vq.prior.integer_winograd import convolve, exact_products, transformed
from compressai_vq.prior.prior_weights import PriorWeights, packaged_prior

from .machines import computing
from .made_up import hashed


def scales(out: int) -> Tensor:
    return torch.tensor([2.0 ** -(n % 12) for n in range(out)])


def sums(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    kernel = weight.view(len(bias), 3, 3, -1).permute(0, 3, 1, 2).double()
    y = torch.conv2d(x.permute(0, 3, 1, 2).double(), kernel, bias.double(), padding=1)
    return y.permute(0, 2, 3, 1) * scales(len(bias)).double()


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    channels=st.integers(2, 40),
    out=st.integers(1, 5),
    seed=st.integers(0, 1000),
    extreme=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_sums_are_exact(
    shape: tuple[int, int, int], channels: int, out: int, seed: int, extreme: bool
) -> None:
    weight = hashed(out * 9 * channels, seed, 127).view(out, -1)
    x = hashed(torch.Size(shape).numel() * channels, seed + 1, 127).view(*shape, -1) + 128
    if extreme:  # the largest factors, whose signs agree where the weights' do
        weight, x = 127 * weight.sign(), 255 * (x > 128)
    weight, bias = weight.to(torch.int8), hashed(out, seed + 2, 1000)
    kernel = transformed(weight, bias, scales(len(bias)))
    assert kernel is not None
    assert torch.equal(convolve(x.float(), kernel).double(), sums(weight, bias, x))


@pytest.mark.parametrize(("channels", "parts"), [(28, 0), (29, 2), (56, 2)])
def test_large_sums_are_taken_in_two_parts(channels: int, parts: int) -> None:
    # 2^22 / (4 * 128) / (9 / 4 * 127) = 28.7 channels
    weight = torch.full((3, 9 * channels), 127, dtype=torch.int8)
    weight[1] = 1
    bias = torch.tensor([5, -7, 11])
    kernel = transformed(weight, bias, scales(len(bias)))
    assert kernel is not None and len(kernel.parts) == parts
    for x in (torch.full((1, 6, 5, channels), 255), torch.zeros(1, 6, 5, channels)):
        assert torch.equal(convolve(x.float(), kernel).double(), sums(weight, bias, x))


def test_larger_ones_are_refused() -> None:
    weight = torch.full((1, 9 * 57), 127, dtype=torch.int8)
    assert transformed(weight, torch.zeros(1), scales(1)) is None


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, bias = hashed(4 * 9 * 6, 3, 127).view(4, -1).to(torch.int8), hashed(4, 4, 1000)
    x = (hashed(2 * 11 * 7 * 6, 5, 127).view(2, 11, 7, 6) + 128).float()
    kernel = transformed(weight, bias, scales(len(bias)))
    assert kernel is not None
    monkeypatch.setattr(integer_winograd, "_TILES_AT_ONCE", 9)
    assert torch.equal(convolve(x, kernel).double(), sums(weight, bias, x))


def test_products_of_reduced_precision_are_noticed() -> None:
    assert exact_products()
    for precision in ("high", "medium"):
        with computing(precision=precision):
            assert not exact_products()
    assert exact_products()


def test_and_where_torch_s_newer_settings_ask_for_them() -> None:
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    if matmul is None:
        pytest.skip("this torch has no such setting")
    matmul.fp32_precision = "bf16"
    try:
        assert not exact_products()
    finally:
        matmul.fp32_precision = "none"
    assert exact_products()


def test_and_where_they_come_without_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """As oneDNN's environment variables bring them: by a trial alone."""
    monkeypatch.setattr(integer_winograd, "_probe", lambda settings: False)
    assert not exact_products()


def test_the_packaged_prior_is_filtered() -> None:
    path = packaged_prior(pretrained_weights("mao2024-vqgan-lite"))
    assert path is not None
    for block in PriorWeights.load(path).network.blocks:
        gather = block.gather
        assert transformed(gather.weight, gather.bias, scales(len(gather.bias))) is not None
