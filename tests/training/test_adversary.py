"""The discriminator on made-up features."""

from __future__ import annotations

import io

import torch
from torch import Tensor

from compressai_vq.training.adversary import Adversary

SIDES = ((64, 16), (128, 8), (256, 4), (512, 2))


def _features(generator: torch.Generator, offset: float) -> list[Tensor]:
    return [
        torch.rand(4, channels, side, side, generator=generator)
        + offset * torch.linspace(-1, 1, channels)[:, None, None]
        for channels, side in SIDES
    ]


def test_it_learns_to_tell_two_kinds_of_features_apart() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    adversary = Adversary(learning_rate=2e-3)
    first = adversary.update(_features(generator, 0.3), _features(generator, -0.3))
    for _ in range(60):
        last = adversary.update(_features(generator, 0.3), _features(generator, -0.3))
    assert last < 0.5 * first
    real, fake = (adversary.fooled(_features(generator, sign * 0.3)) for sign in (1, -1))
    assert real < fake, "the codec's term is lower for what passes for a photograph"


def test_the_codecs_term_trains_the_codec_alone() -> None:
    adversary = Adversary()
    features = [f.requires_grad_() for f in _features(torch.Generator().manual_seed(0), 0.0)]
    adversary.fooled(features).backward()
    assert all(f.grad is not None and f.grad.abs().sum() > 0 for f in features)
    assert all(p.grad is None for p in adversary.parameters())
    assert all(p.requires_grad for p in adversary.parameters())


def test_weight_makes_both_gradients_of_one_size() -> None:
    adversary = Adversary()
    x_hat = torch.rand(1, 3, 4, 4, requires_grad=True) * 1.0
    adversary.weigh(6 * x_hat.sum(), 2 * x_hat.sum(), x_hat)
    assert abs(adversary.balance.item() - 3) < 1e-3
    adversary.weigh(26 * x_hat.sum(), 2 * x_hat.sum(), x_hat)
    assert abs(adversary.balance.item() - 4) < 1e-3, "it moves by a tenth of the way"


def test_it_resumes() -> None:
    def run(adversary: Adversary, start: int, end: int) -> None:
        for step in range(start, end):
            generator = torch.Generator().manual_seed(step)
            adversary.update(_features(generator, 0.1), _features(generator, -0.1))

    torch.manual_seed(0)
    whole = Adversary()
    run(whole, 0, 2)
    resumed = Adversary()
    file = io.BytesIO()
    torch.save(whole.state(), file)
    resumed.resume(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    run(whole, 2, 4)
    run(resumed, 2, 4)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
