"""CompressAI's example programs for training and for coding files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from .conftest import Tool

pytestmark = pytest.mark.whole

pytest.importorskip("examples.codec", reason="this build of compressai ships no examples")


def test_training_example(forked: Tool, photographs: Path, tmp_path: Path) -> None:
    def train(*more: object) -> float:
        """One epoch; the loss on the test pictures after it."""
        result = forked(
            "-m", "examples.train", "-m", "mao2024-vqgan-lite", "-d", photographs, "-n", 0,
            "--batch-size", 2, "--test-batch-size", 2, "--patch-size", 64, 64, "--seed", 0,
            *more, cwd=tmp_path,
        )  # fmt: skip
        (line,) = (t for t in result.stdout.splitlines() if t.startswith("Test epoch"))
        return float(line.split("\tLoss:")[1].split("|")[0])

    checkpoint = tmp_path / "checkpoint.pth.tar"
    assert np.isfinite(train("-e", 1))
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert state["index_coder.quantiles"].std() > 0, "the auxiliary optimizer did nothing"
    assert np.isfinite(train("-e", 2, "--checkpoint", checkpoint))
    again = torch.load(checkpoint, weights_only=True)
    assert again["epoch"] == 1, "it did not go on"
    forked(
        "-m", "compressai.utils.eval_model", "checkpoint", photographs / "test",
        "-a", "mao2024-vqgan-lite", "-p", checkpoint,
    )  # fmt: skip


def test_coding_example(forked: Tool, photographs: Path, tmp_path: Path) -> None:
    image = photographs / "test" / "china.png"
    coded, decoded = tmp_path / "china.bin", tmp_path / "china.png"
    codec = ("-m", "examples.codec")  # it knows qualities up to 8 only
    forked(*codec, "encode", image, "--model", "mao2024-vqgan-lite", "-q", 8, "-o", coded)
    forked(*codec, "decode", coded, "-o", decoded)
    original = np.asarray(Image.open(image)).astype(float)
    result = np.asarray(Image.open(decoded)).astype(float)
    assert original.shape == result.shape
    assert np.square(original - result).mean() < np.square(original - original.mean()).mean()
