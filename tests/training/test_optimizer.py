"""Which optimizer has which weights, and what Muon does to a convolution."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from compressai_vq.errors import CodecError
from compressai_vq.training import optimizer as optimizer_module
from compressai_vq.training.optimizer import MuonAndAdamW, as_matrix, make_optimizer, take_step


def _network(channels_last: bool) -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(8, 64, 3, padding=1),
        nn.Conv2d(64, 96, 3, padding=1),
        nn.Conv2d(96, 64, 1),
        nn.Conv2d(64, 12, 3, padding=1),
    )
    if channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


@pytest.mark.parametrize("channels_last", [False, True])
def test_hidden_convolutions_move_alike_in_all_directions(channels_last: bool) -> None:
    network = _network(channels_last)
    before = [p.detach().clone() for p in network.parameters()]
    optimizer = make_optimizer("muon", network, 0.01)
    for parameter in network.parameters():
        size = len(parameter)
        sizes = torch.linspace(0.05, 1, size).view(size, *[1] * (parameter.ndim - 1))
        parameter.grad = (0.5 + torch.rand_like(parameter)) * torch.randn_like(parameter) * sizes
    optimizer.step()
    for index, (old, new) in enumerate(zip(before, network.parameters(), strict=True)):
        if index in (2, 4):  # the two hidden weights
            step = (old * (1 - 0.01 * 0.01) - new.detach()).flatten(1)
            values = torch.linalg.svdvals(step / (0.2 * max(step.shape) ** 0.5 * 0.01))
            # Those of the gradient span more than one order of magnitude.
            assert values.min() > 0.4 and values.max() < 1.4
        else:  # AdamW's first step: the learning rate, by sign
            step = (old * (1 - 0.01 * 0.01) - new.detach()).abs()
            assert torch.allclose(step, torch.full_like(step, 0.01), rtol=0.05)


def test_a_gradient_in_another_layout_gives_the_same_step() -> None:
    networks = [_network(True), _network(True)]
    gradients = [torch.randn_like(p) for p in networks[0].parameters()]
    for network, layout in zip(
        networks, (torch.channels_last, torch.contiguous_format), strict=True
    ):
        optimizer = MuonAndAdamW(network, 0.01)
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            four = gradient.ndim == 4
            parameter.grad = gradient.contiguous(memory_format=layout) if four else gradient
        optimizer.step()
    for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(a, b)


# Muon's matrix products are exact but for rounding in fp32, and far coarser in bf16; updates in a
# wrong order are wrong by 8e-3.
@pytest.mark.parametrize(("precision", "error"), [("32-true", 1e-5), ("bf16-mixed", 3e-4)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_run_goes_on_in_another_layout(
    channels_last: bool, precision: str, error: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimizer_module, "for_training", lambda _: precision)
    networks = [_network(channels_last), _network(not channels_last)]
    for p, q in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        q.data.copy_(p.data)
    optimizers = [MuonAndAdamW(network, 0.01) for network in networks]
    gradients = [[torch.randn_like(p) for p in networks[0].parameters()] for _ in range(3)]
    for n, step in enumerate(gradients):
        for network, optimizer in zip(networks, optimizers, strict=True):
            for parameter, gradient in zip(network.parameters(), step, strict=True):
                parameter.grad = gradient.clone()
            if n or optimizer is optimizers[0]:
                optimizer.step()
        if not n:
            for p, q in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
                q.data.copy_(p.data)
            optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.allclose(a, b, atol=error)


def test_a_matrix_is_a_view_of_its_filters() -> None:
    for channels_last in (False, True):
        weight = _network(channels_last).get_parameter("1.weight").detach()
        matrix = as_matrix(weight, weight)
        assert matrix.shape == (96, 64 * 9)
        assert matrix.data_ptr() == weight.data_ptr()


def test_frozen_parameters_stay() -> None:
    network = _network(True)
    frozen = network.get_parameter("1.weight").requires_grad_(False)
    before = frozen.clone()
    optimizer = make_optimizer("muon", network, 0.01)
    F.relu(network(torch.randn(1, 8, 4, 4))).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    assert torch.equal(frozen, before)
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("name", ["adamw", "muon"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_gradients_that_are_not_finite_change_nothing(name: str, bad: float) -> None:
    network = _network(True)
    optimizer = make_optimizer(name, network, 0.01)
    before = copy.deepcopy(network.state_dict())
    (bad * network(torch.randn(1, 8, 4, 4)).sum()).backward()
    with pytest.raises(CodecError, match="step 7 are not finite"):
        take_step(network, optimizer, 7)
    assert all(torch.equal(value, before[k]) for k, value in network.state_dict().items())
    assert not optimizer.state_dict().get("state")


def test_gradients_are_clipped_together() -> None:
    networks = _network(True), _network(True)
    networks[1].load_state_dict(networks[0].state_dict())
    x = torch.randn(1, 8, 4, 4)
    for network, scale in zip(networks, (100.0, 1000.0), strict=True):
        optimizer = torch.optim.SGD(network.parameters(), 1.0)
        (scale * network(x).sum()).backward()
        take_step(network, optimizer, 0)
    for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(CodecError, match="optimizer is adamw or muon, not 'sgd'"):
        make_optimizer("sgd", _network(False), 0.01)
