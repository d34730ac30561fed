"""Training images: a folder or WebDataset tars, decoded once, cropped at random."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

_ENDINGS = (".webp", ".png", ".jpg", ".jpeg")


def load_photographs(sources: Iterable[str | Path], min_side: int) -> list[Tensor]:
    """Every photograph in the given folders and tars, as uint8 tensors (3, H, W).

    Args:
        sources: folders (searched recursively) and WebDataset tar files.
        min_side: smaller pictures are left out: no crop of this many pixels fits in them.

    Raises:
        ValueError: when the sources hold no picture that is large enough.
    """
    pictures = []
    for source in sources:
        for data in _files(Path(source)):
            array = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
            if min(array.shape[:2]) >= min_side:
                pictures.append(torch.from_numpy(array).permute(2, 0, 1))
    if not pictures:
        raise ValueError(f"no picture of at least {min_side} pixels a side in {list(sources)}")
    return pictures


def _files(source: Path) -> Iterator[bytes]:
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.suffix.lower() in _ENDINGS:
                yield path.read_bytes()
        return
    with tarfile.open(source) as tar:
        for member in tar:
            handle = tar.extractfile(member)
            if handle is not None and member.name.lower().endswith(_ENDINGS):
                yield handle.read()


def random_crops(
    pictures: list[Tensor],
    count: int,
    size: int,
    seed: int,
    step: int,
    part: slice = slice(None),
) -> Tensor:
    """A batch of random crops, mirrored half of the time.

    The batch depends on ``seed`` and ``step`` alone, so an interrupted run goes on with the
    crops that it would have seen, and several processes share one batch by ``part``.

    Args:
        pictures: uint8 (3, H, W), on any device: crops are cut out there.
        count: pictures in the whole batch.
        size: side of a crop in pixels.
        seed: of the run.
        step: of the run.
        part: which of the batch's pictures are wanted.

    Returns:
        (count, 3, size, size) in [-1, 1], channels last, or the part of it.
    """
    rng = np.random.default_rng((seed, step))
    places = []
    for n in rng.integers(len(pictures), size=count):
        height, width = pictures[n].shape[1:]
        top = int(rng.integers(height - size + 1))
        left = int(rng.integers(width - size + 1))
        places.append((n, top, left, rng.random() < 0.5))
    crops = []
    for n, top, left, mirrored in places[part]:
        crop = pictures[n][:, top : top + size, left : left + size]
        crops.append(crop.flip(-1) if mirrored else crop)
    batch = torch.stack(crops).float().div_(127.5).sub_(1.0)
    return batch.contiguous(memory_format=torch.channels_last)
