"""What several tests need: small made-up weights, pictures, photographs, settings."""

from __future__ import annotations

import functools
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from compressai_vq.architectures import Mao2024VQGANLite
from compressai_vq.file_codec import FileCodec
from compressai_vq.index_coder import IndexCoder
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.rates import LADDER

PHOTOGRAPHS = [
    Path(str(files("sklearn.datasets").joinpath("images", name)))
    for name in ("china.jpg", "flower.jpg")
]
"""Real photographs, 640x427, that scikit-learn ships."""

DIMENSIONS = 3

properties = settings(deadline=None, derandomize=True, max_examples=60)
"""For hypothesis: the same examples in every run, and no clock, for machines may be busy."""


edits = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=2)
"""For hypothesis: what :func:`edited` takes, often nothing."""


def edited(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    """Bytes of which some have other values: those at these places, counted round and round."""
    changed = bytearray(data)
    for at, value in changes:
        changed[at % len(changed)] = value
    return bytes(changed)


def seeded(seed: int = 0) -> torch.Generator:
    """A source of random numbers that no other test shares."""
    return torch.Generator().manual_seed(seed)


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    """A picture of independent random pixels, uint8 (3, H, W)."""
    size = (3, height, width)
    return torch.randint(0, 256, size, generator=seeded(seed), dtype=torch.uint8)


def gentle(height: int, width: int) -> Tensor:
    """A picture whose colours change slowly, so that 4:2:0 loses next to
    nothing: uint8 (3, H, W)."""
    y, x = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)[None]
    planes = [(x + 0 * y), (y + 0 * x), 0.5 + 0.4 * torch.sin(5 * (x + y))]
    return (255 * torch.stack(planes)).round().clamp(0, 255).to(torch.uint8)


@functools.cache
def photograph(height: int, width: int, which: int = 0) -> Tensor:
    """A scaled-down photograph, uint8 (3, H, W)."""
    with Image.open(PHOTOGRAPHS[which]) as image:
        scaled = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(scaled)).permute(2, 0, 1)


@functools.cache
def untrained_weights(seed: int = 0) -> LadderWeights:
    """Lite weights of nine rates as they are before training, with all codewords in use.

    They are the same in every run on one machine; nothing shall hang on their values.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        codec = Mao2024VQGANLite(8, DIMENSIONS).eval()
        with torch.no_grad():
            latents = codec.latent(torch.rand(1, 3, 256, 512))[0].flatten(1).t()
    tensors = {
        name: value.detach().half()
        for name, value in codec.state_dict().items()
        if name.startswith(("encoder.", "decoder."))
    }
    random = seeded(seed)
    for quality, size in enumerate(LADDER, start=1):
        chosen = torch.randint(len(latents), (size,), generator=random)
        jitter = 0.05 * torch.randn(size, DIMENSIONS, generator=random)
        coder = IndexCoder(size)
        coder.set_counts(torch.randint(1, 100, (size,), generator=random))
        tensors[f"codebooks.{quality}"] = latents[chosen] + jitter
        tensors[f"log2_frequencies.{quality}"] = coder.quantiles.detach().clone()
    fingerprint = bytes([0x5A, seed]) * 16
    return LadderWeights("mao2024-vqgan-lite", "made up for tests", tensors, fingerprint)


@functools.cache
def untrained_codec(seed: int = 0) -> FileCodec:
    """The file codec of :func:`untrained_weights`."""
    return FileCodec(untrained_weights(seed))
