"""DISTS (Ding et al., 2020) from the ``dists-pytorch`` package on a checked backbone."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import DISTS_pytorch
import torch
import torch.nn as nn
import torchvision
from DISTS_pytorch.DISTS_pt import L2pooling

from .backbones import backbone, put_into, untrained
from .square_pooling import SquarePooling


def load_dists(allow_download: bool = True) -> nn.Module:
    """The DISTS metric, frozen and in evaluation mode.

    Returns:
        A module: two images (N, 3, H, W) in [0, 1] to distances (N,).

    Raises:
        CodecError: when the VGG16 backbone cannot be had.
    """
    weights = backbone("vgg16", allow_download)
    # The package asks torchvision for pretrained weights; these are put in below instead.
    network = untrained("vgg16")
    with mock.patch.object(torchvision.models, "vgg16", lambda **_: network):
        metric = DISTS_pytorch.DISTS(load_weights=False)
    heads = torch.load(
        Path(DISTS_pytorch.__file__).parent / "weights.pt", map_location="cpu", weights_only=True
    )
    metric.alpha.data.copy_(heads["alpha"])
    metric.beta.data.copy_(heads["beta"])
    put_into(metric.children(), weights)
    for stage in metric.children():
        for name, layer in stage.named_children():
            if isinstance(layer, L2pooling):
                setattr(stage, name, SquarePooling())
    return metric.eval().requires_grad_(False)
