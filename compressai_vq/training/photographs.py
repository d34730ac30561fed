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


def random_crops(pictures: list[Tensor], count: int, size: int, seed: int, step: int) -> Tensor:
    """A batch of random crops, mirrored half of the time.

    The batch depends on ``seed`` and ``step`` alone, so an interrupted run goes on with the
    crops that it would have seen.

    Returns:
        (count, 3, size, size) in [-1, 1], channels last.
    """
    rng = np.random.default_rng((seed, step))
    crops = []
    for n in rng.integers(len(pictures), size=count):
        picture = pictures[n]
        top = int(rng.integers(picture.shape[1] - size + 1))
        left = int(rng.integers(picture.shape[2] - size + 1))
        crop = picture[:, top : top + size, left : left + size]
        crops.append(crop.flip(-1) if rng.random() < 0.5 else crop)
    batch = torch.stack(crops).float().div_(127.5).sub_(1.0)
    return batch.contiguous(memory_format=torch.channels_last)
