"""Pixels of any kind that Pillow reads, to 8-bit RGB, turned upright.

Grey, palette, CMYK and 16-bit pixels are converted, some rows at a time; what is transparent is
laid on white; the Exif orientation is applied, and where it is asked for a colour profile.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile

from .errors import CodecError, CodecWarning

if TYPE_CHECKING:
    from torch import Tensor

_PIXELS_AT_ONCE = 1 << 20


def upright_rgb(image: ImageFile, path: Path, to_srgb: bool = False) -> Tensor:
    """The pixels of a picture that was opened, with a warning of what is lost.

    Args:
        image: as ``Image.open`` gives it, not loaded yet; it is changed.
        path: names it in messages.
        to_srgb: whether a colour profile is applied; else pixels stay as they are stored.

    Returns:
        uint8 (3, H, W).

    Raises:
        CodecError: for floating-point pixels, and grey beyond 16 bits.
        Exception: of many kinds, from Pillow, for damaged files.
    """
    if image.mode == "F":
        raise CodecError(f"{path}: floating-point pixels have no known range; save as 8 bit")
    if _has_more_frames(image):
        text = f"{path}: of several frames the first is taken"
        warnings.warn(text, CodecWarning, stacklevel=3)
    _mend_transparency(image)
    _turn_upright(image, path)
    if image.mode == "I" and not _is_16_bit(image):
        raise CodecError(f"{path}: grey beyond 16 bits has no known range; save as 8 or 16 bit")
    deep = _deep_grey(image)
    if _is_transparent(image):
        warnings.warn(f"{path}: transparency is laid on white", CodecWarning, stacklevel=3)
    convert = None
    if to_srgb and image.info.get("icc_profile"):
        from .colour_profile import srgb_of

        convert = srgb_of(image, path)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _PIXELS_AT_ONCE // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        part = image.crop((0, top, image.width, bottom))
        pixels[top:bottom] = np.asarray(_to_rgb(part, deep, convert))
    import torch

    return torch.from_numpy(pixels).permute(2, 0, 1)


def _has_more_frames(image: ImageFile) -> bool:
    if image.format == "MPO":  # a JPEG: previews, or what screens of more contrast would need
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except MemoryError:
        raise
    except Exception:  # damaged ones, which nobody asked for
        return False


class _DeepGrey(NamedTuple):
    """How grey of more than 8 bits is stored."""

    most: int = 65535
    white_is_zero: bool = False


def _deep_grey(image: ImageFile) -> _DeepGrey:
    # Pillow leaves TIFF's grey of more than 8 bits as it is stored.
    if image.format != "TIFF" or not image.mode.startswith("I"):
        return _DeepGrey()
    from PIL import TiffImagePlugin as tiff

    tags = cast(tiff.TiffImageFile, image).tag_v2
    bits = min(tags.get(tiff.BITSPERSAMPLE, (16,))[0], 16)
    return _DeepGrey((1 << bits) - 1, tags.get(tiff.PHOTOMETRIC_INTERPRETATION) == 0)


def _is_16_bit(image: Image.Image) -> bool:
    least, most = cast("tuple[int, int]", image.getextrema())
    return least >= 0 and most <= 65535


def _is_transparent(image: Image.Image) -> bool:
    if image.getbands()[-1] == "A":
        return image.getchannel("A").getextrema()[0] != 255
    return image.has_transparency_data


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


def _turn_upright(image: Image.Image, path: Path) -> None:
    image.load()
    try:
        image.getexif()  # which is kept; the orientation is read out of it
        # Else Pillow would write the Exif data anew, and cannot write all that it can read.
        for name in ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"):
            image.info.pop(name, None)
        ImageOps.exif_transpose(image, in_place=True)  # otherwise it would copy what is upright
    except MemoryError:
        raise
    except Exception:  # the pixels are good
        text = f"{path}: its Exif data is no good: taken for upright"
        warnings.warn(text, CodecWarning, stacklevel=4)


def _to_rgb(
    image: Image.Image, deep: _DeepGrey, convert: Callable[[Image.Image], Image.Image] | None
) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit values to 255 instead of scaling them.
        sixteen = np.asarray(image).astype(np.int64).clip(0, deep.most)
        if isinstance(clear := image.info.get("transparency"), int):
            sixteen[sixteen == clear] = deep.most
        sixteen = (deep.most - sixteen if deep.white_is_zero else sixteen) * 65535 // deep.most
        return Image.fromarray(((sixteen + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    if convert is not None and image.mode in ("L", "CMYK"):
        return convert(image)
    image = image if image.mode == "RGB" else image.convert("RGB")
    return image if convert is None else convert(image)
