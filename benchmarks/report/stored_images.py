"""The viewer's pictures from the streams that ``python -m benchmarks.compare`` left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from benchmarks.codecs import MAX_PIXELS, OURS
from compressai_vq.errors import CodecError
from compressai_vq.picture import ENDINGS, read_picture
from plugins.still_codecs.still_picture import StillPictureCodec

from .pictures import (
    CodecFactory,
    Packer,
    Shown,
    ViewerImage,
    nearest,
    viewer_image,
)
from .results import Curve, dataset_title
from .streams import find_streams


class StoredImages:
    """Images of data sets with the reconstructions that their stored streams decode to.

    Args:
        results: for captions; what is missing there is left out of them.
        streams: the folder of ``<dataset>/<codec>/<image>.q<quality>.<ending>``.
        originals: data set to the folder of its images.
        codec: makes the codecs; those that cannot be had are left out.
        packer: of pictures.
        warn: told in one line about each codec and file that is left out.
    """

    def __init__(
        self,
        results: dict[str, dict[str, Curve]],
        streams: Path,
        originals: dict[str, Path],
        codec: CodecFactory,
        packer: Packer,
        warn: Callable[[str], None],
    ) -> None:
        self._results = results
        self._streams = streams
        self._originals = originals
        self._factory = codec
        self._packer = packer
        self._warn = warn
        self._codecs: dict[str, StillPictureCodec | None] = {}

    def __iter__(self) -> Iterator[ViewerImage]:
        """Alternates between data sets, so that each has its share however many are taken."""
        queues = [self._dataset(*item) for item in self._originals.items()]
        for image in chain.from_iterable(zip_longest(*queues)):
            if image is not None:
                yield image

    def _dataset(self, dataset: str, folder: Path) -> Iterator[ViewerImage]:
        if not folder.is_dir():
            raise CodecError(f"{folder}: no such folder of {dataset}'s originals")
        found = find_streams(self._streams / dataset)
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
        for path in _spread([path for path in paths if path.stem in found]):
            picture = read_picture(path, MAX_PIXELS)
            image = viewer_image(f"{dataset_title(dataset)}: {path.stem}", picture)
            pixels = picture.shape[1] * picture.shape[2]
            for key in sorted(found[path.stem], key=lambda key: (key != OURS, key)):
                curve = self._results.get(dataset, {}).get(key)
                shown = self._shown(key, found[path.stem][key], pixels, path.stem, curve)
                if shown:
                    image.codecs[key] = shown
            if image.codecs:
                yield image

    def _shown(
        self, key: str, streams: dict[int, Path], pixels: int, name: str, curve: Curve | None
    ) -> list[Shown]:
        codec = self._codec(key)
        if codec is None:
            return []
        weights = getattr(codec, "fingerprint", "")
        if curve is not None and weights != curve.fingerprint and weights:
            self._warn(
                f"viewer: {name} without {key}: the weights at hand, {weights[:16]}, are not "
                f"those that were measured, {curve.fingerprint[:16]}"
            )
            return []
        # Some codecs' files do not say which weights made them.
        named = f"{key} {weights}"
        rates = {quality: 8 * path.stat().st_size / pixels for quality, path in streams.items()}
        shown = []
        for quality in nearest(rates):
            data = streams[quality].read_bytes()
            row = curve.row(name, quality) if curve else {}
            try:
                _check_measured(row, len(data), pixels)
                uri = self._packer.decoded(named, data, codec.decompress)
            except CodecError as error:
                self._warn(f"viewer: without {streams[quality]}: {error}")
                continue
            shown.append(Shown(quality, len(data), rates[quality], row.get("lpips"), uri))
        return shown

    def _codec(self, key: str) -> StillPictureCodec | None:
        if key not in self._codecs:
            try:
                self._codecs[key] = self._factory(key)
            except CodecError as error:
                self._codecs[key] = None
                self._warn(f"viewer: without {key}: {error}")
        return self._codecs[key]


def _check_measured(row: dict[str, Any], size: int, pixels: int) -> None:
    """Raise CodecError where a row's figures are not of a file of this size and picture.

    Of a file that has no row nothing is claimed: its caption is without LPIPS.
    """
    if not {"bytes", "bpp"} <= row.keys():
        return
    if row["bytes"] != size:
        raise CodecError(f"{row['bytes']:g} bytes were measured, and this has {size}")
    if round(8 * size / row["bpp"]) != pixels:
        raise CodecError(f"the original has {pixels} pixels, which is not the one measured")


def _spread(paths: list[Path]) -> list[Path]:
    """The same paths, the first few far apart: neighbours are often of one series."""
    order = sorted(range(len(paths)), key=lambda n: int(f"{n:016b}"[::-1], 2))
    return [paths[n] for n in order]
