from __future__ import annotations

import copy

import pytest
import torch

from compressai_vq.codec import VQGANCodec
from compressai_vq.errors import CodecError
from compressai_vq.transport import fills
from compressai_vq.transport.fills import FILLS

from ..fixtures import seeded, untrained_weights
from ..prior.machines import computing
from ..prior.made_up import made_up_coder, made_up_network, random_map

every_fill = pytest.mark.parametrize("name", list(FILLS))


def model(rate: int) -> VQGANCodec:
    return untrained_weights().codec(rate + 1).use_prior(made_up_network())


def holes(height: int, width: int, share: float, seed: int = 0) -> torch.Tensor:
    lost = torch.rand(height, width, generator=seeded(seed)) < share
    lost[height // 2, width // 2] = False
    return lost


def drawn_map(rate: int, height: int, width: int) -> torch.Tensor:
    """Indices as the prior expects them: drawn from its distributions, pass by pass."""
    size = made_up_network().sizes[rate]
    known = torch.full((height * width,), size)
    random = seeded(3)
    for part in made_up_coder()._parts(known, height, width, rate):
        drawn = torch.multinomial(part.weights.float(), 1, generator=random)
        known[part.positions] = drawn.flatten()
    return known.view(height, width)


@every_fill
@pytest.mark.parametrize("rate", [0, 8])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.9, 1.0])
def test_what_arrived_stays_and_the_rest_is_filled(name: str, rate: int, share: float) -> None:
    indices, lost = random_map(rate, 9, 14), holes(9, 14, share)
    codec = model(rate)
    latents, confidence = FILLS[name](indices.masked_fill(lost, 0), lost, codec)
    words = codec.codebook.weight
    assert latents.shape == (words.shape[1], *indices.shape) and not latents.requires_grad
    arrived = latents.permute(1, 2, 0)[~lost]
    assert torch.equal(arrived, words[indices[~lost]])
    if name != "prior":  # what is guessed is a codeword, too
        distance = torch.cdist(latents.flatten(1).t(), words).min(1).values
        assert distance.max() < 1e-3
    assert confidence.shape == indices.shape and confidence.dtype == torch.float32
    assert (confidence[~lost] == 1).all()
    assert ((confidence[lost] > 0) & (confidence[lost] < 1)).all()
    # Values where indices are lost are nobody's business.
    again, _ = FILLS[name](indices.masked_fill(lost, 5), lost, codec)
    assert torch.equal(again, latents)


def test_nearest() -> None:
    indices = torch.tensor([[3, 0, 0, 0, 7]])
    lost = torch.tensor([[False, True, True, True, False]])
    latents, confidence = fills.nearest(indices, lost, model(0))
    filled = model(0).codebook.quantize(latents[None])[0]
    assert filled[0, 1] == 3 and filled[0, 3] == 7 and filled[0, 2] in (3, 7)
    assert torch.allclose(confidence, torch.tensor([[1, 1 / 2, 1 / 3, 1 / 2, 1]]))


def test_frequent() -> None:
    codec = copy.deepcopy(model(2))  # its frequencies are the shared weights'
    codec.index_coder.set_counts(torch.eye(32)[9] * 900 + 100)
    lost = torch.tensor([[True, False]])
    latents, confidence = fills.frequent(torch.tensor([[0, 4]]), lost, codec)
    filled = codec.codebook.quantize(latents[None])[0]
    assert filled.tolist() == [[9, 4]]
    # 1000 of 1000 + 31 * 100, half a count more for each.
    assert confidence[0, 0].item() == pytest.approx(1000.5 / 4116, rel=1e-3)


def test_the_prior_is_closer_to_what_was_lost() -> None:
    """A map drawn from the prior is restored better than by its neighbours or the usual."""
    codec, indices = model(3), drawn_map(3, 24, 24)
    lost = holes(24, 24, 0.4)
    assert indices.unique().numel() > 10
    sent = codec.codewords_of(indices)
    error = {}
    for name, fill in FILLS.items():
        latents, _ = fill(indices, lost, codec)
        error[name] = (latents - sent)[:, lost].square().mean().item()
    assert error["prior"] < 0.8 * min(error["nearest"], error["frequent"])
    expected, _ = fills.prior(indices, lost, codec, drawn=0)
    error["expected"] = (expected - sent)[:, lost].square().mean().item()
    assert error["expected"] < 0.7 * min(error["nearest"], error["frequent"])


def test_the_prior_gives_its_expectation_some_of_a_draw_and_the_likeliest_ones_share() -> None:
    codec, indices = model(3), random_map(3, 8, 8)
    lost = torch.zeros(8, 8, dtype=torch.bool)
    lost[4, 4] = True
    latents, confidence = fills.prior(indices, lost, codec)
    assert codec.prior is not None
    network = codec.prior
    hidden = network.hidden(indices.masked_fill(lost, 64)[None], 3)
    logits = network.logits(hidden[0, 4, 4][None], 3)[0].double() / 256
    shares = torch.softmax(logits * 0.6931471805599453, 0)
    words = codec.codebook.weight.detach()
    expected = shares.float() @ words
    alone, _ = fills.prior(indices, lost, codec, drawn=0)
    assert torch.allclose(alone[:, 4, 4], expected, atol=1e-3)
    # One of 64 indices is lost: so much of the latent is a codeword that was drawn.
    drawn = latents[:, 4, 4] * 64 - expected * 63
    assert torch.cdist(drawn[None], words).min() < 0.02 < torch.cdist(expected[None], words).min()
    assert confidence[4, 4].item() == pytest.approx(shares.max().item(), rel=1e-3)


def test_draws_are_as_often_as_they_are_likely() -> None:
    shares = torch.tensor([[0.2, 0.0, 0.5, 0.3]], dtype=torch.float64).expand(1000, 4)
    chances = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    assert fills.draw_index(shares, chances).bincount(minlength=4).tolist() == [200, 0, 500, 300]
    # Sums that rounding leaves below 1 do not lead past the last.
    short = shares[:1] * (1 - 1e-6)
    assert fills.draw_index(short, torch.tensor([1 - 1e-9], dtype=torch.float64)).item() == 3


def test_the_prior_restores_alike_on_every_machine() -> None:
    """To within rounding: its probabilities are exact, their mean is not."""
    codec, indices, lost = model(4), random_map(4, 13, 17), holes(13, 17, 0.6)
    with computing(threads=1, precision="highest"):
        one = fills.prior(indices, lost, codec)
    with computing(threads=2, precision="medium"), torch.autocast("cpu", torch.bfloat16):
        other = fills.prior(indices, lost, codec)
    assert torch.allclose(one[0], other[0], atol=1e-5) and torch.equal(one[1], other[1])


def test_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, indices, lost = model(4), random_map(4, 9, 9), holes(9, 9, 0.5)
    whole = fills.prior(indices, lost, codec)
    monkeypatch.setattr(fills, "POSITIONS_AT_ONCE", 7)
    chunked = fills.prior(indices, lost, codec)
    assert torch.allclose(whole[0], chunked[0], atol=1e-5) and torch.equal(whole[1], chunked[1])


def test_no_prior() -> None:
    codec = untrained_weights().codec(1)
    with pytest.raises(CodecError, match="no index prior"):
        fills.prior(torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool), codec)
