"""What records operations sees torch's own, on real networks."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from compressai_vq.architectures import Mao2024VQGAN, Mao2024VQGANLite
from compressai_vq.codec import VQGANCodec
from compressai_vq.networks.memory_layout import channels_last
from compressai_vq.networks.recording import recorded

from ..fixtures import photograph


class _Picture(nn.Module):
    def __init__(self, codec: VQGANCodec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, x: Tensor) -> Tensor:
        x_hat: Tensor = self.codec(x)["x_hat"]
        return x_hat


@functools.cache
def _model(lite: bool) -> _Picture:
    torch.manual_seed(0)
    codec = Mao2024VQGANLite(16) if lite else Mao2024VQGAN(16, 8, 32)
    with torch.no_grad():  # codewords where the latents are
        latents = codec.latent(_image(0)).permute(0, 2, 3, 1).flatten(0, 2)
        codec.codebook.weight.copy_(latents[: 16 * 9 : 9])
    codec.update()
    return _Picture(codec.eval().requires_grad_(False))


def _image(which: int) -> Tensor:
    return photograph(256, 256, which)[None].float() / 255


architectures = pytest.mark.parametrize("lite", [True, False])


@architectures
@torch.no_grad()
def test_a_trace_follows_its_input(lite: bool) -> None:
    model = _model(lite)
    traced = torch.jit.trace(model, _image(0), check_trace=False)
    assert torch.allclose(traced(_image(1)), model(_image(1)), atol=1e-3)
    assert not torch.allclose(traced(_image(1)), traced(_image(0)), atol=1e-1)


@architectures
@torch.no_grad()
def test_exported_programs_give_the_same(lite: bool) -> None:
    model = _model(lite)
    exported = torch.export.export(model, (_image(0),)).module()
    assert torch.allclose(exported(_image(1)), model(_image(1)), atol=1e-3)


@torch.no_grad()
def test_compiled_convolutions_give_the_same() -> None:
    encoder = _model(True).codec.encoder
    x = 2 * _image(1) - 1
    compiled = torch.compile(encoder, backend="eager")
    assert torch.allclose(compiled(x), encoder(x), atol=1e-3)


@torch.no_grad()
def test_operations_are_counted_as_those_of_direct_convolutions() -> None:
    counts = []
    for prepare in (lambda module: module, channels_last):
        torch.manual_seed(0)
        model = prepare(_Picture(Mao2024VQGANLite(16).eval()))
        with FlopCounterMode(display=False) as counter:
            model(_image(0))
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 5e9


def test_nobody_looks_on_otherwise() -> None:
    assert not recorded()
    with FlopCounterMode(display=False):
        assert recorded()
    assert not recorded()
