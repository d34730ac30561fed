"""What a stage starts from when that is a weights file."""

from __future__ import annotations

import torch

from compressai_vq.training.stages import model_of, state_of_weights

from ..fixtures import seeded, untrained_weights


def test_codebooks_of_a_weights_file_begin_at_rest() -> None:
    weights, seen, decay = untrained_weights(), 64.0, 0.99
    model = model_of(state_of_weights(weights, seen), decay)
    for rate in model.rates:
        book = model.codebook(rate)
        words = weights.tensors[f"codebooks.{rate + 1}"].float()
        assert torch.equal(book.weight, words)
        assert torch.allclose(book.counts.sum(), torch.tensor(seen))
        # One step of as many latents, all in one place, moves words by no more than their share.
        latents = words[:1].expand(int(seen), -1) + 1.0
        book.update(latents, torch.zeros(int(seen), dtype=torch.long), seeded())
        old = book.counts[0] - (1 - decay) * seen
        share = (1 - decay) * seen / (old + (1 - decay) * seen)
        assert torch.allclose(book.weight[0], words[0] + share, atol=1e-4)
