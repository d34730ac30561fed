"""The viewer's pictures in a plain clone: two photographs that scikit-learn ships."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from importlib.resources import files
from pathlib import Path

from torch import Tensor

from benchmarks.codecs import MAX_PIXELS, OURS
from compressai_vq.errors import CodecError
from compressai_vq.metrics.picture_metrics import PictureMetrics
from compressai_vq.picture import read_picture
from plugins.still_codecs.still_picture import StillPictureCodec

from .pictures import (
    TARGETS,
    CodecFactory,
    Shown,
    ViewerImage,
    crop,
    data_uri,
    nearest,
    viewer_image,
    webp,
)

SAMPLE_CODECS = (OURS, "vvc", "hevc", "avif", "jpegxl", "hific-lowrate")
"""None of these downloads anything; those that cannot be had are left out.  Cheng2020 has to be
asked for: its decoder, which goes position by position, takes minutes."""

_SECONDS = 5.0  # for one photograph with one codec: the report shall take under a minute

Measure = Callable[[Tensor], dict[str, float]]


def sample_images(
    keys: Iterable[str], codec: CodecFactory, warn: Callable[[str], None]
) -> Iterator[ViewerImage]:
    """Two photographs, compressed with what is at hand.

    LPIPS is in the captions if its backbone has been downloaded before.

    Args:
        keys: of the codecs.
        codec: makes them; those that cannot be had are left out.
        warn: told in one line about each codec that is left out.
    """
    made: dict[str, StillPictureCodec] = {}
    for key in keys:
        try:
            made[key] = codec(key)
        except CodecError as error:
            warn(f"viewer: without {key}: {error}")
    metrics = None
    try:
        metrics = PictureMetrics(["lpips"], allow_download=False)
    except CodecError as error:
        warn(f"viewer: captions without LPIPS: {error}")
    for name in ("china.jpg", "flower.jpg"):
        path = Path(str(files("sklearn.datasets").joinpath("images", name)))
        picture = read_picture(path, MAX_PIXELS)
        measure = metrics.against(picture) if metrics else None
        image = viewer_image(f"Sample: {path.stem}", picture)
        for key, one in made.items():
            try:
                image.codecs[key] = _compressed(one, picture, measure)
            except CodecError as error:
                warn(f"viewer: {path.stem} without {key}: {error}")
        yield image


def _compressed(codec: StillPictureCodec, picture: Tensor, measure: Measure | None) -> list[Shown]:
    pixels = picture.shape[1] * picture.shape[2]
    data: dict[int, bytes] = {}
    decoded: dict[int, Tensor] = {}
    rates: dict[int, float] = {}
    started = time.monotonic()
    # From the lowest rate on: what is left out when time is up is what the page shows least.
    for quality in codec.qualities:
        data[quality] = codec.compress(picture, quality)
        rates[quality] = 8 * len(data[quality]) / pixels
        decoded[quality] = codec.decompress(data[quality])
        if rates[quality] > max(TARGETS) or time.monotonic() - started > _SECONDS:
            break
    shown = []
    for quality in nearest(rates):
        lpips = measure(decoded[quality]).get("lpips") if measure else None
        uri = data_uri(webp(crop(decoded[quality])))
        shown.append(Shown(quality, len(data[quality]), rates[quality], lpips, uri))
    return shown
