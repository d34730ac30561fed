"""Photographs in the layout that CompressAI's tools read, and a way to run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import pytest
import torch
from PIL import Image

from compressai_vq.architectures import Mao2024VQGANLite

from .forked_tools import ForkedTools, can_fork


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


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TIMEOUT = 300.0


def run_tool(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``python ARGUMENTS`` as a user would; nothing but the installed hook is loaded."""
    result = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result


class Tool(Protocol):
    """How a program is run: ``python ARGUMENTS`` in a folder."""

    def __call__(
        self, *arguments: object, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tool]:
    """As :func:`run_tool`, without importing CompressAI again where that can be helped."""
    if not can_fork():
        yield run_tool
        return
    files = tmp_path_factory.mktemp("forked")
    with ForkedTools(ENVIRONMENT) as parent:

        def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
            words = [str(argument) for argument in arguments]
            result = parent.run(words, cwd or Path.cwd(), files, TIMEOUT)
            assert result.returncode == 0, result.stderr[-2000:]
            return result

        yield run


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


@pytest.fixture(scope="session")
def listing(forked: Tool) -> dict[str, list[str]]:
    """Every place where CompressAI lists models, in a Python that imported nothing of ours."""
    return json.loads(forked("-c", LISTING).stdout)


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    """These tests show what a plain install does; a bare clone on the path is not one."""
    code = "import sys; print(*(type(finder).__module__ for finder in sys.meta_path))"
    command = [sys.executable, "-c", code]
    finders = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stdout
    if "compressai_vq.plugins.autoload" not in finders.split():
        pytest.fail("compressai-vq is not installed in this environment: pip install -e .")
