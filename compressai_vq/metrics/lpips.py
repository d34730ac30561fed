"""LPIPS (Zhang et al., 2018) from the ``lpips`` package on checked backbones."""

from __future__ import annotations

from unittest import mock

import lpips
import torch.nn as nn
import torchvision

from .backbones import backbone, put_into, untrained

_BACKBONES = {"alex": "alexnet", "vgg": "vgg16"}


def load_lpips(net: str = "alex", allow_download: bool = True) -> nn.Module:
    """The LPIPS metric, frozen and in evaluation mode.

    Args:
        net: ``"alex"`` (what papers on compression report) or ``"vgg"``.
        allow_download: whether the backbone may be fetched when the cache has none.

    Returns:
        A module: two images (N, 3, H, W) in [-1, 1] to distances (N, 1, 1, 1).

    Raises:
        CodecError: when the backbone cannot be had.
    """
    weights = backbone(_BACKBONES[net], allow_download)
    network = untrained(_BACKBONES[net])
    with mock.patch.object(torchvision.models, _BACKBONES[net], lambda **_: network):
        metric = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    put_into(metric.net.children(), weights)
    return metric.eval().requires_grad_(False)
