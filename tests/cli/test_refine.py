"""``compress --refine``."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from torch import Tensor

from compressai_vq import refinement
from compressai_vq.codec import VQGANCodec
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.refinement import Refinement

from ..fixtures import photograph
from .conftest import Run


def test_refined_files(run: Run, photographs: Path, weights_file: Path, codec: FileCodec) -> None:
    try:
        refinement = Refinement(2, allow_download=False)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")
    source, target = photographs / "china.png", photographs / "out.cvq"
    result = run("compress", source, "-o", target, "--refine", 2, "--weights", weights_file)
    assert (result.code, result.err) == (0, "")
    refining = FileCodec(codec.weights, refinement=refinement)
    assert target.read_bytes() == refining.compress(photograph(64, 96), 9)


def test_one_picture_at_a_time_is_refined(
    run: Run,
    photographs: Path,
    weights_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_once: list[int] = []
    inside = 0

    class Counting:
        steps = 4

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def indices(self, codec: VQGANCodec, picture: Tensor, *_: object) -> Tensor:
            nonlocal inside
            inside += 1
            at_once.append(inside)
            time.sleep(0.1)
            inside -= 1
            return codec.encode(picture[None])[0]

    monkeypatch.setattr(refinement, "Refinement", Counting)
    monkeypatch.setattr("compressai_vq.pipeline.usable_cores", lambda: 4)
    options = ("--refine", "4", "--weights", weights_file)
    assert run("compress", photographs, "-o", tmp_path / "one", *options).code == 0
    assert max(at_once) == 1 < len(at_once)
    assert run("compress", photographs, "-o", tmp_path / "two", *options, "-j", 2).code == 0
    assert max(at_once) == 2
