"""Five pairs of pictures for which others published values of metrics, from a package's archive.

They are pictures of TID2013 (Ponomarenko et al., 2015), which IQA-PyTorch brings with the values
that the metrics' original code gives for them (``ResultsCalibra/results_original.csv`` of its
version 0.1.2).  ``tests.fetched`` puts them into the cache.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from compressai_vq.atomic_file import write_atomically
from compressai_vq.cache import cache_dir
from compressai_vq.metrics.package_archive import source_archive

NAMES = ("I03", "I04", "I06", "I08", "I19")

_ARCHIVE = "pyiqa==0.1.2"
_SHA256 = "b29973763e0e4224c6bc515baef35d1f9fd967cab78f0fd69f6b43ec3925fefb"
_FOLDERS = {"original": "ref_dir", "distorted": "dist_dir"}


def path_of(kind: str, name: str) -> Path:
    """Where the cache has the ``"original"`` or ``"distorted"`` picture of one of `NAMES`."""
    return cache_dir() / "calibration-pictures" / f"{name}-{kind}.bmp"


def pairs() -> list[tuple[Tensor, Tensor]]:
    """Original and distorted pictures of `NAMES`, uint8 (3, H, W).

    Raises:
        FileNotFoundError: when they have not been fetched.
    """
    return [(_read(path_of("original", n)), _read(path_of("distorted", n))) for n in NAMES]


def _read(path: Path) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def fetch() -> None:
    """Put all into the cache.

    Raises:
        subprocess.CalledProcessError: when pip cannot download the archive.
        CodecError: when the cache cannot be written.
    """
    missing = [(k, n) for k in _FOLDERS for n in NAMES if not path_of(k, n).exists()]
    if not missing:
        return
    with source_archive(_ARCHIVE, _SHA256) as tar:
        for kind, name in missing:
            handle = tar.extractfile(f"pyiqa-0.1.2/ResultsCalibra/{_FOLDERS[kind]}/{name}.bmp")
            assert handle is not None, "a file, not a folder"
            write_atomically(path_of(kind, name), handle.read())
