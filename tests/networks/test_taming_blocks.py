"""Each layer against the one of the taming-transformers package whose weights it takes."""

from __future__ import annotations

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from taming.modules.diffusionmodules import model as published

from compressai_vq.networks.memory_layout import channels_last
from compressai_vq.networks.taming_blocks import (
    Attention,
    Double,
    Halve,
    ResidualBlock,
    enlarging_kernel,
)

from ..taming_reference import one_thread  # noqa: F401

PAIRS = {
    "attention": (lambda: published.AttnBlock(64), lambda: Attention(64), 64),
    "halve": (lambda: published.Downsample(32, True), lambda: Halve(32), 32),
    "double": (lambda: published.Upsample(32, True), lambda: Double(32), 32),
}


class _WithoutTime(nn.Module):
    """Taming's block, without the time step that it takes for diffusion."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.block = published.ResnetBlock(
            in_channels=channels, out_channels=out_channels, dropout=0.0, temb_channels=0
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(x, None)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_layers_are_tamings(name: str, last: bool, grad: bool) -> None:
    make_theirs, make_ours, channels = PAIRS[name]
    torch.manual_seed(0)
    theirs, ours = make_theirs().eval(), make_ours().eval()
    for parameter in theirs.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    ours.load_state_dict(theirs.state_dict())
    x = 3 * torch.randn(2, channels, 10, 14)
    before = x.clone()
    expected = theirs(x)
    if last:
        ours = channels_last(ours)
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.set_grad_enabled(grad):
        y = ours(x)
    assert y.shape == expected.shape
    assert expected.std() > 0.1
    # Winograd's rounding errors are larger; tests/networks/test_winograd.py has their bound.
    assert torch.allclose(y, expected, atol=2e-5 if last else 1e-3)
    assert torch.equal(x, before)  # only what is a layer's own is overwritten


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("out_channels", [32, 64])
def test_residual_block_is_tamings(out_channels: int, grad: bool) -> None:
    torch.manual_seed(0)
    theirs, ours = _WithoutTime(32, out_channels).eval(), ResidualBlock(32, out_channels).eval()
    ours.load_state_dict(theirs.block.state_dict())
    x = torch.randn(1, 32, 8, 12)
    before, expected = x.clone(), theirs(x)
    with torch.set_grad_enabled(grad):
        assert torch.allclose(ours(x), expected, atol=1e-5)
    assert torch.equal(x, before)


def test_gradients_are_tamings() -> None:
    theirs, ours = _WithoutTime(32, 64), ResidualBlock(32, 64)
    ours.load_state_dict(theirs.block.state_dict())
    x = torch.randn(1, 32, 8, 8)
    theirs(x).square().sum().backward()
    ours(x).square().sum().backward()
    expected = dict(theirs.block.named_parameters())
    for name, parameter in ours.named_parameters():
        gradient = expected[name].grad
        assert parameter.grad is not None and gradient is not None
        assert torch.allclose(parameter.grad, gradient, rtol=1e-3, atol=1e-3)


def test_enlarging_kernel_of_odd_sizes_and_channels() -> None:
    weight, x = torch.randn(3, 5, 3, 3), torch.randn(2, 5, 3, 7)
    expected = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1)
    y = F.conv_transpose2d(x, enlarging_kernel(weight), stride=2, padding=1)
    assert torch.allclose(y, expected, atol=1e-4)


def test_attention_holds_no_matrix_of_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = F.scaled_dot_product_attention

    def spy(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        seen.append(q.shape)
        return real(q, k, v)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    with torch.no_grad():
        Attention(32)(torch.randn(2, 32, 4, 6))
    assert seen == [(2, 1, 24, 32)]
