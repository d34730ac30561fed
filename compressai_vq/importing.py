"""A taming checkpoint to weights of ``mao2024-vqgan``: codebooks clustered, use counted."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import torch
from torch import Tensor
from tqdm import tqdm

from .clustering import cluster_codebook
from .codebook import nearest_codewords
from .errors import CodecError, CodecWarning
from .folder_search import files_in
from .index_coder import IndexCoder
from .ladder_weights import LadderWeights
from .networks.taming import TamingEncoder
from .picture import ENDINGS, read_picture, to_unit
from .pixel_range import pad_to_stride
from .rates import LADDER
from .taming_checkpoint import read_taming_checkpoint

ARCHITECTURE = "mao2024-vqgan"

_LARGE = 1024
"""Codewords of the smallest published codebook; smaller ones were fine-tuned to a rate."""

_CALIBRATION_SIDE = 1024  # pixels; of a larger photograph the centre is enough
_PIXEL_LIMIT = 1 << 26  # larger files are not decoded


def import_checkpoint(
    path: Path | str,
    calibrate: Path | str | None = None,
    seed: int = 0,
    weighted: bool = True,
    progress: bool = True,
) -> LadderWeights:
    """Turn a published taming checkpoint into a weights file's contents.

    Which qualities come of it depends on its codebook's K:

    - One of the ladder's sizes below 1024: the checkpoint was fine-tuned to that rate, and
      only that quality is given, with its codebook as it is.
    - Any other K: K-means gives every size of the ladder below K.  K itself, if it is on
      the ladder (1024, 2048), keeps the codebook as it is.  So 16384 codewords give nine
      qualities, and 1024 give the first eight.

    Args:
        path: see :func:`~.taming_checkpoint.read_taming_checkpoint`.
        calibrate: folder of photographs, searched recursively.  How often they use each
            codeword gives the frequencies; without it these are uniform.
        seed: of the K-means.
        weighted: codewords weigh in the K-means as often as the photographs use them;
            else, and without photographs, all weigh the same, as in Mao et al., 2024.
        progress: show bars.

    Raises:
        CodecError: when the checkpoint is none, has fewer than 8 codewords, or no
            photograph can be read.
    """
    path = Path(path)
    state = read_taming_checkpoint(path)
    codewords = state.pop("codebook.weight")
    qualities = _qualities(len(codewords))
    if not qualities:
        raise CodecError(f"{path} has {len(codewords)} codewords: fewer than the ladder's least")
    calibration, counts = "uniform", {}
    if calibrate is None:
        codebooks = _codebooks(codewords, qualities, None, seed, progress)
    else:
        try:
            with tempfile.TemporaryFile() as spool:
                images = _spool_latents(state, Path(calibrate), spool, progress)
                use = _count(codewords, spool) if weighted else None
                codebooks = _codebooks(codewords, qualities, use, seed, progress)
                counts = {quality: _count(words, spool) for quality, words in codebooks.items()}
        except OSError as error:
            raise CodecError(
                f"cannot calibrate in {tempfile.gettempdir()}: {error.strerror}"
            ) from error
        calibration = f"counted on {images} image{'s' if images > 1 else ''}"
    tensors = dict(state)
    for quality, words in codebooks.items():
        coder = IndexCoder(len(words))
        if quality in counts:
            coder.set_counts(counts[quality])
        tensors[f"codebooks.{quality}"] = words
        tensors[f"log2_frequencies.{quality}"] = coder.quantiles.detach().clone()
    return LadderWeights(ARCHITECTURE, calibration, tensors)


def _qualities(size: int) -> list[int]:
    """The qualities that a codebook of ``size`` gives; see :func:`import_checkpoint`."""
    if size in LADDER and size < _LARGE:
        return [LADDER.index(size) + 1]
    return [quality for quality, k in enumerate(LADDER, start=1) if k <= size]


def _codebooks(
    codewords: Tensor, qualities: list[int], counts: Tensor | None, seed: int, progress: bool
) -> dict[int, Tensor]:
    codebooks = {}
    for quality in tqdm(qualities, "clustering", unit="codebook", disable=not progress):
        size = LADDER[quality - 1]
        if size == len(codewords):
            codebooks[quality] = codewords
        else:
            codebooks[quality] = cluster_codebook(codewords, size, counts, seed)
    return codebooks


@torch.no_grad()
def _spool_latents(
    state: dict[str, Tensor], folder: Path, spool: IO[bytes], progress: bool
) -> int:
    """Write the latents of a folder's photographs to a file; returns how many there were.

    Clustering reads all latents once for each codebook, and once for their use, and they are too
    many for memory: 4 MiB a photograph.
    """
    if not folder.is_dir():
        raise CodecError(f"{folder} is not a folder of calibration images")
    encoder = TamingEncoder(
        len(state["encoder.quant_conv.weight"]), len(state["encoder.net.conv_in.weight"])
    )
    prefix = "encoder."
    encoder.load_state_dict(
        {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    )
    encoder.eval()
    images = 0
    for x in _photographs(folder, progress):
        latent = encoder(2 * pad_to_stride(x) - 1)
        spool.write(latent.permute(0, 2, 3, 1).numpy().tobytes())
        images += 1
    if not images:
        raise CodecError(f"{folder} holds no image that can be read")
    return images


def _photographs(folder: Path, progress: bool) -> Iterator[Tensor]:
    """The images in a folder, (1, 3, H, W) in [0, 1], at most 1024 pixels a side."""
    for path in tqdm(files_in(folder, ENDINGS), "calibrating", unit="image", disable=not progress):
        try:
            picture = read_picture(path, _PIXEL_LIMIT)
        except CodecError as error:
            warnings.warn(f"skipped {error}", CodecWarning, stacklevel=2)
            continue
        top, left = (max(0, side - _CALIBRATION_SIDE) // 2 for side in picture.shape[1:])
        rows = slice(top, top + _CALIBRATION_SIDE)
        yield to_unit(picture[:, rows, left : left + _CALIBRATION_SIDE])


def _count(codewords: Tensor, spool: IO[bytes]) -> Tensor:
    """How often each codeword (K, D) is the nearest to a spooled latent, int64 (K,)."""
    size, channels = codewords.shape
    counts = torch.zeros(size, dtype=torch.int64)
    row = 4 * channels
    spool.seek(0)
    while data := spool.read(row << 12):
        latents = torch.frombuffer(bytearray(data), dtype=torch.float32).view(-1, channels)
        counts += torch.bincount(nearest_codewords(latents, codewords), minlength=size)
    return counts
