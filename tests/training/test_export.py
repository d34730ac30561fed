"""What export makes of a training of the encoder alone."""

from __future__ import annotations

import pytest
import torch

from compressai_vq.errors import CodecError
from compressai_vq.training.export import with_encoder
from compressai_vq.training.stages import state_of_weights

from ..fixtures import untrained_weights


def test_only_the_encoder_may_have_been_trained() -> None:
    weights = untrained_weights()
    average = state_of_weights(weights, 1.0)
    average["encoder.stem.weight"] = average["encoder.stem.weight"] + 1
    better = with_encoder(weights, average)
    assert better.image_fingerprint == weights.fingerprint
    changed = {
        name for name, value in weights.tensors.items()
        if not torch.equal(value.float(), better.tensors[name].float())
    }  # fmt: skip
    assert changed == {"encoder.stem.weight"}


@pytest.mark.parametrize("name", ["decoder.stem.weight", "codebooks.4.weight"])
def test_more_than_the_encoder_is_refused(name: str) -> None:
    average = state_of_weights(untrained_weights(), 1.0)
    average[name] = average[name] + 1
    with pytest.raises(CodecError, match="more than the encoder was trained"):
        with_encoder(untrained_weights(), average)
    del average[name]
    with pytest.raises(CodecError, match="more than the encoder was trained"):
        with_encoder(untrained_weights(), average)
