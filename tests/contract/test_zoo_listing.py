"""What a user sees in CompressAI after nothing but an install."""

from __future__ import annotations

import json

from .conftest import run_tool

LISTING = """
import json
import compressai.zoo, compressai.registry
from compressai.zoo.image import model_architectures
print(json.dumps({
    "image_models": list(compressai.zoo.image_models),
    "models": list(compressai.zoo.models),
    "architectures": list(model_architectures),
    "registry": list(compressai.registry.MODELS),
}))
"""


def test_both_architectures_are_listed_everywhere() -> None:
    listing = json.loads(run_tool("-c", LISTING).stdout)
    for place, names in listing.items():
        assert "mao2024-vqgan" in names, place
        assert "mao2024-vqgan-lite" in names, place


def test_codec_through_the_zoo() -> None:
    code = (
        "import torch; from compressai.zoo import image_models\n"
        "net = image_models['mao2024-vqgan-lite'](quality=5, pretrained=True).eval()\n"
        "out = net.compress(torch.rand(2, 3, 64, 64))\n"
        "print(net.decompress(out['strings'], out['shape'])['x_hat'].shape)\n"
    )
    assert "[2, 3, 64, 64]" in run_tool("-c", code).stdout
