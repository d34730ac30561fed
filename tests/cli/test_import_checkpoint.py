"""``compressai-vq import`` on a small random checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from compressai_vq.ladder_weights import LadderWeights

from ..taming_reference import Reference, save_lightning
from .conftest import Run, files_below


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "last.ckpt"
    save_lightning(path, Reference(16).state_dict())
    return path


def test_weights_are_written(
    run: Run, checkpoint: Path, photographs: Path, tmp_path: Path
) -> None:
    output = tmp_path / "new" / "weights.safetensors"
    result = run("import", checkpoint, "-o", output, "--calibrate", photographs)
    assert (result.code, result.err) == (0, "")
    weights = LadderWeights.load(output)
    assert weights.architecture == "mao2024-vqgan"
    assert f"fingerprint {weights.fingerprint.hex()}" in result.out
    assert f"qualities {weights.qualities}" in result.out and "counted on" in result.out
    # They are weights as any others.
    file = tmp_path / "a.cvq"
    picture = photographs / "china.png"
    result = run("compress", picture, "-o", file, "--weights", output, "-q", weights.qualities[0])
    assert (result.code, result.err) == (0, "")
    assert run("decompress", file, "-o", tmp_path / "a.png", "--weights", output).code == 0


def test_what_cannot_be_imported_or_written_is_one_line(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there.safetensors"
    there.write_bytes(b"there")
    (tmp_path / "text.ckpt").write_bytes(b"text")
    before = files_below(tmp_path)
    new = tmp_path / "new.safetensors"
    for arguments, words in (
        ((checkpoint, "-o", there), "exists; --force overwrites it"),
        ((there, "-o", there, "--force"), "same file"),
        ((checkpoint, "-o", tmp_path, "--force"), "is a folder"),
        ((checkpoint, "-o", there / "a.safetensors"), "is no folder to write to"),
        ((checkpoint, "-o", new, "--seed", -1), "--seed must be from 0 to 4294967295"),
        ((checkpoint, "-o", new, "--seed", 1 << 32), "--seed must be from 0 to"),
        ((tmp_path / "text.ckpt", "-o", new), "text.ckpt"),
        ((tmp_path / "missing.ckpt", "-o", new), "missing.ckpt"),
        ((checkpoint, "-o", new, "--calibrate", tmp_path / "nowhere"), "nowhere"),
    ):
        result = run("import", *arguments)
        assert (result.code, result.out) == (2, ""), arguments
        (line,) = result.errors
        assert words in line
    assert files_below(tmp_path) == before and there.read_bytes() == b"there"
