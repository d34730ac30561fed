"""CompressAI's example programs for training and for coding files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from .conftest import run_tool

pytest.importorskip("examples.codec", reason="this build of compressai ships no examples")


def test_training_example(photographs: Path, tmp_path: Path) -> None:
    arguments = ("-m", "mao2024-vqgan-lite", "-d", photographs, "-e", 2, "-n", 0)
    sizes = ("--batch-size", 2, "--test-batch-size", 2, "--patch-size", 64, 64, "--seed", 0)
    result = run_tool("-m", "examples.train", *arguments, *sizes, cwd=tmp_path)
    losses = [
        float(line.split("\tLoss:")[1].split("|")[0])
        for line in result.stdout.splitlines()
        if line.startswith("Test epoch")
    ]
    assert len(losses) == 2 and all(np.isfinite(losses))
    state = torch.load(tmp_path / "checkpoint.pth.tar", weights_only=True)["state_dict"]
    assert state["index_coder.quantiles"].std() > 0, "the auxiliary optimizer did nothing"
    resume = ("--checkpoint", tmp_path / "checkpoint.pth.tar", "-e", 3)
    run_tool("-m", "examples.train", *arguments[:4], *resume, "-n", 0, *sizes, cwd=tmp_path)
    run_tool(
        "-m", "compressai.utils.eval_model", "checkpoint", photographs / "test",
        "-a", "mao2024-vqgan-lite", "-p", tmp_path / "checkpoint.pth.tar",
    )  # fmt: skip


def test_coding_example(photographs: Path, tmp_path: Path) -> None:
    image = photographs / "test" / "china.png"
    coded, decoded = tmp_path / "china.bin", tmp_path / "china.png"
    codec = ("-m", "examples.codec")  # it knows qualities up to 8 only
    run_tool(*codec, "encode", image, "--model", "mao2024-vqgan-lite", "-q", 8, "-o", coded)
    run_tool(*codec, "decode", coded, "-o", decoded)
    original = np.asarray(Image.open(image)).astype(float)
    result = np.asarray(Image.open(decoded)).astype(float)
    assert original.shape == result.shape
    assert np.square(original - result).mean() < np.square(original - original.mean()).mean()
