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
    filled, confidence = FILLS[name](indices.masked_fill(lost, 0), lost, codec)
    assert filled.dtype == torch.int64 and filled.shape == indices.shape
    assert torch.equal(filled[~lost], indices[~lost])
    assert filled.min() >= 0 and filled.max() < codec.index_coder.size
    assert confidence.shape == indices.shape and confidence.dtype == torch.float32
    assert (confidence[~lost] == 1).all()
    assert ((confidence[lost] > 0) & (confidence[lost] < 1)).all()
    # Values where indices are lost are nobody's business.
    again, _ = FILLS[name](indices.masked_fill(lost, 5), lost, codec)
    assert torch.equal(again, filled)


def test_nearest() -> None:
    indices = torch.tensor([[3, 0, 0, 0, 7]])
    lost = torch.tensor([[False, True, True, True, False]])
    filled, confidence = fills.nearest(indices, lost, model(0))
    assert filled[0, 1] == 3 and filled[0, 3] == 7 and filled[0, 2] in (3, 7)
    assert torch.allclose(confidence, torch.tensor([[1, 1 / 2, 1 / 3, 1 / 2, 1]]))


def test_frequent() -> None:
    codec = copy.deepcopy(model(2))  # its frequencies are the shared weights'
    codec.index_coder.set_counts(torch.eye(32)[9] * 900 + 100)
    lost = torch.tensor([[True, False]])
    filled, confidence = fills.frequent(torch.tensor([[0, 4]]), lost, codec)
    assert filled.tolist() == [[9, 4]]
    # 1000 of 1000 + 31 * 100, half a count more for each.
    assert confidence[0, 0].item() == pytest.approx(1000.5 / 4116, rel=1e-3)


def test_the_prior_guesses_what_it_finds_likely() -> None:
    """A map drawn from the prior is restored better than chance, and than by its neighbours."""
    codec, indices = model(3), drawn_map(3, 24, 24)
    lost = holes(24, 24, 0.4)
    assert indices.unique().numel() > 10
    right = {}
    for name, fill in FILLS.items():
        filled, _ = fill(indices, lost, codec)
        right[name] = (filled == indices)[lost].float().mean().item()
    assert right["prior"] > right["nearest"] and right["prior"] >= right["frequent"]
    assert right["prior"] > 2 / 64


def test_the_priors_confidence_is_its_probability() -> None:
    codec, indices = model(3), random_map(3, 8, 8)
    lost = torch.zeros(8, 8, dtype=torch.bool)
    lost[4, 4] = True
    filled, confidence = fills.prior(indices, lost, codec)
    assert codec.prior is not None
    network = codec.prior
    hidden = network.hidden(indices.masked_fill(lost, 64)[None], 3)
    logits = network.logits(hidden[0, 4, 4][None], 3)[0].double() / 256
    shares = torch.softmax(logits * 0.6931471805599453, 0)
    assert filled[4, 4] == shares.argmax()
    assert confidence[4, 4].item() == pytest.approx(shares.max().item(), rel=1e-3)


def test_the_prior_restores_alike_on_every_machine() -> None:
    codec, indices, lost = model(4), random_map(4, 13, 17), holes(13, 17, 0.6)
    with computing(threads=1, precision="highest"):
        one = fills.prior(indices, lost, codec)
    with computing(threads=2, precision="medium"), torch.autocast("cpu", torch.bfloat16):
        other = fills.prior(indices, lost, codec)
    assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def test_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """All gaps in chunks and passes of any number; the surest guesses are never revised."""
    codec, indices, lost = model(4), random_map(4, 9, 9), holes(9, 9, 0.5)
    whole, _ = fills.prior(indices, lost, codec)
    monkeypatch.setattr(fills, "POSITIONS_AT_ONCE", 7)
    chunked, _ = fills.prior(indices, lost, codec)
    assert torch.equal(whole, chunked)
    monkeypatch.setattr(fills, "PASSES", 1)
    at_once, confidence = fills.prior(indices, lost, codec)
    best = confidence.masked_fill(~lost, 0).argmax()
    assert at_once.flatten()[best] == whole.flatten()[best]


def test_no_prior() -> None:
    codec = untrained_weights().codec(1)
    with pytest.raises(CodecError, match="no index prior"):
        fills.prior(torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool), codec)
