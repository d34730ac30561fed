"""The figures that papers published, kept apart from those that were measured here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environment import ROOT

PUBLISHED = ROOT / "benchmarks" / "published.json"


@dataclass(frozen=True)
class PublishedCurve:
    """What a paper says that a codec reached.

    Attributes:
        label: the codec's name, with ``published`` and, where they differ from ours, the images.
        codec: the key of the codec here that it corresponds to; empty if there is none.
        source: where the figures are from.
        shown: whether plots show it before a reader asks for it in the legend.
        bpp: rates.
        values: metric to values, one for each rate.
    """

    label: str
    codec: str
    source: str
    shown: bool
    bpp: list[float]
    values: dict[str, list[float]]


@dataclass(frozen=True)
class PublishedRow:
    """A row of the paper's table 1.

    Attributes:
        baseline: what the paper's method is compared with.
        codecs: keys of the codecs here that stand for it, the nearest first.
        reason: why it cannot be run here; empty if it can.
        bd_rate: in percent; None where the paper has no figure.
        bd_lpips: likewise.
    """

    baseline: str
    codecs: list[str]
    reason: str
    bd_rate: float | None
    bd_lpips: float | None


class Published:
    """``benchmarks/published.json``.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path = PUBLISHED) -> None:
        self._content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self.paper: dict[str, str] = self._content["paper"]
        self.sources: dict[str, str] = self._content["sources"]
        self.vvc_check: dict[str, Any] = self._content["vvc_check"]

    def set_title(self, dataset: str) -> str:
        """The name of the images that papers used where we use ``dataset``; empty if none."""
        return self._content["datasets"].get(dataset, {}).get("title", "")

    def has_same_images(self, dataset: str) -> bool:
        """Whether papers used the very images of ``dataset``."""
        return bool(self._content["datasets"].get(dataset, {}).get("same_images"))

    def image_count(self, dataset: str) -> int:
        """How many images papers used of ``dataset``; 0 where they used others."""
        entry = self._content["datasets"].get(dataset, {})
        return entry.get("images", 0) if entry.get("same_images") else 0

    def curves(self, dataset: str) -> list[PublishedCurve]:
        """The published curves that belong beside ours on a data set."""
        entry = self._content["datasets"].get(dataset)
        if entry is None:
            return []
        images = "" if entry["same_images"] else f" on {entry['title']}"
        return [
            PublishedCurve(
                label=f"{curve['label']}, published{images}",
                codec=curve.get("codec", ""),
                source=self.sources[curve["source"]],
                shown=curve.get("shown", False),
                bpp=curve["bpp"],
                values={m: curve[m] for m in ("lpips", "dists") if m in curve},
            )
            for curve in self._content["curves"]
            if curve["set"] == entry["set"]
        ]

    def table(self, dataset: str) -> list[PublishedRow]:
        """The paper's table 1 for the images that stand beside ours."""
        name = self._content["datasets"].get(dataset, {}).get("set", "")
        return [
            PublishedRow(
                baseline=row["baseline"],
                codecs=row["codecs"],
                reason=row.get("reason", ""),
                bd_rate=row.get(name, {}).get("bd_rate"),
                bd_lpips=row.get(name, {}).get("bd_lpips"),
            )
            for row in self._content["table"]
        ]
