from __future__ import annotations

import pytest
import torch
from torch import Tensor

from compressai_vq.prior import byte_products, integer_convolution, integer_winograd
from compressai_vq.prior.integer_convolution import IntegerConvolution
from compressai_vq.prior.integer_layers import ACTIVATION_MAX

from .machines import computing
from .made_up import hashed, made_up_convolution


def activations(*shape: int, seed: int = 6) -> Tensor:
    return hashed(torch.Size(shape).numel(), seed, 127).view(shape) + 128


def wanted(made: IntegerConvolution, x: Tensor) -> Tensor:
    kernel = made.weight.view(len(made.bias), 3, 3, -1).permute(0, 3, 1, 2).double()
    sums = torch.conv2d(x.permute(0, 3, 1, 2).double(), kernel, padding=1).permute(0, 2, 3, 1)
    return ((sums.long() + made.bias) >> made.shift.long()).clamp(0, ACTIVATION_MAX)


@pytest.fixture
def filtered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Filled with the number of positions each time that Winograd's filtering is used."""
    calls: list[int] = []
    original = integer_winograd.convolve

    def counted(x: Tensor, kernel: integer_winograd.Kernel) -> Tensor:
        calls.append(x[..., 0].numel())
        return original(x, kernel)

    monkeypatch.setattr(integer_winograd, "convolve", counted)
    return calls


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("kind", [torch.float32, torch.uint8])
@pytest.mark.parametrize("shape", [(2, 6, 7), (1, 16, 17), (3, 9, 12)])
def test_is_a_convolution(shape: tuple[int, ...], kind: torch.dtype, filtered: list[int]) -> None:
    made = made_up_convolution(5, 4, seed=2, shift=6)
    x = activations(*shape, 4)
    assert torch.equal(made.over(x.to(kind), 0, ACTIVATION_MAX).long(), wanted(made, x))
    as_bytes = kind == torch.uint8 and byte_products.available(x.device)
    assert len(filtered) == (x[..., 0].numel() >= 256 and not as_bytes)


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch, filtered: list[int]) -> None:
    made = made_up_convolution(5, 4, seed=3, shift=6)
    x = activations(2, 9, 7, 4, seed=7)
    monkeypatch.setattr(integer_convolution, "_POSITIONS_AT_ONCE", 28)
    assert torch.equal(made.over(x.float(), 0, ACTIVATION_MAX).long(), wanted(made, x))
    assert not filtered


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("kind", [torch.float32, torch.uint8])
@pytest.mark.parametrize("count", [0, 1, 40, 63, 64, 126])
def test_some_positions_are_those_of_all(
    count: int, kind: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = made_up_convolution(5, 4, seed=4, shift=6)
    x = activations(2, 9, 7, 4)
    positions = hashed(count, 9, 10**6) % 126
    monkeypatch.setattr(integer_convolution, "_POSITIONS_AT_ONCE", 28)
    found = made.at(x.to(kind), positions, 0, ACTIVATION_MAX)
    assert torch.equal(found.long(), wanted(made, x).flatten(0, 2)[positions])


def test_reduced_precision_is_not_filtered(filtered: list[int]) -> None:
    made = made_up_convolution(5, 4, seed=2, shift=6)
    x = activations(1, 20, 20, 4)
    with computing(precision="medium"):
        found = made.over(x.float(), 0, ACTIVATION_MAX)
    assert torch.equal(found.long(), wanted(made, x)) and not filtered


def test_weights_that_are_too_large_are_not_filtered(filtered: list[int]) -> None:
    ones = torch.full((3, 9 * 57), 127, dtype=torch.int8)
    made = IntegerConvolution(ones, torch.zeros(3).int(), torch.full((3,), 17).to(torch.int8))
    x = activations(1, 20, 20, 57)
    assert torch.equal(made.over(x.float(), 0, ACTIVATION_MAX).long(), wanted(made, x))
    assert not filtered
