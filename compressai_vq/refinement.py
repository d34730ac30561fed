"""Indices that decode to a picture closer to the original than the nearest codewords do.

::

    latent ──► nearest codewords ──► decoder ──► picture ──► LPIPS, DISTS, L1 against original
      ▲                                                        │
      └──────────────── Adam, by the gradient at the codewords ┘

The encoder cannot know what the decoder will make of a codeword beside its neighbours; here
the decoder is asked.  The latent takes a step along the gradient that arrives at the codewords
(straight through the choice of the nearest, as in training: van den Oord et al., 2017), the
nearest codewords are chosen anew, and so on, by ever shorter steps; the last indices are kept.
Only the indices change: files are as any others, and decode as fast.

Tuning what is sent for one picture through a fixed decoder is known from learned codecs with
scalar latents (Campos et al., 2019, arXiv 1908.08988; Yang et al., 2020, arXiv 2006.04240).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .codec import VQGANCodec
from .errors import CodecError
from .metrics.feature_distances import (
    dists_distance,
    dists_features,
    feature_distance,
    lpips_features,
)
from .networks.frozen_convolution import freeze_convolutions
from .networks.memory_layout import channels_last
from .picture import to_unit
from .precision import prefers_bf16
from .rates import STRIDE
from .tiles import Tile, tiles, whole

STEPS = 16
"""More steps go on to gain, ever less."""

_VGG_EVERY = 4  # steps: VGG16 takes several times as long as the decoder and AlexNet

# Chosen on validation photographs.  A step that moves most latents past half the way to
# another codeword changes all of the map at once, and the gradient tells nothing of that.
_STEP = 0.15  # of the codewords' standard deviation, at first
_LAST_STEP = 0.1  # of the first
_BETAS = (0.5, 0.99)

WINDOW = 48
"""Side in positions (768 pixels) of what is refined at once: it bounds memory to about 3 GB."""

_MARGIN = 4  # positions around a window that it is decoded with; half of them are compared, too

_SMALLEST_SIDE = 64  # pixels; on less, AlexNet has too little to compare


class Refinement:
    """Refines the indices of pictures; several threads may use one.

    Args:
        steps: of the latent; 0 leaves the nearest codewords. Every fourth one asks VGG16 too,
            the first of them among these.
        device: where the metrics' networks run: the codecs' own.
        allow_download: whether a backbone may be fetched when the cache has none.

    Raises:
        CodecError: for negative steps, when a backbone cannot be had, and when DISTS's
            package is not installed.
    """

    def __init__(
        self,
        steps: int = STEPS,
        device: str | torch.device = "cpu",
        allow_download: bool = True,
    ) -> None:
        if steps < 0:
            raise CodecError(f"{steps} steps of refinement: 0 or more are needed")
        from .metrics.picture_metrics import load_metric  # slow to import

        self.steps = steps
        self._nets: dict[str, Any] = {}
        for name in ("lpips", "lpips-vgg", "dists") if steps else ():
            self._nets[name] = load_metric(name, allow_download).to(device)
        if steps:
            freeze_convolutions(self._nets["dists"])
            if prefers_bf16(device):
                channels_last(self._nets["lpips"])
            else:
                freeze_convolutions(self._nets["lpips"])

    def indices(self, codec: VQGANCodec, picture: Tensor) -> Tensor:
        """The refined index map of a picture.

        Large pictures are refined window by window, each with the indices around it held
        fast. Pictures with a side under 64 pixels keep the nearest codewords.

        Args:
            codec: made ready for inference.
            picture: uint8 (3, H, W).

        Returns:
            int64 (h, w), on the codec's device.
        """
        device = codec.codebook.weight.device
        indices = codec.encode(picture[None].to(device))[0]
        if not self.steps or min(picture.shape[1:]) < _SMALLEST_SIDE:
            return indices
        area = whole(*indices.shape)
        side = max(indices.shape) if codec.whole_positions is None else WINDOW
        # Gradients, even where the caller works without.
        with torch.inference_mode(False), torch.enable_grad():
            indices = indices.clone()
            for tile in tiles(area, side, _MARGIN, area):
                indices[tile.inner.slices()] = self._window(codec, picture, indices, tile)
        return indices

    def _window(self, codec: VQGANCodec, picture: Tensor, indices: Tensor, tile: Tile) -> Tensor:
        """The refined indices of one window of a map (h, w)."""
        inner, outer = tile
        weight = codec.codebook.weight
        inside = (..., *inner.slices(inside=outer))
        pixels = (..., *inner.grown(_MARGIN // 2, outer).slices(inside=outer, scale=STRIDE))
        part = to_unit(picture[(..., *outer.slices(scale=STRIDE))]).to(weight.device)
        height, width = part.shape[-2:]
        objective = _Objective(self._nets, part[pixels], codec)
        with torch.no_grad():
            latent = codec.latent(part).float()[inside].clone()
            codewords = codec.codebook.lookup(indices[outer.slices()][None]).clone()
        optimizer = torch.optim.Adam([latent], lr=_STEP * weight.std().item(), betas=_BETAS)
        shorter = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, _LAST_STEP, self.steps)
        for step in range(self.steps):
            with torch.no_grad():
                codewords[inside] = codec.codebook.lookup(codec.codebook.quantize(latent))
            codewords = codewords.detach().requires_grad_()
            x_hat = codec.image(codewords, (outer.top, outer.left))[..., :height, :width]
            loss = objective(x_hat[pixels], step % _VGG_EVERY == 0)
            latent.grad = torch.autograd.grad(loss, codewords)[0][inside]
            optimizer.step()
            shorter.step()
        return codec.codebook.quantize(latent)[0]


class _Objective:
    """L1 + LPIPS-AlexNet, and where VGG16 is asked + LPIPS-VGG16 + DISTS, to one original.

    Args:
        nets: the metrics by name.
        original: (1, 3, H, W) in [0, 1].
        codec: whose number format the metrics' networks shall compute in.
    """

    def __init__(self, nets: dict[str, Any], original: Tensor, codec: VQGANCodec) -> None:
        self._nets = nets
        self._x = 2 * original - 1
        self._bf16 = next(codec.decoder.parameters()).dtype == torch.bfloat16
        with torch.no_grad(), self._autocast():
            self._alex = list(lpips_features(nets["lpips"], self._x))
            self._vgg = list(dists_features(nets["dists"], self._x))

    def __call__(self, x_hat: Tensor, by_all: bool) -> Tensor:
        """The distance of (1, 3, H, W), about [0, 1], from the original."""
        y = 2 * x_hat - 1
        loss = F.l1_loss(y, self._x)
        with self._autocast():
            alex = lpips_features(self._nets["lpips"], y)
            loss = loss + feature_distance(self._nets["lpips"], self._alex, alex)
            if by_all:
                vgg = dists_features(self._nets["dists"], y)
                loss = loss + dists_distance(self._nets["dists"], self._vgg, vgg)
                # Without the pixels, which DISTS takes for its first depth.
                heads = self._nets["lpips-vgg"]
                loss = loss + feature_distance(heads, self._vgg[1:], vgg[1:])
        return loss

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._x.device.type, torch.bfloat16, enabled=self._bf16)
