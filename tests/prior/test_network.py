"""Exactness: the same integers whatever the machine may do differently."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.prior.integer_convolution import IntegerConvolution
from compressai_vq.prior.network import Block, PriorNetwork
from compressai_vq.rates import LADDER

from .machines import computing
from .made_up import made_up_layer, made_up_network, random_map

pytestmark = pytest.mark.usefixtures("products")

RATE = 6
WIDE = 64  # channels: enough for several blocks of a matrix product


def maps(count: int = 4, height: int = 13, width: int = 9) -> Tensor:
    """With a gap at every third position."""
    stacked = torch.stack([random_map(RATE, height, width, seed) for seed in range(count)])
    stacked.view(-1)[::3] = LADDER[RATE]
    return stacked


def network() -> PriorNetwork:
    return made_up_network((0, RATE), WIDE)


def results(indices: Tensor) -> tuple[Tensor, Tensor]:
    hidden = network().hidden(indices, RATE)
    return hidden, network().logits(hidden.flatten(0, 2), RATE)


def reference(indices: Tensor) -> tuple[Tensor, Tensor]:
    """The same network in 64-bit integers, one convolution tap at a time."""
    net = network()
    x = net.embeddings[RATE].long()[indices] * 16
    for block in net.blocks:
        a = ((x + 8) >> 4).clamp(0, 255)
        padded = torch.nn.functional.pad(a, (0, 0, 1, 1, 1, 1))
        h, w = a.shape[1:3]
        sums = block.gather.bias.long()
        for tap, weight in enumerate(block.gather.weight.long().split(WIDE, 1)):
            i, j = divmod(tap, 3)
            sums = sums + padded[:, i : i + h, j : j + w] @ weight.t()
        b = (sums >> block.gather.shift.long()).clamp(0, 255)
        y = (b @ block.mix.weight.long().t() + block.mix.bias) >> block.mix.shift.long()
        x = (x + y.clamp(-32767, 32767)).clamp(-32767, 32767)
    hidden = ((x + 8) >> 4).clamp(0, 255)
    head = net.heads[RATE]
    logits = (hidden.flatten(0, 2) @ head.weight.long().t() + head.bias) >> head.shift.long()
    return hidden, logits


def test_is_the_network_in_integers() -> None:
    hidden, logits = results(maps())
    wanted_hidden, wanted_logits = reference(maps())
    assert torch.equal(hidden.long(), wanted_hidden)
    assert torch.equal(logits, wanted_logits)
    assert hidden.unique().numel() > 100 and logits.unique().numel() > 100


@pytest.mark.parametrize("count", [1, 2])
def test_threads(count: int) -> None:
    wanted = results(maps())
    with computing(threads=count):
        found = results(maps())
    assert torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])


def test_batch() -> None:
    hidden = network().hidden(maps(4), RATE)
    for n, indices in enumerate(maps(4)):
        alone = network().hidden(indices[None], RATE)
        assert torch.equal(alone[0], hidden[n])
    rows = hidden.flatten(0, 2)
    logits = network().logits(rows, RATE)
    assert torch.equal(network().logits(rows[5:6], RATE), logits[5:6])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 1.0])
def test_some_positions_are_those_of_all(share: float) -> None:
    wanted = (torch.arange(4 * 13 * 9) % 100 < 100 * share).nonzero().flatten()
    hidden = network().hidden(maps(), RATE)
    assert torch.equal(network().hidden(maps(), RATE, wanted), hidden.flatten(0, 2)[wanted])


def test_memory_format() -> None:
    wanted, _ = results(maps())
    transposed = maps().transpose(1, 2).contiguous().transpose(1, 2)
    assert not transposed.is_contiguous()
    found, _ = results(transposed)
    assert torch.equal(found, wanted)
    strided = wanted.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    assert not strided.is_contiguous()
    gather = network().blocks[0].gather
    a, b = (gather.over(x, 0, 255) for x in (wanted, strided))
    assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_around_it(dtype: torch.dtype) -> None:
    wanted = results(maps())
    with torch.autocast("cpu", dtype):
        found = results(maps())
    assert torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_without_onednn() -> None:
    wanted = results(maps())
    with torch.backends.mkldnn.flags(enabled=False):
        found = results(maps())
    assert torch.equal(found[0].long(), wanted[0].long()) and torch.equal(found[1], wanted[1])


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_matrix_products_of_reduced_precision(precision: str) -> None:
    wanted = results(maps())
    with computing(precision=precision):
        found = results(maps())
    assert torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])


def test_other_default_dtype_and_flushed_denormals() -> None:
    wanted = results(maps())
    torch.set_default_dtype(torch.float64)
    torch.set_flush_denormal(True)
    try:
        found = results(maps())
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_flush_denormal(False)
    assert torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu() -> None:
    wanted = results(maps())
    moved = network().to("cuda")
    with torch.autocast("cuda", torch.bfloat16):
        hidden = moved.hidden(maps(), RATE)
        logits = moved.logits(hidden.flatten(0, 2), RATE)
    assert torch.equal(hidden.cpu(), wanted[0]) and torch.equal(logits.cpu(), wanted[1])


def test_on_its_own_device_it_is_itself() -> None:
    """All qualities of a file codec share what it has kept."""
    network = made_up_network()
    assert network.to("cpu") is network


def test_a_position_sees_its_surroundings_only() -> None:
    one = maps(1, 20, 20)
    other = one.clone()
    other[0, 10, 10] = (one[0, 10, 10] + 1) % LADDER[RATE]
    changed = (network().hidden(one, RATE) != network().hidden(other, RATE)).any(-1)[0]
    assert changed[10, 10] and changed.sum() > 1
    changed[8:13, 8:13] = False  # two blocks
    assert not changed.any()


def test_parts_that_do_not_fit_are_refused() -> None:
    net = network()
    with pytest.raises(CodecError, match="same rates"):
        PriorNetwork({0: net.embeddings[0]}, net.blocks, net.heads)
    with pytest.raises(CodecError, match="type or shape"):
        PriorNetwork({**net.embeddings, 0: net.embeddings[0][1:]}, net.blocks, net.heads)
    with pytest.raises(CodecError, match="power of two"):
        PriorNetwork(
            {0: torch.zeros(8, WIDE, dtype=torch.int8)},
            net.blocks,
            {0: made_up_layer(7, WIDE, 0, 5)},
        )
    with pytest.raises(CodecError, match="fit together"):
        block = net.blocks[0]
        wrong = IntegerConvolution(block.mix.weight, block.mix.bias, block.mix.shift)
        PriorNetwork(net.embeddings, [Block(wrong, block.mix)], net.heads)
    with pytest.raises(CodecError, match="no blocks"):
        PriorNetwork(net.embeddings, [], net.heads)
