"""What a user sees in CompressAI after nothing but an install."""

from __future__ import annotations

import pytest

from .conftest import Tool

pytestmark = pytest.mark.whole


def test_both_architectures_are_listed_everywhere(listing: dict[str, list[str]]) -> None:
    for place, names in listing.items():
        assert "mao2024-vqgan" in names, place
        assert "mao2024-vqgan-lite" in names, place


def test_codec_through_the_zoo(forked: Tool) -> None:
    code = (
        "import torch; from compressai.zoo import image_models\n"
        "net = image_models['mao2024-vqgan-lite'](quality=5, pretrained=True).eval()\n"
        "out = net.compress(torch.rand(2, 3, 64, 64))\n"
        "print(net.decompress(out['strings'], out['shape'])['x_hat'].shape)\n"
    )
    assert "[2, 3, 64, 64]" in forked("-c", code).stdout
