"""Index maps that are encoded before training begins, and used again and again.

::

    photograph ──► view 0: a crop               ──► encoder at all rates ──► views-0.pt
               ──► view 1: the same, enlarged   ──►          "           ──► views-1.pt

At all rates the encoder takes longer than the prior's own part of a step.  An index map that is
seen again has other gaps each time, so that it goes on to teach.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..photographs import random_crops
from ..state_file import load_state, save_state
from .index_maps import IndexMaps

_SEED = 1000  # of the first view, whatever the run's: views belong to the photographs
_AT_ONCE = 8


class StoredMaps:
    """Views of photographs as index maps of all rates.

    Args:
        maps: the encoder at all rates.
        pictures: training photographs, uint8 (3, H, W).
        views: how often each photograph is encoded: random crops of it, half of them mirrored.
        crop: pixels a side, a multiple of 16.
        zoom: up to which factor photographs are enlarged for every second view.
        folder: keeps the views, so that a run that was interrupted need not encode them again.

    Raises:
        ValueError: when the folder keeps views of other weights, photographs or settings.
    """

    def __init__(
        self,
        maps: IndexMaps,
        pictures: list[Tensor],
        views: int,
        crop: int,
        zoom: float,
        folder: Path,
    ) -> None:
        self.rates = maps.rates
        self._views = []
        photographs = _digest(pictures)
        for view in range(views):
            path = folder / f"views-{view}.pt"
            enlarged = zoom if view % 2 else 1.0
            made_of = {
                "codec": maps.fingerprint.hex(),
                "pictures": photographs,
                "crop": crop,
                "zoom": enlarged,
            }
            if not path.exists():
                encoded = _encoded(maps, pictures, crop, enlarged, _SEED + view)
                save_state({"made_of": made_of, "maps": encoded}, path)
            stored = load_state(path)
            if stored["made_of"] != made_of:
                raise ValueError(f"{path} is of other weights, photographs or settings: remove it")
            self._views.append(stored["maps"])

    def batch(self, count: int, seed: int, step: int) -> dict[int, Tensor]:
        """``count`` maps of each rate; they depend on ``seed`` and ``step`` alone.

        Returns:
            By rate, int64 (count, crop/16, crop/16).
        """
        rng = np.random.default_rng((seed, step))
        batch = {}
        for place, rate in enumerate(self.rates):
            views = rng.integers(len(self._views), size=count)
            pictures = rng.integers(len(self._views[0]), size=count)
            chosen = [
                self._views[view][picture, place]
                for view, picture in zip(views, pictures, strict=True)
            ]
            batch[rate] = torch.stack(chosen).long()
        return batch


def _digest(pictures: list[Tensor]) -> str:
    """Of the photographs' pixels and sizes, in their order."""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(repr(tuple(picture.shape)).encode())
        digest.update(picture.contiguous().numpy().data)
    return digest.hexdigest()


@torch.no_grad()
def _encoded(maps: IndexMaps, pictures: list[Tensor], crop: int, zoom: float, seed: int) -> Tensor:
    """One view of every photograph: int16 (pictures, rates, crop/16, crop/16)."""
    side = crop // 16
    view = torch.empty(len(pictures), len(maps.rates), side, side, dtype=torch.int16)
    for first in range(0, len(pictures), _AT_ONCE):
        some = range(first, min(first + _AT_ONCE, len(pictures)))
        crops = [random_crops([pictures[n]], 1, crop, seed, n, zoom=zoom) for n in some]
        images = torch.cat(crops)
        for place, rate in enumerate(maps.rates):
            view[some.start : some.stop, place] = maps.encode(images, rate).to(torch.int16)
    return view
