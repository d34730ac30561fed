"""HiFiC in CompressAI's own tools after nothing but an install."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from compressai_vq.plugins.hific.codec import HiFiC

from .conftest import Tool, run_tool

pytestmark = pytest.mark.whole


def test_hific_is_listed_everywhere(listing: dict[str, list[str]]) -> None:
    for place, names in listing.items():
        assert "hific" in names, place


def test_a_start_of_python_does_not_import_it() -> None:
    code = "import sys; print([name for name in sys.modules if 'hific' in name])"
    assert run_tool("-c", code).stdout.strip() == "[]"


def test_eval_model_codes_with_a_checkpoint(
    forked: Tool, photographs: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    path = tmp_path / "small.pth"
    codec = HiFiC(latent_channels=6, widths=(4, 5, 6, 7, 8), blocks=2, hyper_channels=4)
    torch.save({"state_dict": codec.state_dict()}, path)
    arguments = ("checkpoint", photographs / "test", "-a", "hific", "-p", path)
    results = json.loads(forked("-m", "compressai.utils.eval_model", *arguments).stdout)
    codec.eval().update(force=True)
    sizes = []
    for file in sorted((photographs / "test").iterdir()):
        with Image.open(file) as image:
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        strings = codec.compress(pixels[None].float() / 255)["strings"]
        sizes.append(sum(len(one) for (one,) in strings))
    bits = results["results"]["bpp"][0] * 256 * 192
    assert bits == pytest.approx(8 * sum(sizes) / len(sizes))
    assert 0 < results["results"]["psnr-rgb"][0] < 30
