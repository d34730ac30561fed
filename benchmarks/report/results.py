"""Stored results of codecs as rate-distortion curves."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.codecs import CODECS
from compressai_vq.errors import CodecError

DATASETS = {"kodak": "Kodak", "clic2025-8": "CLIC2025-8"}
"""Folder names to what people call them; any other folder keeps its name."""


@dataclass(frozen=True)
class Metric:
    """A measure of quality.

    Attributes:
        key: its name in result files.
        title: its name for people, with the backbone where there is one.
        higher_is_better: which way is good.
        digits: digits after the point that are worth showing.
        unit: empty for numbers without one.
    """

    key: str
    title: str
    higher_is_better: bool
    digits: int
    unit: str = ""

    @property
    def direction(self) -> str:
        """Which way is better, in words."""
        return "higher is better" if self.higher_is_better else "lower is better"


METRICS = (
    Metric("lpips", "LPIPS (AlexNet)", False, 3),
    Metric("dists", "DISTS (VGG16)", False, 3),
    Metric("lpips-vgg", "LPIPS (VGG16)", False, 3),
    Metric("psnr-rgb", "PSNR", True, 2, "dB"),
    Metric("ms-ssim-rgb", "MS-SSIM", True, 3),
)


class Points(NamedTuple):
    """The points of a curve, in order of rate: bits per pixel, a metric, the codec's setting."""

    bpp: list[float]
    values: list[float]
    quality: list[float]


@dataclass(frozen=True)
class Curve:
    """What one codec reached on one data set.

    Attributes:
        dataset: the folder's name, such as ``kodak``.
        codec: the codec's key.
        label: its name for people.
        description: what the result file says about it.
        fingerprint: of its weights or settings; empty if it has none.
        machine: what it was measured on.
        means: figure to means over images, one for each quality, in order of rate.
        rows: the figures of each image and quality.
    """

    dataset: str
    codec: str
    label: str
    description: str = ""
    fingerprint: str = ""
    machine: dict[str, Any] = field(default_factory=dict)
    means: dict[str, list[float]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def points(self, metric: str) -> Points:
        """The points of a metric; none where it was not measured."""
        values = self.means.get(metric, [])
        qualities = self.means.get("quality", self.means["bpp"])
        kept = [
            row
            for row in zip(self.means["bpp"], values, qualities, strict=False)
            if _is_finite(row[1])
        ]
        return Points(*(([row[n] for row in kept]) for n in range(3)))

    @property
    def images(self) -> frozenset[str]:
        """Names, without endings, of the images it was measured on."""
        return frozenset(Path(row["image"]).stem for row in self.rows)

    @property
    def has_several_rates(self) -> bool:
        """Whether anything can be compared along it: one point is no curve."""
        return len(self.means["bpp"]) > 1

    def median(self, name: str) -> float | None:
        """Median of a figure over images and qualities; None where it was not measured."""
        values = [row[name] for row in self.rows if _is_finite(row.get(name))]
        return statistics.median(values) if values else None

    def row(self, image: str, quality: int) -> dict[str, Any]:
        """The finite figures of one image, named without ending; empty if there are none."""
        for row in self.rows:
            if Path(row["image"]).stem == image and round(row["quality"]) == quality:
                return {name: value for name, value in row.items() if _is_finite(value)}
        return {}


def load_results(folder: Path) -> dict[str, dict[str, Curve]]:
    """All results in ``folder/<dataset>/<codec>.json``.

    Returns:
        Data set to codec to curve, ours first and the others as ``benchmarks.codecs`` has them.

    Raises:
        CodecError: when there are none, or one of the files is not a result file.
    """
    results: dict[str, dict[str, Curve]] = {}
    for path in sorted(folder.glob("*/*.json"), key=_order):
        curve = read_curve(path)
        results.setdefault(curve.dataset, {})[curve.codec] = curve
    if not results:
        raise CodecError(
            f"{folder} has no results (DATASET/CODEC.json); run python -m benchmarks.compare"
        )
    known = [name for name in DATASETS if name in results]
    return {name: results[name] for name in [*known, *sorted(set(results) - set(known))]}


def read_curve(path: Path) -> Curve:
    """One result file; the name of its folder is that of the data set.

    Raises:
        CodecError: when it cannot be read or lacks what every result file has.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        means: dict[str, list[float]] = content["results"]
        lengths = {len(values) for values in means.values()}
        rates = means["bpp"]
        if len(lengths) != 1 or not rates or not all(_is_finite(rate) for rate in rates):
            raise ValueError("its lists are empty or differ in length")
        rows = content.get("images", [])
        if any(not (isinstance(row["image"], str) and _is_finite(row["quality"])) for row in rows):
            raise ValueError("a row without the name of its image or its quality")
        texts = [content.get(name) or "" for name in ("label", "description", "fingerprint")]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("label, description and fingerprint are texts")
        machine = content.get("machine") or {}
        if not isinstance(machine, dict):
            raise ValueError("machine is a table")
        label, description, fingerprint = texts
        by_rate = sorted(range(len(rates)), key=lambda n: rates[n])
        return Curve(
            dataset=path.parent.name,
            codec=path.stem,
            label=label or _label(path.stem) or content["name"],
            description=description,
            fingerprint=fingerprint,
            machine=machine,
            means={name: [values[n] for n in by_rate] for name, values in means.items()},
            rows=rows,
        )
    except OSError as error:
        raise CodecError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise CodecError(f"{path} is not a result file ({reason}); make it anew") from None


def dataset_title(name: str) -> str:
    """A data set's name for people."""
    return DATASETS.get(name, name)


def _label(codec: str) -> str:
    return CODECS[codec].label if codec in CODECS else ""


def _order(path: Path) -> tuple[int, str]:
    known = list(CODECS)
    return known.index(path.stem) if path.stem in CODECS else len(known), path.stem


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
