"""Image files to tensors and back.

A file is decoded as a whole: Pillow has no other way for RGB images of any format.  While a file
is read or written there are two copies of its pixels, Pillow's of up to 4 bytes each and ours of
3; what is converted is converted some rows at a time.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, UnidentifiedImageError

from .atomic_file import write_atomically
from .errors import CodecError
from .upright_rgb import upright_rgb

if TYPE_CHECKING:
    from torch import Tensor

# torch is imported where it is used: what looks for files needs none of it.

WRITABLE = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
"""Endings of image files that :func:`write_picture` writes."""

ENDINGS = (*WRITABLE, ".jpe", ".jfif", ".pbm", ".pgm", ".pnm", ".gif", ".tga", ".jp2", ".avif")
"""Names that are taken for images when a folder is given."""

_LONGEST_SIDES = {"JPEG": 65500, "WEBP": 16383}

# Of what was painted from a few hundred bytes nothing more shall be lost.
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF", "TGA", "JPEG2000", "AVIF")
# Not every one that Pillow has: for EPS it would start another program.


def read_picture(
    path: Path | str,
    max_pixels: int,
    admit: Callable[[int], object] | None = None,
    contents: bytes | None = None,
    to_srgb: bool = False,
) -> Tensor:
    """An image file as 8-bit RGB, turned upright.

    Grey, palette, CMYK and 16-bit images are converted; transparency is laid on white, and of
    several frames the first is read, with warnings.

    Args:
        path: of the file.
        max_pixels: larger images are refused before they are decoded.
        admit: called with the number of pixels before they are decoded; it may wait until
            there is room for them.
        contents: of a file that is in memory; ``path`` then only names it in messages.
        to_srgb: whether an image's colour profile is applied, for pictures that will be looked at;
            else pixels are as they are stored, as metrics are published of.

    Returns:
        uint8 (3, H, W).

    Raises:
        CodecError: when it cannot be read, is no image, is truncated or is too large.
    """
    path = Path(path)
    try:
        # An open file, not its name: of those that Pillow maps into memory it would exchange the
        # sides of pictures that are to be turned by a quarter.
        with path.open("rb") if contents is None else io.BytesIO(contents) as file:
            with warnings.catch_warnings():
                # Its size limit is not ours: ours is tested below.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                image = Image.open(file, formats=_FORMATS)
            with image:
                if image.width * image.height > max_pixels:
                    raise CodecError(_too_large(path, image.width, image.height, max_pixels))
                if admit is not None:
                    admit(image.width * image.height)
                return upright_rgb(image, path, to_srgb)
    except CodecError:
        raise
    except Image.DecompressionBombError:
        raise CodecError(f"{path}: more than {max_pixels / 1e6:.1f} megapixels") from None
    except UnidentifiedImageError:
        raise CodecError(f"{path}: not an image that Pillow can read") from None
    except OSError as error:
        raise CodecError(f"{path}: {error.strerror or error}") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers fail in any way on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CodecError(f"{path}: damaged image: {reason}") from None


def _too_large(path: Path, width: int, height: int, max_pixels: int) -> str:
    return (
        f"{path}: {width}x{height} is {width * height / 1e6:.1f} megapixels; "
        f"the limit is {max_pixels / 1e6:.1f}: scale it down or cut it into parts"
    )


def write_picture(path: Path | str, picture: Tensor) -> None:
    """Write uint8 (3, H, W) in the format that the file's ending names (none: PNG).

    Raises:
        CodecError: for an unknown ending, or when the file cannot be written.
    """
    write_atomically(Path(path), image_file(Path(path), picture))


def check_ending(path: Path) -> None:
    """Raise CodecError for a name whose ending is of no format that is written."""
    if path.suffix and path.suffix.lower() not in WRITABLE:
        raise CodecError(f"{path}: cannot write {path.suffix}; known: {', '.join(WRITABLE)}")


def check_writable(path: Path, width: int, height: int) -> None:
    """Make sure, before a picture is decoded, that a file can hold it.

    Raises:
        CodecError: for an unknown ending, and sizes that the format does not have.
    """
    check_ending(path)
    longest = _LONGEST_SIDES.get(_format_of(path))
    if longest is not None and max(width, height) > longest:
        raise CodecError(
            f"{path}: cannot be written as {path.suffix}: {width}x{height} pixels, and a side has "
            f"at most {longest}; .png has no such limit"
        )


def _format_of(path: Path) -> str:
    return Image.registered_extensions().get(path.suffix.lower(), "PNG")


def image_file(path: Path, picture: Tensor) -> bytes:
    """What :func:`write_picture` writes: without loss, or as JPEG at quality 95.

    Raises:
        CodecError: for an unknown ending, and pictures that the format cannot hold.
    """
    check_writable(path, picture.shape[2], picture.shape[1])
    image = Image.fromarray(picture.permute(1, 2, 0).cpu().numpy())
    buffer = io.BytesIO()
    name = _format_of(path)
    try:
        image.save(buffer, name, **_OPTIONS.get(name, {}))
    except Exception as error:  # formats have limits of their own, and each its own error
        raise CodecError(f"{path}: cannot be written as {path.suffix}: {error}") from None
    return buffer.getvalue()


def to_unit(picture: Tensor) -> Tensor:
    """uint8 (3, H, W) to fp32 (1, 3, H, W) in [0, 1]."""
    return picture[None].float() / 255


def from_unit(x: Tensor) -> Tensor:
    """(1, 3, H, W), clipped to [0, 1], to uint8 (3, H, W)."""
    return rounded(x[0].float().mul(255))


def rounded(levels: Tensor) -> Tensor:
    """fp32 of any shape, clipped to [0, 255], to uint8; overwrites what it is given."""
    import torch

    levels = levels.round_().clamp_(0, 255)
    return levels.to(torch.int16).to(torch.uint8)  # in two steps with vector instructions
