"""What the command lines' tests share: weights in a file, a folder of photographs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from compressai_vq.cli.__main__ import main
from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.picture import write_picture
from compressai_vq.prior.prior_weights import PriorWeights

from ..fixtures import PHOTOGRAPHS, photograph, untrained_weights
from ..prior.made_up import made_up_network
from ..taming_reference import one_thread  # noqa: F401


class Result(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines on standard error, each of which must be an error's."""
        lines = self.err.splitlines()
        assert all(line.startswith("error: ") for line in lines), self.err
        return lines

    @property
    def json(self) -> Any:
        """Standard output, parsed."""
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in this process."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up weights."""
    path = tmp_path_factory.mktemp("weights") / "made-up.safetensors"
    untrained_weights().save(path)
    return path


@pytest.fixture(scope="session")
def prior_file(weights_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up index prior for those weights."""
    path = tmp_path_factory.mktemp("prior") / "made-up-prior.safetensors"
    PriorWeights(made_up_network(), LadderWeights.load(weights_file).fingerprint).save(path)
    return path


@pytest.fixture(scope="session")
def codec(weights_file: Path) -> FileCodec:
    """The codec of those weights, as the commands make it."""
    return FileCodec(LadderWeights.load(weights_file))


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder: one photograph at the top, one JPEG and one image below."""
    folder = tmp_path / "photographs"
    (folder / "more" / "deep").mkdir(parents=True)
    write_picture(folder / "china.png", photograph(64, 96))
    with Image.open(PHOTOGRAPHS[1]) as image:  # a third of its side: many tests compress it
        image.reduce(3).save(folder / "more" / "flower.jpg")
    write_picture(folder / "more" / "deep" / "odd.webp", photograph(33, 17, 1))
    (folder / "notes.txt").write_text("not an image, and not named like one")
    return folder


def files_below(folder: Path) -> set[str]:
    """Names of all files in a folder, hidden ones too."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
