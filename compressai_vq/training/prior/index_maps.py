"""Index maps to train on: photographs through the encoder that the prior belongs to."""

from __future__ import annotations

import torch
from torch import Tensor

from ...ladder_weights import LadderWeights
from ...precision import for_inference
from ..photographs import random_crops


class IndexMaps:
    """Encodes crops at all rates as they are asked for.

    Nothing is kept: with random shifts and mirroring a crop is hardly ever seen twice.

    Args:
        weights: the codec's weights.
        device: where its encoder runs, in bf16 if it is fast at that.
    """

    def __init__(self, weights: LadderWeights, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.fingerprint = weights.image_fingerprint
        self.rates = [quality - 1 for quality in weights.qualities]
        self.codecs = {
            rate: for_inference(weights.codec(rate + 1, shared=True), device)
            for rate in self.rates
        }

    def codewords(self) -> dict[int, Tensor]:
        """Each rate's codebook, fp32 (K, D)."""
        return {rate: c.codebook.weight.detach().float().cpu() for rate, c in self.codecs.items()}

    def log2_frequencies(self) -> dict[int, Tensor]:
        """Each rate's learned frequencies, fp32 (K,), in bits: what the prior shall beat."""
        with torch.no_grad():
            return {
                rate: codec.index_coder(torch.arange(codec.index_coder.size)).log2().float().cpu()
                for rate, codec in self.codecs.items()
            }

    def encode(self, images: Tensor, rate: int) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] to int64 (N, H/16, W/16)."""
        return self.codecs[rate].encode(images.to(self.device).add(1).div(2))

    def batch(
        self, pictures: list[Tensor], count: int, crop: int, seed: int, step: int
    ) -> dict[int, Tensor]:
        """``count`` random crops at each rate; they depend on ``seed`` and ``step`` alone.

        Returns:
            By rate, int64 (count, crop/16, crop/16).
        """
        crops = random_crops(pictures, count * len(self.rates), crop, seed, step)
        return {
            rate: self.encode(part, rate)
            for rate, part in zip(self.rates, crops.split(count), strict=True)
        }
