"""The published weights of ``mao2024-vqgan``: from the cache, else downloaded and converted."""

from __future__ import annotations

import shlex
from pathlib import Path

from .cache import cache_dir
from .download import fetch_once
from .errors import CodecError
from .importing import ARCHITECTURE, import_checkpoint
from .ladder_weights import LadderWeights
from .taming_checkpoint import read_taming_checkpoint

# ImageNet, f16, 16384 codewords: the folder that the README of taming-transformers links to
# under this name, and the checkpoint in it.
CHECKPOINT_NAME = "vqgan_imagenet_f16_16384.ckpt"
CHECKPOINT_URL = (
    "https://heibox.uni-heidelberg.de/d/a7530b09fed84f80a887/files/?p=%2Fckpts%2Flast.ckpt&dl=1"
)


def published_weights(progress: bool = True, url: str = CHECKPOINT_URL) -> LadderWeights:
    """The weights that the paper starts from, with uniform frequencies.

    The cache keeps the nine rates, as ``mao2024-vqgan.safetensors``, and the checkpoint
    that they are made from.  Its publisher gives no hash; so the one of the first download
    is recorded beside it, and no other file is taken after.

    Args:
        progress: show bars while downloading and clustering.
        url: of the checkpoint.

    Raises:
        CodecError: when it can neither be found nor downloaded; the message says how to
            give a file, or which file has changed.
    """
    path = cache_dir() / f"{ARCHITECTURE}.safetensors"
    if not path.exists():
        checkpoint = cache_dir() / CHECKPOINT_NAME
        _fetch(url, checkpoint, path, progress)
        import_checkpoint(checkpoint, weighted=False, progress=progress).save(path)
    weights = LadderWeights.load(path)
    if weights.architecture != ARCHITECTURE:
        raise CodecError(f"{path} holds weights of {weights.architecture}")
    return weights


def _fetch(url: str, checkpoint: Path, target: Path, progress: bool) -> None:
    def validate(part: Path) -> None:
        try:
            read_taming_checkpoint(part)
        except CodecError as error:
            raise CodecError(f"{url} does not give the checkpoint") from error

    try:
        fetch_once(url, checkpoint, validate, progress)
    except CodecError as error:
        if checkpoint.exists():
            raise
        raise CodecError(
            f"{error}; or get {CHECKPOINT_NAME} yourself and run: "
            f"compressai-vq import {CHECKPOINT_NAME} -o {shlex.quote(str(target))}"
        ) from error
