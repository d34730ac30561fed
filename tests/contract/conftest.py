"""Photographs in the layout that CompressAI's tools read, and a way to run them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from PIL import Image

from compressai_vq.architectures import Mao2024VQGANLite


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``train`` and ``test`` crops of scikit-learn's sample photographs."""
    root = tmp_path_factory.mktemp("photographs")
    images = files("sklearn.datasets").joinpath("images")
    for split in ("train", "test"):
        (root / split).mkdir()
        for name in ("china.jpg", "flower.jpg"):
            with images.joinpath(name).open("rb") as file:
                crop = Image.open(file).crop((100, 100, 356, 292))
            crop.save(root / split / name.replace(".jpg", ".png"))
    return root


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of K = 32, saved as CompressAI's training example saves."""
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.pth.tar"
    torch.manual_seed(0)
    torch.save({"state_dict": Mao2024VQGANLite(32).state_dict()}, path)
    return path


def run_tool(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``python ARGUMENTS`` as a user would; nothing but the installed hook is loaded."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    result = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    """These tests show what a plain install does; a bare clone on the path is not one."""
    code = "import sys; sys.exit('compressai_vq' not in sys.modules)"
    if subprocess.run([sys.executable, "-c", code], cwd="/").returncode:
        pytest.fail("compressai-vq is not installed in this environment: pip install -e .")
