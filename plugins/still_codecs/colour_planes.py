"""RGB pictures to the Y, Cb and Cr planes that video encoders take, and back.

One conversion for both ways and all such codecs: ITU-R BT.709, full range, with CompressAI's
functions, which its own VTM baseline uses too. Encoders get planes and give planes, so that no
program in between can assume another matrix or range.
"""

from __future__ import annotations

import numpy as np
import torch
from compressai.transforms.functional import (
    rgb2ycbcr,
    ycbcr2rgb,
    yuv_420_to_444,
    yuv_444_to_420,
)
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.pixel_range import pad_to_stride

COLOURS = "BT.709 full range"


def to_planes(picture: Tensor, bits: int, subsampled: bool) -> bytes:
    """A picture to its three planes, one after the other, row by row.

    Args:
        picture: uint8 (3, H, W) in RGB.
        bits: of a sample; above 8 a sample is two bytes, little-endian.
        subsampled: 4:2:0 instead of 4:4:4: chroma is the mean of 2x2 pixels, and odd sides are
            made even by repeating the last row or column.
    """
    ycbcr = rgb2ycbcr(picture[None].float() / 255)
    ycbcr[:, 1:] += _above_the_middle(bits)
    planes = yuv_444_to_420(pad_to_stride(ycbcr, 2)) if subsampled else ycbcr.split(1, 1)
    return b"".join(_to_samples(plane, bits) for plane in planes)


def from_planes(data: bytes, height: int, width: int, bits: int, subsampled: bool) -> Tensor:
    """What :func:`to_planes` gives back to a picture, uint8 (3, H, W).

    Args:
        data: the three planes.
        height: of the luma plane: even for 4:2:0.
        width: of the luma plane: even for 4:2:0.
        bits: of a sample.
        subsampled: whether they are 4:2:0; chroma is then interpolated linearly.

    Raises:
        CodecError: when the data has another size.
    """
    samples = torch.from_numpy(np.frombuffer(data, _dtype(bits)).astype(np.float32))
    chroma = (height // 2, width // 2) if subsampled else (height, width)
    sizes = [height * width, chroma[0] * chroma[1], chroma[0] * chroma[1]]
    if len(samples) != sum(sizes):
        raise CodecError(f"{len(data)} bytes are not the planes of a {width}x{height} picture")
    y, *others = (samples / (2**bits - 1)).split(sizes)
    cb, cr = (plane.view(1, 1, *chroma) for plane in others)
    luma = y.view(1, 1, height, width)
    whole = yuv_420_to_444((luma, cb, cr)) if subsampled else torch.cat((luma, cb, cr), 1)
    whole[:, 1:] -= _above_the_middle(bits)
    return ycbcr2rgb(whole)[0].mul(255).round().clamp(0, 255).to(torch.uint8)


def _above_the_middle(bits: int) -> float:
    """Where no colour is in chroma, above 0.5.

    The middle of 256 levels lies between two, and the standard takes the upper one; with
    CompressAI's functions alone all greys would come back a little red and blue.  Half a level
    of 1024 is lost in the rounding to 8 bits.
    """
    return 0.5 / 255 if bits == 8 else 0.0


def _to_samples(plane: Tensor, bits: int) -> bytes:
    highest = 2**bits - 1
    return plane.mul(highest).round().clamp(0, highest).numpy().astype(_dtype(bits)).tobytes()


def _dtype(bits: int) -> np.dtype:
    return np.dtype("<u2" if bits > 8 else "u1")
