"""Taming's own modules, put together as its VQModel does, to compare with."""

from __future__ import annotations

import contextlib
import io
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn as nn
from taming.modules.diffusionmodules.model import Decoder, Encoder
from taming.modules.vqvae.quantize import VectorQuantizer
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are several times slower on more threads than there are free cores.

    It holds in the modules that import it.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(threads)


class Reference(nn.Module):
    """Names and calls of ``taming.models.vqgan.VQModel``, which today's Lightning breaks."""

    def __init__(self, codewords: int, channels: int = 16, width: int = 32) -> None:
        super().__init__()
        torch.manual_seed(1)
        config: dict[str, Any] = {
            "double_z": False,
            "z_channels": channels,
            "resolution": 256,
            "in_channels": 3,
            "out_ch": 3,
            "ch": width,
            "ch_mult": [1, 1, 2, 2, 4],
            "num_res_blocks": 2,
            "attn_resolutions": [16],
            "dropout": 0.0,
        }
        self.encoder = Encoder(**config)
        with contextlib.redirect_stdout(io.StringIO()):
            self.decoder = Decoder(**config)
        self.loss = nn.Linear(2, 2)
        self.quantize = VectorQuantizer(codewords, channels, beta=0.25)
        self.quant_conv = nn.Conv2d(channels, channels, 1)
        self.post_quant_conv = nn.Conv2d(channels, channels, 1)
        # As the constructor leaves it, one codeword is nearest to nearly every latent.
        self.quantize.embedding.weight.data.normal_(0, 0.3)
        self.eval()

    @torch.no_grad()
    def indices(self, x: Tensor) -> Tensor:
        """Images in [0, 1] to index maps."""
        latent = self.quant_conv(self.encoder(2 * x - 1))
        n, _, h, w = latent.shape
        _, _, (_, _, indices) = self.quantize(latent)
        return indices.view(n, h, w)

    @torch.no_grad()
    def pixels(self, indices: Tensor) -> Tensor:
        """Index maps to images in [0, 1]."""
        n, h, w = indices.shape
        shape = (n, h, w, self.quantize.e_dim)
        words = self.quantize.get_codebook_entry(indices.flatten(), shape)
        return ((self.decoder(self.post_quant_conv(words)) + 1) / 2).clamp(0, 1)


def save_lightning(path: Path, state: dict[str, Any], **more: Any) -> None:
    """Save as Lightning does: with a callback's class for a key, from a module now gone."""
    name = "lightning_of_old"
    callback = type("ModelCheckpoint", (), {"__module__": name})
    monitor = type("Monitor", (list,), {"__module__": name})
    module = types.ModuleType(name)
    vars(module).update(ModelCheckpoint=callback, Monitor=monitor)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, module)
        checkpoint = {
            "epoch": 3,
            "global_step": 1000,
            "callbacks": {callback: {"best": callback(), "seen": monitor([1, 2])}},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}],
            "state_dict": state,
            **more,
        }
        torch.save(checkpoint, path)
