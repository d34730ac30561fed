"""Pixels of any kind that Pillow reads, to 8-bit RGB, turned upright.

Grey, palette, CMYK and 16-bit pixels are converted, some rows at a time; what is transparent is
laid on white; the Exif orientation is applied.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile

from .errors import CodecError

if TYPE_CHECKING:
    from torch import Tensor

_PIXELS_AT_ONCE = 1 << 20


def upright_rgb(image: ImageFile, path: Path) -> Tensor:
    """The pixels of a picture that was opened, with a warning where something is transparent.

    Args:
        image: as ``Image.open`` gives it, not loaded yet; it is changed.
        path: names it in messages.

    Returns:
        uint8 (3, H, W).

    Raises:
        CodecError: for floating-point pixels.
        Exception: of many kinds, from Pillow, for damaged files.
    """
    if image.mode == "F":
        raise CodecError(f"{path}: floating-point pixels have no known range; save as 8 bit")
    _mend_transparency(image)
    _turn_upright(image)
    if image.has_transparency_data:
        warnings.warn(f"{path}: transparency is laid on white", stacklevel=3)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _PIXELS_AT_ONCE // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = np.asarray(_to_rgb(image.crop((0, top, image.width, bottom))))
    import torch

    return torch.from_numpy(pixels).permute(2, 0, 1)


def _mend_transparency(image: ImageFile) -> None:
    """Make a PNG's transparent level or colour one of its pixels'; to be called before load.

    Pillow stretches pixels of 2 and 4 bits to 8 and halves those of 16, but not what they are
    compared with.
    """
    clear = image.info.get("transparency")
    stored = image.tile[0][3] if image.format == "PNG" and image.tile else None
    if stored in ("L", "L;2", "L;4") and isinstance(clear, int):
        most = {"L": 255, "L;2": 3, "L;4": 15}[stored]
        image.info["transparency"] = (clear & most) * (255 // most)
    elif stored == "RGB;16B" and isinstance(clear, tuple):
        image.info["transparency"] = tuple(level >> 8 for level in clear)


def _turn_upright(image: Image.Image) -> None:
    image.load()
    image.getexif()  # which is kept; the orientation is read out of it
    # Else Pillow would write the Exif data anew, and cannot write all that it can read.
    for name in ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"):
        image.info.pop(name, None)
    ImageOps.exif_transpose(image, in_place=True)  # otherwise it would copy what is upright


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit values to 255 instead of scaling them.
        sixteen = np.asarray(image).astype(np.int64).clip(0, 65535)
        if isinstance(clear := image.info.get("transparency"), int):
            sixteen[sixteen == clear] = 65535
        return Image.fromarray(((sixteen + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")
