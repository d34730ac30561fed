"""Against the direct convolution in fp64, on tiles that fit and tiles that do not."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from compressai_vq.architectures import Mao2024VQGAN, Mao2024VQGANLite
from compressai_vq.networks import winograd
from compressai_vq.networks.convolution import Convolution, wants_default_layout
from compressai_vq.networks.memory_layout import channels_last
from compressai_vq.networks.winograd import ERROR, convolve, pays
from compressai_vq.precision import for_inference

from ..taming_reference import one_thread  # noqa: F401

needs_library = pytest.mark.skipif(not winograd.available(), reason="torch without NNPACK")


def layer(in_channels: int, out_channels: int) -> Convolution:
    torch.manual_seed(in_channels)
    return Convolution(in_channels, out_channels).requires_grad_(False)


def error(y: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> float:
    """The largest difference to the exact result, in the units of ``ERROR``."""
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    if bias is not None:
        exact += bias.double()[:, None, None]
    assert y.shape == exact.shape and y.dtype == torch.float32
    scale = weight.double().square().sum((1, 2, 3)).sqrt() * x.double().square().mean().sqrt()
    return ((y - exact).abs().amax((0, 2, 3)) / scale).max().item()


@needs_library
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(1, 1, 1), (1, 6, 6), (2, 7, 5), (1, 24, 13), (3, 1, 40)])
@pytest.mark.parametrize("channels", [(3, 32), (8, 128), (32, 32), (128, 128), (128, 3)])
def test_is_the_convolution(
    channels: tuple[int, int], size: tuple[int, int, int], bias: bool
) -> None:
    conv = layer(*channels)
    n, height, width = size
    x = 3 * torch.randn(n, channels[0], height, width) + 1
    before = x.clone()
    b = conv.bias if bias else None
    assert error(convolve(x, conv.weight, b), x, conv.weight, b) < ERROR
    assert torch.equal(x, before)


@needs_library
@pytest.mark.parametrize("out_channels", [8, 64])
@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize("silu", [True, False])
@pytest.mark.parametrize("height", [1, 5, 12, 13, 31])
def test_strips_are_the_whole(
    height: int, silu: bool, skips: bool, out_channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    conv = layer(8, out_channels)
    for n in (1, 2):
        x = torch.randn(n, 8, height, 20)
        skip = torch.randn(n, out_channels, height, 20) if skips else None
        exact = F.conv2d(F.silu(x) if silu else x, conv.weight, conv.bias, padding=1)
        exact += 0 if skip is None else skip
        whole = convolve(x.clone(), conv.weight, conv.bias, silu, skip)
        assert torch.allclose(whole, exact, atol=1e-3)
        with monkeypatch.context() as patch:
            patch.setattr(winograd, "_WHOLE", 0)
            patch.setattr(winograd, "_STRIP", 0)
            strips = convolve(x.clone(), conv.weight, conv.bias, silu, skip)
        assert strips.is_contiguous()
        assert torch.allclose(strips, whole, rtol=0, atol=1e-5)  # SiLU's last bit


@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize("grad", [True, False])
def test_layer_with_silu_and_skip(grad: bool, size: int) -> None:
    conv = layer(32, 32)
    x, skip = torch.randn(2, 32, size, size), torch.randn(2, 32, size, size)
    before = skip.clone()
    expected = F.conv2d(F.silu(x), conv.weight, conv.bias, padding=1) + skip
    with torch.set_grad_enabled(grad):
        assert torch.allclose(conv(x, silu=True, skip=skip), expected, atol=1e-3)
    assert torch.equal(skip, before)


@needs_library
def test_inputs_of_any_layout() -> None:
    conv = layer(32, 32)
    x = torch.randn(2, 32, 20, 15).contiguous(memory_format=torch.channels_last)
    assert error(convolve(x, conv.weight), x, conv.weight, None) < ERROR
    x = torch.randn(1, 32, 30, 30)[..., ::2, 3:]
    assert error(convolve(x, conv.weight), x, conv.weight, None) < ERROR


@needs_library
def test_layer_uses_it_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[bool] = []

    def spy(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        used.append(True)
        return convolve(x, weight, *rest)

    monkeypatch.setattr(winograd, "convolve", spy)
    x = torch.randn(1, 32, 16, 16)

    def uses(conv: Convolution, x: Tensor = x, grad: bool = False) -> bool:
        used.clear()
        with torch.set_grad_enabled(grad):
            y = conv(x)
        assert torch.allclose(y, F.conv2d(x, conv.weight, conv.bias, padding=1), atol=1e-2)
        return bool(used)

    assert uses(layer(32, 32))
    assert uses(layer(32, 12))
    assert not uses(layer(32, 8))
    assert uses(layer(32, 32).requires_grad_(), grad=True)
    assert uses(layer(32, 32), grad=True)  # its weights are fixed
    assert not uses(channels_last(layer(32, 32)))
    assert not uses(layer(32, 32).bfloat16(), x.bfloat16())
    assert not uses(layer(32, 32).double(), x.double())
    assert not uses(layer(32, 32), x[..., :8, :8])
    assert not uses(layer(32, 32), torch.randn(1, 32, 2, 1000))
    with torch.backends.nnpack.flags(enabled=False):
        assert not uses(layer(32, 32))
    monkeypatch.setattr(winograd, "_start", lambda: 0)
    assert not uses(layer(32, 32))


def test_layer_pays_no_more_with_many_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(64, 64, 3, 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    for threads, expected in ((1, False), (4, True)):
        monkeypatch.setattr(winograd, "_start", lambda threads=threads: threads)
        assert pays(weight, 64, 64) == expected


def test_layer_is_torchs_to_state_dicts_copies_and_pickles() -> None:
    conv = Convolution(4, 6)
    theirs = nn.Conv2d(4, 6, 3, padding=1)
    theirs.load_state_dict(conv.state_dict())
    x = torch.randn(1, 4, 20, 20)
    for other in (theirs, copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        assert torch.equal(conv(x), other(x))
    conv(x).sum().backward()
    assert conv.weight.grad is not None


@needs_library
def test_changed_weights_count() -> None:
    conv = layer(32, 32)
    x = torch.randn(1, 32, 16, 16)
    with torch.no_grad():
        before = conv(x)
        for parameter in conv.parameters():
            parameter.mul_(2)
        assert torch.allclose(conv(x), 2 * before, atol=1e-3)


@needs_library
def test_many_threads_at_once() -> None:
    conv = layer(32, 32)
    inputs = [torch.randn(1, 32, 16 + n, 16) for n in range(12)]
    expected = [convolve(x, conv.weight, conv.bias) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: convolve(x, conv.weight, conv.bias), inputs))
    assert all(map(torch.equal, found, expected))


@needs_library
def test_networks_get_the_layout_that_they_want(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")

    def decoder(precision: str) -> nn.Module:
        return for_inference(Mao2024VQGAN(8, 32, width=32), precision=precision).decoder

    name = "net.mid.block_1.conv1.weight"
    assert wants_default_layout(decoder("fp32")) and pays(
        decoder("fp32").get_parameter(name), 16, 16
    )
    mixed = decoder("bf16")
    assert not wants_default_layout(mixed) and not pays(mixed.get_parameter(name), 16, 16)
    assert mixed.get_parameter(name).dtype == torch.float32
    for precision in ("fp32", "bf16"):
        lite = for_inference(Mao2024VQGANLite(8), precision=precision)
        assert wants_default_layout(lite.decoder) == (precision == "fp32")


@needs_library
@pytest.mark.parametrize("learned", [("x",), ("x", "weight", "bias"), ("weight",), ("bias",)])
def test_gradients_are_the_convolutions(learned: tuple[str, ...]) -> None:
    conv = layer(32, 48)
    assert conv.bias is not None
    inputs = {"x": torch.randn(2, 32, 24, 24), "weight": conv.weight, "bias": conv.bias}
    wanted = [inputs[name].requires_grad_() for name in learned]
    skip = torch.randn(2, 48, 24, 24)
    y = conv(inputs["x"], silu=True, skip=skip)
    expected = F.conv2d(F.silu(inputs["x"]), conv.weight, conv.bias, padding=1) + skip
    assert torch.allclose(y, expected, atol=1e-3) and not torch.equal(y, expected)
    weights = torch.randn_like(y).to(memory_format=torch.channels_last)
    found = torch.autograd.grad((y * weights).sum(), wanted)
    for gradient, right in zip(
        found, torch.autograd.grad((expected * weights).sum(), wanted), strict=True
    ):
        assert (gradient - right).norm() < 1e-4 * right.norm()


@needs_library
def test_pictures_are_kept_for_what_is_learned_alone() -> None:
    conv = layer(32, 32)
    x = torch.randn(1, 32, 24, 24).requires_grad_()
    for learned, kept in ((False, 1), (True, 2)):
        y = conv.requires_grad_(learned)(x)
        assert len(y.grad_fn.saved_tensors) == kept


def test_learned_layers_compute_as_fixed_ones() -> None:
    conv = layer(32, 32)
    x = torch.randn(1, 32, 24, 24)
    with torch.no_grad():
        fixed = conv(x.clone(), silu=True)
    assert torch.equal(conv.requires_grad_()(x, silu=True), fixed)


@needs_library
def test_torchs_own_convolutions_are_preferred_with_avx512(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    lite = for_inference(Mao2024VQGANLite(8), precision="fp32")
    weight = lite.decoder.get_parameter("stem.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not pays(weight, 64, 64)


@needs_library
def test_second_derivatives_are_refused_and_not_wrong() -> None:
    x = torch.randn(1, 32, 24, 24).requires_grad_()
    y = layer(32, 32)(x)
    (gradient,) = torch.autograd.grad(y.sin().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()
