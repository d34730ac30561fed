"""The architectures as CompressAI's zoo offers them."""

from __future__ import annotations

import contextlib
import operator
from typing import TYPE_CHECKING, Any

import torch

from .architectures import ARCHITECTURES
from .codec import VQGANCodec
from .codings import FREQUENCIES
from .errors import CodecError
from .networks.grain import CHANNELS
from .rates import LADDER

if TYPE_CHECKING:
    from plugins.hific.codec import HiFiC


@torch.inference_mode(False)  # a model that is made in it could not be trained
def _load(
    architecture: str,
    quality: int,
    metric: str,
    pretrained: bool,
    progress: bool,
    coding: str | None,
    **kwargs: Any,
) -> VQGANCodec:
    quality = _checked(quality, len(LADDER))
    if metric not in ("mse", "ms-ssim", "lpips"):
        raise ValueError(f'Invalid metric "{metric}"')
    if pretrained:
        if kwargs:
            raise TypeError(f"pretrained weights fix {', '.join(kwargs)}")
        from .pretrained import pretrained_codec

        return pretrained_codec(architecture, quality, coding, progress)
    if coding not in (None, FREQUENCIES):
        raise ValueError(f'Invalid coding "{coding}": untrained codecs have no index prior')
    return ARCHITECTURES[architecture](LADDER[quality - 1], **kwargs)  # type: ignore[arg-type]


def _checked(quality: int, highest: int) -> int:
    """A quality of 1 to ``highest``; ValueError, as CompressAI's, for any other and for 5.0."""
    with contextlib.suppress(TypeError):
        if operator.index(quality) in range(1, highest + 1):
            return operator.index(quality)
    raise ValueError(f'Invalid quality "{quality}", should be between (1, {highest})')


def mao2024_vqgan(
    quality: int,
    metric: str = "mse",
    pretrained: bool = False,
    progress: bool = True,
    coding: str | None = None,
    **kwargs: Any,
) -> VQGANCodec:
    """VQGAN f16 of taming-transformers with a clustered codebook (Mao et al., 2024).

    Args:
        quality: 1 to 9, for K = 8 to 2048 codewords.
        metric: accepted because CompressAI's tools pass one; there is one set of weights.
        pretrained: load the published checkpoint, from the cache or by download.
        progress: show a bar while downloading.
        coding: of the indices, "frequencies" or "prior"; by default by the index prior when
            there is one for these weights.
        kwargs: of the class, without ``pretrained``.

    Raises:
        ValueError: for another quality, metric or coding, and for ``coding="prior"`` without
            ``pretrained``.
        TypeError: for ``kwargs`` with ``pretrained``.
        CodecError: when the checkpoint cannot be had, and for ``coding="prior"`` when there is no
            prior; the message says what to do.
    """
    return _load("mao2024-vqgan", quality, metric, pretrained, progress, coding, **kwargs)


def mao2024_vqgan_lite(
    quality: int,
    metric: str = "mse",
    pretrained: bool = False,
    progress: bool = True,
    coding: str | None = None,
    **kwargs: Any,
) -> VQGANCodec:
    """The same method with small convolutional networks made for CPUs.

    Args:
        quality: 1 to 9, for K = 8 to 2048 codewords.
        metric: accepted because CompressAI's tools pass one; there is one set of weights.
        pretrained: load the weights that the package ships.
        progress: unused: nothing is downloaded.
        coding: of the indices, "frequencies" or "prior"; by default by the index prior when
            there is one for these weights.
        kwargs: of the class, without ``pretrained``.

    Raises:
        ValueError: for another quality, metric or coding, and for ``coding="prior"`` without
            ``pretrained``.
        TypeError: for ``kwargs`` with ``pretrained``.
    """
    if not pretrained:
        # As pretrained ones: optimizers and checkpoints of either serve the other.
        kwargs = {"grain_channels": CHANNELS, **kwargs}
    return _load("mao2024-vqgan-lite", quality, metric, pretrained, progress, coding, **kwargs)


_HIFIC_CHECKPOINTS = ("hific_low.pt", "hific_med.pt", "hific_hi.pt")


def hific(
    quality: int,
    metric: str = "mse",
    pretrained: bool = False,
    progress: bool = True,
    **kwargs: Any,
) -> HiFiC:
    """HiFiC (Mentzer et al., 2020, arXiv 2006.09965), untrained.

    Args:
        quality: 1 to 3, for the published low, medium and high rate; their networks are alike.
        metric: accepted because CompressAI's tools pass one.
        pretrained: refused: nobody publishes weights that can be checked.
        progress: unused.
        kwargs: sizes other than the published ones; see the class.

    Raises:
        ValueError: for another quality or metric.
        CodecError: when pretrained weights are asked for; the message says what to do.
    """
    quality = _checked(quality, len(_HIFIC_CHECKPOINTS))
    if metric not in ("mse", "ms-ssim", "lpips"):
        raise ValueError(f'Invalid metric "{metric}"')
    if pretrained:
        name = _HIFIC_CHECKPOINTS[quality - 1]
        raise CodecError(
            f"no checked weights of hific can be downloaded: get {name} from "
            "github.com/Justin-Tan/high-fidelity-generative-compression, import it with "
            f"'python -m compressai_vq.plugins.hific {name} -o OURS.pth', then use OURS.pth"
        )
    from .plugins.hific.codec import HiFiC

    return HiFiC(**kwargs)


ENTRY_POINTS = {
    "mao2024-vqgan": mao2024_vqgan,
    "mao2024-vqgan-lite": mao2024_vqgan_lite,
    "hific": hific,
}


def register() -> None:
    """Add our architectures to CompressAI's zoo and registry; calling it again is harmless."""
    import compressai.zoo
    import compressai.zoo.image
    from compressai.registry import register_model

    from .plugins.hific.codec import HiFiC

    for name, model in {**ARCHITECTURES, "hific": HiFiC}.items():
        compressai.zoo.image_models[name] = ENTRY_POINTS[name]
        compressai.zoo.models[name] = ENTRY_POINTS[name]
        compressai.zoo.image.model_architectures[name] = model
        register_model(name)(model)
