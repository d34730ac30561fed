"""Rows of figures of one image: every codec at each of its qualities.

::

    image ──► codec ──► file in out/streams ──► decoded picture ──► figures ──► out/rows
                                                        └──► metrics ──► out/rows/*/pictures

A row is kept as soon as it is measured, in a file for each codec and image, so that images can
be measured by several processes and a run goes on where it was interrupted.  What metrics say
of a picture is kept as well: another coding of the same indices need not wait for them.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.codecs import MAX_PIXELS, fingerprint, prior_of
from benchmarks.shared_metrics import remembering
from compressai_vq.atomic_file import write_atomically
from compressai_vq.errors import CodecError
from compressai_vq.evaluation import Measure, evaluate_picture
from compressai_vq.machine import cpu_name
from compressai_vq.metrics.finished_rows import FinishedRows
from compressai_vq.picture import read_picture
from compressai_vq.precision import prefers_bf16
from plugins.still_codecs.still_picture import StillPictureCodec

METRICS = ("lpips", "lpips-vgg", "dists")

Prepare = Callable[[Tensor, FinishedRows | None], Measure]
"""An original, uint8 (3, H, W), and what is known of it already, if that shall be kept, to what
measures decoded pictures against it."""


@dataclass
class Outcome:
    """A codec's rows of one image; with an error, those that there are."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None


@dataclass(frozen=True)
class ImageRows:
    """What measures images.

    Args:
        work: folder that takes ``rows/<dataset>/<codec>/`` and ``streams/<dataset>/<codec>/``.
        dataset: name of the data set.
        codecs: by key.
        metrics: names that a finished row must have.
    """

    work: Path
    dataset: str
    codecs: dict[str, StillPictureCodec]
    metrics: list[str]

    def measure(
        self, path: Path, done: Callable[[Path, str], object] = lambda path, key: None
    ) -> dict[str, Outcome]:
        """All codecs on one image, whose features are computed once for all of them.

        Args:
            path: the image.
            done: told the image and the codec's key after each row.

        Returns:
            By the codec's key. A codec that fails does not stop the others.

        Raises:
            CodecError: for unknown metrics and when their backbones cannot be had.
            OSError: when the image cannot be read.
        """
        pictures = self.work / "rows" / self.dataset / "pictures"
        image = _Image(path, self.metrics, pictures / f"{path.stem}.rows")
        outcomes = {key: Outcome() for key in self.codecs}
        for key, codec in self.codecs.items():
            try:
                for row in self._rows(key, codec, image):
                    outcomes[key].rows.append(row)
                    done(path, key)
            except (CodecError, MemoryError, RuntimeError) as error:
                outcomes[key].error = " ".join(str(error).split()) or "out of memory"
        return outcomes

    def _rows(self, key: str, codec: StillPictureCodec, image: _Image) -> Iterator[dict[str, Any]]:
        """The rows of one codec, from an earlier run or measured now."""
        depends_on = {
            "fingerprint": fingerprint(codec),
            **prior_of(codec),
            "description": codec.description,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "networks": "bf16" if prefers_bf16("cpu") else "fp32",
        }
        stem = image.path.stem
        streams = self.work / "streams" / self.dataset / key
        rows = self.work / "rows" / self.dataset / key / f"{stem}.rows"
        finished = FinishedRows(rows, depends_on)
        for quality in codec.qualities:
            stream = streams / f"{stem}.q{quality}{codec.extension}"
            name = f"{image.digest} {quality}"
            row = finished.get(name)
            if row is not None and not _is_file(stream, row["sha256"]):
                row = None
            if row is not None and not set(self.metrics) <= set(row):
                # Only a metric is new: the file and the times are those of the row.
                measure = image.load()[1]
                assert measure is not None
                row = {**row, **measure(codec.decompress(stream.read_bytes()))}
                finished.add(name, row)
            elif row is None:
                picture, measure = image.load()
                keeping = _KeepsFile(codec)
                row = dict(evaluate_picture(keeping, picture, quality, measure))
                row["sha256"] = hashlib.sha256(keeping.data).hexdigest()
                row["cpu"] = cpu_name()  # rows of one result may come of several
                write_atomically(stream, keeping.data)
                finished.add(name, row)
            unasked = set(METRICS) - set(self.metrics) | {"sha256"}
            figures = {name: value for name, value in row.items() if name not in unasked}
            yield {"image": image.path.name, "quality": quality, **figures}


def measuring(names: list[str]) -> Prepare | None:
    """What measures by these metrics; None for none of them.

    Raises:
        CodecError: for unknown metrics and when their backbones cannot be had.
    """
    if not names:
        return None
    key = tuple(names)
    if key not in _loaded:
        from compressai_vq.metrics.picture_metrics import PictureMetrics

        _loaded[key] = PictureMetrics(names)
    metrics = _loaded[key]

    def prepare(original: Tensor, known: FinishedRows | None) -> Measure:
        # The original's features only if a picture has to be compared with them.
        against = functools.cache(lambda: metrics.against(original))
        return remembering(lambda decoded: against()(decoded), known)

    return prepare


_loaded: dict[tuple[str, ...], Any] = {}  # networks of metrics, once a process


class _Image:
    """An image that is read, and whose features are computed, when first needed."""

    def __init__(self, path: Path, metrics: list[str], kept: Path) -> None:
        self.path, self._metrics, self._kept = path, metrics, kept
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self._prepare = measuring(metrics)
        self._loaded: tuple[Tensor, Measure | None] | None = None

    def load(self) -> tuple[Tensor, Measure | None]:
        if self._loaded is None:
            picture = read_picture(self.path, MAX_PIXELS)
            depends_on = {"original": self.digest, "metrics": self._metrics}
            known = FinishedRows(self._kept, depends_on)
            self._loaded = picture, self._prepare(picture, known) if self._prepare else None
        return self._loaded


class _KeepsFile:
    """A codec that remembers the file it wrote last."""

    def __init__(self, codec: StillPictureCodec) -> None:
        self._codec = codec
        self.data = b""

    def compress(self, picture: Tensor, quality: int) -> bytes:
        self.data = self._codec.compress(picture, quality)
        return self.data

    def decompress(self, data: bytes) -> Tensor:
        return self._codec.decompress(data)


def _is_file(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest
