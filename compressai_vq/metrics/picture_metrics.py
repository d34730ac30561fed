"""LPIPS and DISTS of many decoded pictures against one original.

The packages' own ``forward`` runs the backbone over both pictures each time.  Where nine
qualities of several codecs are measured against the same original, half of that is the same
work again, so the original's features are kept here, for one picture at a time::

    metrics = PictureMetrics(["lpips", "dists"])
    for original in originals:
        measure = metrics.against(original)
        for decoded in ...:
            measure(decoded)                # {"lpips": 0.31, "dists": 0.18}

Decoded pictures are compared stage by stage, so that of theirs only one stage's features are
in memory.  An original of 2.8 megapixels needs 1.4 GB for LPIPS-VGG and as much for DISTS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import lpips
import torch
import torch.nn as nn
from torch import Tensor

from ..errors import CodecError
from ..networks import winograd
from ..networks.frozen_convolution import freeze_convolutions
from ..networks.memory_layout import channels_last
from ..pixel_range import check_picture
from .lpips import load_lpips

NAMES = ("lpips", "lpips-vgg", "dists")
"""What can be measured; ``lpips`` is AlexNet's.  Of all of them lower is better."""

# On smaller sides a backbone's last pooling has nothing to pool.
_SMALLEST_SIDE = {"lpips": 31, "lpips-vgg": 16, "dists": 1}

# DISTS: the constants c1 and c2 of the paper's equations 6 and 7, as the package has them.
_C1 = _C2 = 1e-6

_Distance = Callable[[Tensor], float]


class PictureMetrics:
    """The networks of the metrics asked for, on the CPU and in float32 whatever the codec uses.

    Args:
        names: any of :data:`NAMES`; may be empty.
        allow_download: whether a backbone may be fetched when the cache has none.

    Raises:
        CodecError: for another name, when a backbone cannot be had, and for ``dists`` when
            its package is not installed.
    """

    def __init__(self, names: Iterable[str], allow_download: bool = True) -> None:
        self.names = tuple(dict.fromkeys(names))
        for name in self.names:
            if name not in NAMES:
                raise CodecError(f"no metric {name!r}; there are {', '.join(NAMES)}")
        # Both faster than torch's convolutions in the default layout.
        prepare = freeze_convolutions if winograd.available() else channels_last
        self._nets = {name: prepare(load_metric(name, allow_download)) for name in self.names}

    def against(self, original: Tensor) -> Comparison:
        """Compute an original's features.

        Args:
            original: uint8 (3, H, W).

        Raises:
            CodecError: when it is no such picture.
        """
        check_picture(original)
        return Comparison(self._nets, original)


class Comparison:
    """An original with its features; made by :meth:`PictureMetrics.against`."""

    def __init__(self, nets: dict[str, Any], original: Tensor) -> None:
        self._shape = original.shape
        self._distances: dict[str, _Distance | None] = {}
        for name, net in nets.items():
            measure = _DISTSAgainst if name == "dists" else _LPIPSAgainst
            small = min(original.shape[1:]) < _SMALLEST_SIDE[name]
            self._distances[name] = None if small else measure(net, original)

    def __call__(self, decoded: Tensor) -> dict[str, float]:
        """Distances of a decoded picture from the original.

        Args:
            decoded: uint8 (3, H, W) of the original's size.

        Returns:
            Name to distance, 0 for equal pictures; NaN where a side is too small for the
            metric (31 pixels are needed for ``lpips``, 16 for ``lpips-vgg``).

        Raises:
            CodecError: when it is no such picture, or the sizes differ.
        """
        check_picture(decoded)
        if decoded.shape != self._shape:
            sizes = " and ".join(f"{s[-1]}x{s[-2]}" for s in (self._shape, decoded.shape))
            raise CodecError(f"pictures of different sizes cannot be compared: {sizes}")
        return {
            name: math.nan if distance is None else distance(decoded)
            for name, distance in self._distances.items()
        }


class _LPIPSAgainst:
    """Zhang et al., 2018, equation 1: weighted squared differences of unit feature vectors."""

    @torch.inference_mode()
    def __init__(self, net: Any, original: Tensor) -> None:
        self._net = net
        self._features = list(self._unit_features(original))

    @torch.inference_mode()
    def __call__(self, decoded: Tensor) -> float:
        total = 0.0
        stages = zip(self._net.lins, self._features, self._unit_features(decoded), strict=True)
        for head, ours, theirs in stages:
            # In place: at full size one of these is hundreds of megabytes.
            total += head(theirs.sub_(ours).square_()).mean().item()
        return total

    def _unit_features(self, picture: Tensor) -> Iterator[Tensor]:
        x = self._net.scaling_layer(picture[None].float() / 127.5 - 1)
        for stage in self._net.net.children():
            x = stage(x)
            yield lpips.normalize_tensor(x)


class _Statistics(NamedTuple):
    features: Tensor
    mean: Tensor
    variance: Tensor


class _DISTSAgainst:
    """Ding et al., 2020, equations 6 to 8: texture from means, structure from covariances."""

    @torch.inference_mode()
    def __init__(self, net: Any, original: Tensor) -> None:
        self._net = net
        self._original = list(self._statistics(original))

    @torch.inference_mode()
    def __call__(self, decoded: Tensor) -> float:
        weights = (self._net.alpha.sum() + self._net.beta.sum()).item()
        alphas = torch.split(self._net.alpha / weights, self._net.chns, dim=1)
        betas = torch.split(self._net.beta / weights, self._net.chns, dim=1)
        similarity = 0.0
        stages = zip(alphas, betas, self._original, self._statistics(decoded), strict=True)
        for alpha, beta, a, b in stages:
            covariance = (a.features * b.features).mean([2, 3], keepdim=True) - a.mean * b.mean
            texture = (2 * a.mean * b.mean + _C1) / (a.mean**2 + b.mean**2 + _C1)
            structure = (2 * covariance + _C2) / (a.variance + b.variance + _C2)
            similarity += (alpha * texture + beta * structure).sum().item()
        return max(1 - similarity, 0.0)  # which rounding may lead below

    def _statistics(self, picture: Tensor) -> Iterator[_Statistics]:
        net = self._net
        x = picture[None].float() / 255
        yield self._of(x)
        x = (x - net.mean) / net.std
        for stage in (net.stage1, net.stage2, net.stage3, net.stage4, net.stage5):
            x = stage(x)
            yield self._of(x)

    @staticmethod
    def _of(features: Tensor) -> _Statistics:
        mean = features.mean([2, 3], keepdim=True)
        variance = (features - mean).square_().mean([2, 3], keepdim=True)
        return _Statistics(features, mean, variance)


def load_metric(name: str, allow_download: bool = True) -> nn.Module:
    """A metric's network, frozen, as its package has it.

    Args:
        name: one of :data:`NAMES`.
        allow_download: whether a backbone may be fetched when the cache has none.

    Raises:
        CodecError: when the backbone cannot be had, and for ``dists`` when its package is not
            installed.
    """
    if name == "lpips":
        return load_lpips("alex", allow_download)
    if name == "lpips-vgg":
        return load_lpips("vgg", allow_download)
    try:
        from .dists import load_dists
    except ImportError:
        raise CodecError("DISTS needs: pip install compressai-vq[metrics]") from None
    return load_dists(allow_download)
