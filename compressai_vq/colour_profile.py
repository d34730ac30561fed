"""Colours of an image's own profile to sRGB's, which decoded pictures are shown by."""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageCms

from .errors import CodecWarning

_SPACES = {"RGB": "RGB", "CMYK": "CMYK", "L": "GRAY"}


def srgb_of(image: Image.Image, path: Path) -> Callable[[Image.Image], Image.Image] | None:
    """What turns pixels of an image into sRGB; None where they are that already.

    Relative colorimetric, with black point compensation. A profile that cannot be used is left
    out, with a warning.

    Args:
        image: with a profile.
        path: names it in warnings.

    Returns:
        A function of parts of the image, in its mode where that is grey or CMYK and has no
        transparency, else in RGB; it gives RGB.
    """
    mode = image.mode if image.mode in _SPACES and not image.has_transparency_data else "RGB"
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        if "srgb" in ImageCms.getProfileDescription(given).lower():
            return None
        if given.profile.xcolor_space.strip() != _SPACES[mode]:
            raise ValueError("it is of other colours")
        transform = ImageCms.buildTransform(
            given,
            _srgb(),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        text = f"{path}: its colour profile is no good: taken for sRGB"
        warnings.warn(text, CodecWarning, stacklevel=4)
        return None

    def convert(part: Image.Image) -> Image.Image:
        converted = ImageCms.applyTransform(part, transform)
        assert converted is not None  # it would be where it is done in place
        return converted

    return convert


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
