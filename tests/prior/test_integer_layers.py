from __future__ import annotations

import pytest
import torch

from compressai_vq.errors import CodecError
from compressai_vq.prior.integer_layers import ACTIVATION_MAX, EXACT_LIMIT, IntegerLinear

from .made_up import hashed, made_up_layer


def layer(weight: torch.Tensor, bias: int = 0, shift: int = 0) -> IntegerLinear:
    out = len(weight)
    return IntegerLinear(
        weight.to(torch.int8),
        torch.full((out,), bias, dtype=torch.int32),
        torch.full((out,), shift, dtype=torch.int8),
    )


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("kind", [torch.float32, torch.uint8])
def test_is_the_integer_formula(kind: torch.dtype) -> None:
    made = made_up_layer(7, 33, seed=1, shift=9)
    x = hashed(50 * 33, 5, 127).view(50, 33) + 128
    sums = x @ made.weight.long().t() + made.bias
    wanted = (sums >> made.shift.long()).clamp(-100, 100)
    found = made(x.to(kind), -100, 100)
    assert torch.equal(found.long(), wanted)
    assert wanted.unique().numel() > 20


def test_sums_up_to_the_limit_are_exact_and_beyond_it_refused() -> None:
    # 518 * 127 * 255 = 16,775,430; the limit is 16,777,216.
    weight = torch.full((1, 518), 127)
    largest = layer(weight, bias=EXACT_LIMIT - 1 - 518 * 127 * ACTIVATION_MAX)
    assert largest.bound() == EXACT_LIMIT - 1
    x = torch.full((1, 518), ACTIVATION_MAX, dtype=torch.uint8)
    for inputs in (x.float(), x):
        assert largest(inputs, 0, EXACT_LIMIT).item() == EXACT_LIMIT - 1
    with pytest.raises(CodecError, match="overflow"):
        layer(weight, bias=EXACT_LIMIT - 518 * 127 * ACTIVATION_MAX)
    with pytest.raises(CodecError, match="overflow"):
        layer(torch.full((1, 519), -127))


def test_ill_formed_tensors_are_refused() -> None:
    good = layer(torch.ones(3, 4))
    with pytest.raises(CodecError, match="types"):
        IntegerLinear(good.weight.float(), good.bias, good.shift)
    with pytest.raises(CodecError, match="types"):
        IntegerLinear(good.weight, good.bias[:2], good.shift)
    with pytest.raises(CodecError, match="types"):
        IntegerLinear(good.weight[0], good.bias, good.shift)
    with pytest.raises(CodecError, match="types"):
        IntegerLinear(good.weight[:0], good.bias[:0], good.shift[:0])
    for shift in (-1, 24):
        with pytest.raises(CodecError, match="range"):
            layer(torch.ones(3, 4), shift=shift)
    with pytest.raises(CodecError, match="range"):
        layer(torch.full((3, 4), -128))
