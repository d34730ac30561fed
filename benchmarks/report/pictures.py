"""Pictures as the viewer takes them: cropped, packed, with what their captions say."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from compressai_vq.atomic_file import write_atomically
from plugins.still_codecs.still_picture import StillPictureCodec

TARGETS = (0.012, 0.02, 0.03, 0.043)
"""Rates in bpp that the page offers; each codec shows its nearest point."""

CodecFactory = Callable[[str], StillPictureCodec]
"""A codec's key to the codec; CodecError when it cannot be had here."""

_CROP = (960, 768)  # larger originals are cropped to this: they are shown 1:1, never scaled
_WEBP_QUALITY = 90


@dataclass(frozen=True)
class Shown:
    """One reconstruction.

    Attributes:
        quality: the codec's setting.
        size: bytes of the complete file.
        bpp: bits per pixel of the whole picture.
        lpips: of the whole picture, AlexNet's; None where it was not measured.
        uri: the picture as a data URI.
    """

    quality: int
    size: int
    bpp: float
    lpips: float | None
    uri: str

    def as_json(self) -> dict[str, Any]:
        """For the page's script."""
        return {"quality": self.quality, "bytes": self.size, "bpp": self.bpp,
                "lpips": self.lpips, "uri": self.uri}  # fmt: skip


@dataclass
class ViewerImage:
    """One image with its reconstructions.

    Attributes:
        title: its name and data set.
        remark: how it was cropped; empty if it is whole.
        width: of what is shown, pixels.
        height: likewise.
        original: as a data URI.
        codecs: codec to its points, in order of rate.
    """

    title: str
    remark: str
    width: int
    height: int
    original: str
    codecs: dict[str, list[Shown]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For the page's script."""
        points = {key: [s.as_json() for s in shown] for key, shown in self.codecs.items()}
        return {"title": self.title, "remark": self.remark, "width": self.width,
                "height": self.height, "original": self.original, "codecs": points}  # fmt: skip

    @property
    def size(self) -> int:
        """Characters that it takes in the page."""
        shown = (s.uri for points in self.codecs.values() for s in points)
        return len(self.original) + sum(map(len, shown))


class Packer:
    """Pictures to data URIs, with a cache: decoding some codecs takes seconds.

    Args:
        cache: a folder.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def decoded(self, key: str, data: bytes, decode: Callable[[bytes], Tensor]) -> str:
        """What a complete file decodes to; ``key`` names the codec and its weights."""
        name = hashlib.sha256(f"{key} {_CROP} {_WEBP_QUALITY} ".encode() + data).hexdigest()
        path = self._cache / f"{name[:32]}.webp"
        if not path.is_file():
            write_atomically(path, webp(crop(decode(data))))
        return data_uri(path.read_bytes())


def crop(picture: Tensor) -> Tensor:
    """The middle of a picture, uint8 (3, H, W), at most as large as the viewer shows."""
    height, width = picture.shape[1:]
    largest = _CROP if width >= height else _CROP[::-1]
    w, h = min(width, largest[0]), min(height, largest[1])
    top, left = (height - h) // 2, (width - w) // 2
    return picture[:, top : top + h, left : left + w]


def webp(picture: Tensor) -> bytes:
    """A picture, uint8 (3, H, W), as WebP of a quality that hides no coding artefact."""
    buffer = io.BytesIO()
    image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
    image.save(buffer, "WEBP", quality=_WEBP_QUALITY, method=2)
    return buffer.getvalue()


def data_uri(data: bytes) -> str:
    """WebP data as a URI."""
    return "data:image/webp;base64," + base64.b64encode(data).decode()


def nearest(rates: dict[int, float]) -> list[int]:
    """The settings, of those with these rates in bpp, that some target rate is nearest to."""
    chosen = {min(rates, key=lambda q: abs(rates[q] - target)) for target in TARGETS}
    return sorted(chosen, key=lambda q: rates[q])


def viewer_image(title: str, picture: Tensor) -> ViewerImage:
    """An image without reconstructions yet; picture: uint8 (3, H, W)."""
    shown = crop(picture)
    height, width = shown.shape[1:]
    whole = shown.shape == picture.shape
    remark = "" if whole else (
        f"the middle {width}x{height} of {picture.shape[2]}x{picture.shape[1]}"
    )  # fmt: skip
    return ViewerImage(title, remark, width, height, data_uri(webp(shown)))
