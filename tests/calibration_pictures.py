"""Five pairs of pictures for which others published values of metrics, from a package's archive.

They are pictures of TID2013 (Ponomarenko et al., 2015), which IQA-PyTorch brings with the values
that the metrics' original code gives for them (``ResultsCalibra/results_original.csv`` of its
version 0.1.2).  ``tests.fetched`` puts them into the cache.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import Tensor

from compressai_vq.atomic_file import write_atomically
from compressai_vq.cache import cache_dir
from compressai_vq.metrics.package_archive import files_of_package
from compressai_vq.picture import read_picture

NAMES = ("I03", "I04", "I06", "I08", "I19")

_ARCHIVE = "pyiqa==0.1.2"
_SHA256 = "b29973763e0e4224c6bc515baef35d1f9fd967cab78f0fd69f6b43ec3925fefb"
_FOLDERS = {"original": "ref_dir", "distorted": "dist_dir"}


def path_of(kind: str, name: str) -> Path:
    """Where the cache has the ``"original"`` or ``"distorted"`` picture of one of `NAMES`."""
    return cache_dir() / "calibration-pictures" / f"{name}-{kind}.bmp"


def missing() -> list[tuple[str, str]]:
    """Kinds and names of what the cache lacks."""
    return [(k, n) for k in _FOLDERS for n in NAMES if not path_of(k, n).exists()]


def pairs() -> list[tuple[Tensor, Tensor]]:
    """Original and distorted pictures of `NAMES`, uint8 (3, H, W), when none is missing."""
    read = partial(read_picture, max_pixels=1 << 20)
    return [(read(path_of("original", n)), read(path_of("distorted", n))) for n in NAMES]


def fetch() -> None:
    """Put all into the cache.

    Raises:
        subprocess.CalledProcessError: when pip cannot download the archive.
        CodecError: when the cache cannot be written.
    """
    if wanted := missing():
        members = [f"pyiqa-0.1.2/ResultsCalibra/{_FOLDERS[k]}/{n}.bmp" for k, n in wanted]
        contents = files_of_package(_ARCHIVE, _SHA256, members)
        for (kind, name), data in zip(wanted, contents, strict=True):
            write_atomically(path_of(kind, name), data)
