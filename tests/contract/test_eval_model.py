"""``python -m compressai.utils.eval_model`` and what follows on its output."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from .conftest import run_tool

EVAL = ("-m", "compressai.utils.eval_model")


@pytest.mark.parametrize("module", ["compressai.utils.eval_model", "compressai_vq.eval_model"])
def test_pretrained(photographs: Path, module: str) -> None:
    arguments = ("-a", "mao2024-vqgan-lite", "-q", "1,5,9")
    result = run_tool("-m", module, "pretrained", photographs / "test", *arguments)
    report = json.loads(result.stdout)
    assert report["name"] == "mao2024-vqgan-lite-mse"
    rates = report["results"]["bpp"]
    assert rates == sorted(rates)
    blocks = 256 * 192 / 256
    for rate, codewords in zip(rates, (8, 128, 2048), strict=True):
        assert rate * 256 * 192 <= blocks * math.log2(codewords) * 1.1 + 64
    assert all(math.isfinite(v) for v in report["results"]["ms-ssim-rgb"])


def test_entropy_estimation_agrees_with_the_coder(photographs: Path) -> None:
    arguments = ("pretrained", photographs / "test", "-a", "mao2024-vqgan-lite", "-q", "9")
    real = json.loads(run_tool(*EVAL, *arguments).stdout)["results"]
    estimate = json.loads(run_tool(*EVAL, *arguments, "--entropy-estimation").stdout)["results"]
    pixels = 256 * 192
    bits = real["bpp"][0] * pixels - estimate["bpp"][0] * pixels
    assert abs(bits) <= 0.005 * estimate["bpp"][0] * pixels + 64
    assert real["psnr-rgb"] == pytest.approx(estimate["psnr-rgb"], abs=0.01)


def test_checkpoint_update_and_plot(photographs: Path, checkpoint: Path, tmp_path: Path) -> None:
    architecture = ("-a", "mao2024-vqgan-lite")
    update = ("-m", "compressai.utils.update_model", checkpoint, *architecture)
    run_tool(*update, "-d", tmp_path / "updated", "-n", "tiny")
    (updated,) = (tmp_path / "updated").iterdir()
    results = []
    for path in (checkpoint, updated):
        result = run_tool(
            *EVAL, "checkpoint", photographs / "test", *architecture, "-p", path,
            "-d", tmp_path, "-o", f"{path.parent.name}.json",
        )  # fmt: skip
        results.append(json.loads(result.stdout)["results"])
    # An untrained codec's files have the same size before and after, and so has its picture.
    assert results[0]["bpp"] == results[1]["bpp"]
    assert results[0]["psnr-rgb"] == results[1]["psnr-rgb"]
    json_files = sorted(tmp_path.glob("*.json"))
    figure = tmp_path / "curve.png"
    run_tool("-m", "compressai.utils.plot", "-f", *json_files, "-m", "psnr-rgb", "-o", figure)
    assert figure.stat().st_size > 1000


def test_update_model_keeps_tamings_names(tmp_path: Path) -> None:
    """CompressAI's loaders rewrite ``.downsample.``; nothing of ours may be called so."""
    make = (
        "import sys, torch\n"
        "from compressai_vq.architectures import Mao2024VQGAN\n"
        "torch.save(Mao2024VQGAN(8, 32, width=32).state_dict(), sys.argv[1])\n"
    )
    source = tmp_path / "small.pth"
    run_tool("-c", make, source)
    update = ("-m", "compressai.utils.update_model", source, "-a", "mao2024-vqgan")
    run_tool(*update, "-d", tmp_path / "updated")
    assert len(list((tmp_path / "updated").iterdir())) == 1
