"""Indices that decode to a picture closer to the original than the nearest codewords do.

::

    latent ──► shares of all    ──► mean   ──► decoder ──► picture ──► LPIPS, DISTS, L1 against
      codewords, by distance     codeword                              the original, plus bits
      ▲                                                                  │
      └──────────────────── Adam, by the gradient at the shares ◄────────┘

The encoder cannot know what the decoder will make of a codeword beside its neighbours; here
the decoder is asked.  At every position each codeword has a share, the nearest the largest;
the decoder is given their mean, and the shares are learned for this one picture while a falling
temperature makes the largest all there is.  Bits are part of what is minimised: those that the
coder would need for each codeword there, by the frequencies or by the index prior.

Only the indices change: files are as any others, and decode as fast.

Tuning what is sent for one picture through a fixed decoder is known from learned codecs with
scalar latents (Campos et al., 2019, arXiv 1908.08988); that a choice which grows discrete by
annealing beats straight-through gradients there is from Yang et al., 2020 (arXiv 2006.04240).
Here shares are annealed without noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

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
from .rates import LADDER, STRIDE
from .tiles import Tile, tiles, whole

STEPS = 32
"""More steps go on to gain, ever less."""

_VGG_EVERY = 8  # steps: VGG16 takes several times as long as the decoder and AlexNet; fewer
# steps do without it
_VGG_LAST = 3  # steps before the end, where the picture is nearly the final one
_BITS_EVERY = 4  # steps: the map changes slowly

# The paces and all down to _CHEAPER were chosen on validation photographs.


class _Pace(NamedTuple):
    """How fast logits, distances in units of the mean one to the nearest codeword, change."""

    hottest: float  # the first temperature, with 8 codewords
    hotter: float  # with K codewords it is K/8 to this times as high, but not above _HOTTEST
    coldest: float  # the last
    step: float  # of the logits at first, with 8 codewords
    last_step: float  # of the first
    wider: float  # with K codewords the step is K/8 to this times as wide


# Few codewords lie far apart: what is asked first, a mean of many, is far from any of them.
_STEADY = _Pace(hottest=0.3, hotter=0.6, coldest=0.03, step=0.2, last_step=0.1, wider=0.0)
# There is little time to cool down in, so that what is asked first must be near what will be sent.
_HASTY = _Pace(hottest=0.25, hotter=0.0, coldest=0.03, step=0.1, last_step=0.1, wider=0.125)
_HOTTEST = 1.0
_STEADY_FROM = 16  # steps

_BETAS = (0.5, 0.99)
_EPSILON = 2.6e-5  # of Adam, for the gradients of one position

# What a bit for each position may cost in distance, which the next codebook's bits bring less and
# less of: 0.05 for 8 codewords, 0.01 for 2048.
_BIT = 0.1
_CHEAPER = 0.29  # ...times K to the minus this

WINDOW = 48
"""Side in positions (768 pixels) of what is refined at once: it bounds memory to about 3.5 GB."""

_MARGIN = 4  # positions around a window that it is decoded with; half of them are compared, too

_SMALLEST_SIDE = 64  # pixels; on less, AlexNet has too little to compare


class Refinement:
    """Refines the indices of pictures; several threads may use one.

    Args:
        steps: of the shares; 0 leaves the nearest codewords. Every eighth one asks VGG16 too,
            the third from the last among these; fewer than eight ask AlexNet alone. Fewer than
            four may find nothing better for pictures of few codewords.
        device: where the metrics' networks run: the codecs' own.
        allow_download: whether a backbone may be fetched when the cache has none.
        each_step: called before each step; what it raises ends a refinement.

    Raises:
        CodecError: for negative steps, when a backbone cannot be had, and when DISTS's
            package is not installed where it is asked.
    """

    @torch.inference_mode(False)
    def __init__(
        self,
        steps: int = STEPS,
        device: str | torch.device = "cpu",
        allow_download: bool = True,
        each_step: Callable[[], None] | None = None,
    ) -> None:
        if steps < 0:
            raise CodecError(f"{steps} steps of refinement: 0 or more are needed")
        from .metrics.picture_metrics import load_metric  # slow to import

        self.steps = steps
        self._each_step = each_step
        self._nets: dict[str, Any] = {}
        names = ["lpips"] if steps else []
        names += ["lpips-vgg", "dists"] if steps >= _VGG_EVERY else []
        for name in names:
            self._nets[name] = load_metric(name, allow_download).to(device)
            if name != "lpips-vgg":  # whose heads are all that is used
                arrange = channels_last if prefers_bf16(device) else freeze_convolutions
                arrange(self._nets[name])

    def indices(self, codec: VQGANCodec, picture: Tensor, coding: str | None = None) -> Tensor:
        """The refined index map of a picture.

        Large pictures are refined window by window, each with the indices around it held
        fast. A window that would not come closer, bits and LPIPS by AlexNet taken together,
        keeps the nearest codewords, and so do pictures with a side under 64 pixels.

        Args:
            codec: made ready for inference.
            picture: uint8 (3, H, W).
            coding: how the indices will be written; by default the codec's own way.

        Returns:
            int64 (h, w), on the codec's device.

        Raises:
            CodecError: when ``coding`` wants a prior that the codec does not have.
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
                found = self._window(codec, picture, indices, tile, coding)
                indices[tile.inner.slices()] = found
        return indices

    def _window(
        self,
        codec: VQGANCodec,
        picture: Tensor,
        indices: Tensor,
        tile: Tile,
        coding: str | None,
    ) -> Tensor:
        """The refined indices of one window of a map (h, w)."""
        inner, outer = tile
        weight = codec.codebook.weight.detach()
        inside = inner.slices(inside=outer)
        pixels = (..., *inner.grown(_MARGIN // 2, outer).slices(inside=outer, scale=STRIDE))
        part = to_unit(picture[(..., *outer.slices(scale=STRIDE))]).to(weight.device)
        height, width = part.shape[-2:]
        objective = _Objective(self._nets, part[pixels], codec)
        map_of_part = indices[outer.slices()].clone()
        nearest = map_of_part[inside].clone()
        around = codec.codebook.lookup(map_of_part[None]).detach()
        with torch.no_grad():
            latent = codec.latent(part).float()[(..., *inside)]
        logits = _closeness(latent[0].permute(1, 2, 0), weight).requires_grad_()
        pace = _STEADY if self.steps >= _STEADY_FROM else _HASTY
        more = len(weight) / LADDER[0]
        stride = pace.step * more**pace.wider
        hottest = min(pace.hottest * more**pace.hotter, _HOTTEST)
        optimizer = torch.optim.Adam([logits], stride, _BETAS, _EPSILON)
        shorter = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, pace.last_step, self.steps)
        per_bit = _BIT * len(weight) ** -_CHEAPER
        positions = inner.height * inner.width
        for step in range(self.steps):
            if self._each_step is not None:
                self._each_step()
            if step % _BITS_EVERY == 0:
                map_of_part[inside] = logits.detach().argmax(-1)
                bits = codec.expected_bits(map_of_part, coding)[inside]
            done = step / max(self.steps - 1, 1)
            temperature = hottest * (pace.coldest / hottest) ** done
            shares = torch.softmax(logits / temperature, -1)
            codewords = around.clone()
            codewords[(..., *inside)] = (shares @ weight).permute(2, 0, 1)
            x_hat = codec.image(codewords, (outer.top, outer.left))[..., :height, :width]
            by_all = (self.steps - step) % _VGG_EVERY == _VGG_LAST
            loss = objective(x_hat[pixels], by_all)
            loss = positions * loss + per_bit * (shares * bits).sum()
            (logits.grad,) = torch.autograd.grad(loss, logits)
            optimizer.step()
            shorter.step()
        # Steps see what a decoder paints beyond black and white, which nobody else does, and few
        # of them do not get far: what they found may be further away, as it is shown.
        found = logits.detach().argmax(-1)
        costs = []
        for chosen in (nearest, found):
            map_of_part[inside] = chosen
            bits = codec.expected_bits(map_of_part, coding)[inside]
            with torch.no_grad():
                codewords = codec.codebook.lookup(map_of_part[None])
                shown = codec.image(codewords, (outer.top, outer.left))[..., :height, :width]
                loss = positions * objective(shown.clamp(0, 1)[pixels], by_all=False)
                costs.append(float(loss + per_bit * bits.gather(-1, chosen[..., None]).sum()))
        return found if costs[1] < costs[0] else nearest


def _closeness(latents: Tensor, codewords: Tensor) -> Tensor:
    """Logits (h, w, K) of latents (h, w, D): minus the squared distances to codewords (K, D).

    In units of the mean one to the nearest, which is about 0 where all latents are codewords.
    """
    distances = torch.cdist(latents.flatten(0, 1), codewords.float()).square()
    unit = distances.amin(1).mean().clamp_min(1e-6)
    return (-distances / unit).view(*latents.shape[:2], -1)


class _Objective:
    """How far pictures are from one original.

    L1 + LPIPS-AlexNet, and where VGG16 is there and asked + LPIPS-VGG16 + DISTS.

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
            self._vgg = dists_features(nets["dists"], self._x) if "dists" in nets else []

    def __call__(self, x_hat: Tensor, by_all: bool) -> Tensor:
        """The distance of (1, 3, H, W), about [0, 1], from the original."""
        y = 2 * x_hat - 1
        loss = F.l1_loss(y, self._x)
        with self._autocast():
            alex = lpips_features(self._nets["lpips"], y)
            loss = loss + feature_distance(self._nets["lpips"], self._alex, alex)
            if by_all and self._vgg:
                vgg = dists_features(self._nets["dists"], y)
                loss = loss + dists_distance(self._nets["dists"], self._vgg, vgg)
                # Without the pixels, which DISTS takes for its first depth.
                heads = self._nets["lpips-vgg"]
                loss = loss + feature_distance(heads, self._vgg[1:], vgg[1:])
        return loss

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._x.device.type, torch.bfloat16, enabled=self._bf16)
