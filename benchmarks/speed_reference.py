"""Taming's own modules, put together as its VQModel does, with untrained weights.

No trained checkpoint can be had by a command, so the weights are those that the modules are made
with, from a fixed seed, and the codewords are latents of the mirrored picture: as with a trained
codebook, each is nearest to some positions of the picture, and many positions lie between two.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import torch
import torch.nn as nn
from taming.modules.diffusionmodules.model import Decoder, Encoder
from torch import Tensor

from compressai_vq.architectures import Mao2024VQGAN
from compressai_vq.networks.taming import WIDTH, state_from_taming
from compressai_vq.precision import for_inference

CODEWORDS = 1024
CHANNELS = 256


class _Quantiser(nn.Module):
    """The codewords, under the name that they have in a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CODEWORDS, CHANNELS)


class Published(nn.Module):
    """The published f16 model, as its package runs it: fp32, default layout.

    Args:
        width: channels at full size.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        sizes: dict[str, object] = {
            "ch": width,
            "out_ch": 3,
            "ch_mult": (1, 1, 2, 2, 4),
            "num_res_blocks": 2,
            "attn_resolutions": [16],
            "in_channels": 3,
            "resolution": 256,
            "z_channels": CHANNELS,
            "double_z": False,
            "dropout": 0.0,
        }
        self.encoder = Encoder(**sizes)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its latent's shape
            self.decoder = Decoder(**sizes)
        self.quant_conv = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.post_quant_conv = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.quantize = _Quantiser()
        self.eval()

    def latent(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to (N, D, H/16, W/16)."""
        return self.quant_conv(self.encoder(2 * x - 1))

    def encode(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to indices (N, H/16, W/16), as its quantiser finds them."""
        z = self.latent(x).permute(0, 2, 3, 1)
        words = self.quantize.embedding.weight
        flat = z.reshape(-1, CHANNELS)
        distances = flat.square().sum(1, keepdim=True) + words.square().sum(1)
        return (distances - 2 * flat @ words.t()).argmin(1).view(z.shape[:3])

    def decode(self, indices: Tensor) -> Tensor:
        """Indices to (N, 3, H, W) in [0, 1]."""
        words = self.quantize.embedding(indices).permute(0, 3, 1, 2)
        return ((self.decoder(self.post_quant_conv(words)) + 1) / 2).clamp(0, 1)


@torch.no_grad()
def write_state(path: Path, x: Tensor, width: int = WIDTH) -> None:
    """Make a model and its codewords for ``x``, (1, 3, H, W) in [0, 1], and save its state."""
    torch.manual_seed(0)
    model = Published(width)
    latents = model.latent(x.flip(3)).flatten(2)[0].t()
    chosen = torch.randint(len(latents), (CODEWORDS,))
    if len(latents) >= CODEWORDS:
        chosen = torch.randperm(len(latents))[:CODEWORDS]
    model.quantize.embedding.weight.copy_(latents[chosen])
    torch.save(model.state_dict(), path)


def load_published(path: Path) -> Published:
    """The model that :func:`write_state` saved."""
    state = torch.load(path)
    model = Published(len(state["encoder.conv_in.weight"]))
    model.load_state_dict(state)
    return model


def load_ours(path: Path, precision: str = "auto") -> Mao2024VQGAN:
    """The same weights in ``mao2024-vqgan``, as the command line runs it."""
    state = state_from_taming(torch.load(path))
    width = len(state["encoder.net.conv_in.weight"])
    codec = Mao2024VQGAN(CODEWORDS, CHANNELS, width)
    networks = codec.load_state_dict(state, strict=False)
    assert not networks.unexpected_keys
    for_inference(codec, precision=precision)
    return codec
