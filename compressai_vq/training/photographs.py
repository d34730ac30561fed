"""Training images: a folder or WebDataset tars, decoded once, cropped at random."""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import CodecError
from ..folder_search import files_in, is_beside
from ..picture import ENDINGS, read_picture

_MAX_PIXELS = 1 << 28


def load_photographs(sources: Iterable[str | Path], min_side: int) -> list[Tensor]:
    """Every photograph in the given folders and tars, as uint8 tensors (3, H, W).

    They are read as the codec reads them: upright, transparency laid on white.

    Args:
        sources: folders (searched recursively, through links too) and WebDataset tar files.
        min_side: smaller pictures are left out: no crop of this many pixels fits in them.

    Raises:
        CodecError: when the sources hold no picture that is large enough, or one that cannot be
            read, and for files that are no tars.
    """
    pictures = []
    for source in sources:
        for name, data in _files(Path(source)):
            picture = read_picture(Path(source, name), _MAX_PIXELS, contents=data)
            if min(picture.shape[1:]) >= min_side:
                pictures.append(picture)
    if not pictures:
        raise CodecError(f"no picture of at least {min_side} pixels a side in {list(sources)}")
    return pictures


def _files(source: Path) -> Iterator[tuple[str, bytes | None]]:
    """Names, and contents where the names are not those of files."""
    if source.is_dir():
        for path in files_in(source, ENDINGS):
            yield str(path.relative_to(source)), None
        return
    try:
        with tarfile.open(source) as tar:
            for member in tar:
                # Not links, which may lead nowhere or to themselves.
                if not (member.isfile() and member.name.lower().endswith(ENDINGS)):
                    continue
                if is_beside(member.name.rpartition("/")[2]):
                    continue
                handle = tar.extractfile(member)
                if handle is not None:
                    yield member.name, handle.read()
            _check_end(tar)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise CodecError(f"{source} is neither a folder nor a whole tar file") from error


def _check_end(tar: tarfile.TarFile) -> None:
    """Raise TarError unless a tar whose members were gone through is whole.

    At a damaged header, or where the file ends early, going through them ends without a word.
    """
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("its end is missing")
    while tar.fileobj.read(1 << 20):  # what is compressed has its checksum at the end
        pass


def random_crops(
    pictures: list[Tensor],
    count: int,
    size: int,
    seed: int,
    step: int,
    part: slice = slice(None),
    surround: bool = False,
    zoom: float = 1.0,
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
        surround: whether pictures go on beyond their edges as in mirrors, on all sides, so that
            crops may be larger than pictures; otherwise each has to hold a crop.
        zoom: up to which factor, drawn anew each time, pictures are enlarged before.

    Returns:
        (count, 3, size, size) in [-1, 1], channels last, or the part of it.
    """
    rng = np.random.default_rng((seed, step))
    places = []
    for n in rng.integers(len(pictures), size=count):
        side = size if zoom <= 1 else int(np.ceil(size / rng.uniform(1, zoom)))
        height, width = pictures[n].shape[1:]
        top, left = (
            int(rng.integers(2 * length if surround else length - side + 1))
            for length in (height, width)
        )
        places.append((n, side, top, left, rng.random() < 0.5))
    crops = []
    for n, side, top, left, mirrored in places[part]:
        crop = mirrored_region(pictures[n], top, left, side, side).float()
        if side != size:
            crop = F.interpolate(crop[None], (size, size), mode="bicubic").clamp_(0, 255)[0]
        crops.append(crop.flip(-1) if mirrored else crop)
    batch = torch.stack(crops).div_(127.5).sub_(1.0)
    return batch.contiguous(memory_format=torch.channels_last)


def mirrored_region(picture: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A region of a picture that goes on beyond its edges as in mirrors.

    Args:
        picture: (C, H, W).
        top: the region's first row; it may lie above the picture, and the last one below.
        left: its first column, likewise.
        height: of the region.
        width: of the region.

    Returns:
        (C, height, width), a view where it lies within the picture.
    """
    bottom, right = top + height, left + width
    if min(top, left) >= 0 and bottom <= picture.shape[1] and right <= picture.shape[2]:
        return picture[:, top:bottom, left:right]
    rows = _mirrored(top, height, picture.shape[1]).to(picture.device)
    columns = _mirrored(left, width, picture.shape[2]).to(picture.device)
    return picture[:, rows][:, :, columns]


def _mirrored(start: int, count: int, length: int) -> Tensor:
    place = torch.arange(start, start + count) % (2 * length)
    return torch.minimum(place, 2 * length - 1 - place)
