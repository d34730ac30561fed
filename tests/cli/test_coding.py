"""``--coding`` and ``--prior``, in every command that takes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from compressai_vq.container import Container
from compressai_vq.file_codec import FileCodec
from compressai_vq.picture import read_picture
from compressai_vq.prior.prior_weights import PriorWeights

from ..fixtures import photograph
from ..prior.made_up import made_up_network
from .conftest import Run, files_below


def test_there_and_back(
    run: Run, photographs: Path, weights_file: Path, prior_file: Path, codec: FileCodec
) -> None:
    source, target, back = (photographs / name for name in ("china.png", "a.cvq", "back.png"))
    both = ("--weights", weights_file, "--prior", prior_file)
    result = run("compress", source, "-o", target, "-q", 4, "--json", *both)
    assert (result.code, result.err) == (0, "")
    assert result.json[0]["coding"] == "prior"
    assert Container.from_bytes(target.read_bytes()).coding == "prior"
    result = run("decompress", target, "-o", back, "--json", *both)
    assert (result.code, result.err) == (0, "")
    assert result.json[0]["coding"] == "prior"
    expected = codec.decompress(codec.compress(photograph(64, 96), 4))
    assert torch.equal(read_picture(back, 1 << 20), expected)
    # Files of the other coding are read as well.
    target.write_bytes(codec.compress(photograph(64, 96), 4))
    assert run("decompress", target, "-o", back, "-f", *both).code == 0
    assert torch.equal(read_picture(back, 1 << 20), expected)


def test_without_the_prior(
    run: Run, photographs: Path, weights_file: Path, prior_file: Path
) -> None:
    target = photographs / "a.cvq"
    both = ("--weights", weights_file, "--prior", prior_file)
    assert run("compress", photographs / "china.png", "-o", target, *both).code == 0
    result = run("decompress", target, "-o", photographs / "b.png", "--weights", weights_file)
    assert result.code == 2
    (line,) = result.errors
    assert "coded by an index prior" in line and "--prior FILE" in line
    assert not (photographs / "b.png").exists()


def test_combinations_that_cannot_be(
    run: Run, photographs: Path, weights_file: Path, prior_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    PriorWeights(made_up_network(), bytes(32)).save(other)
    before = files_below(photographs)
    for arguments, words in (
        (("--weights", weights_file, "--coding", "prior"), "there is no index prior"),
        (("--prior", prior_file, "--coding", "frequencies"), "leave one of them out"),
        (("--weights", weights_file, "--prior", other), "belongs to weights 0000"),
        (("--weights", weights_file, "--prior", weights_file), "holds no index prior"),
        (("--weights", weights_file, "--prior", tmp_path / "none"), "cannot read the prior"),
    ):
        source = photographs / "china.png"
        result = run("compress", source, "-o", photographs / "a.cvq", *arguments)
        assert result.code == 2
        (line,) = result.errors
        assert words in line
    assert files_below(photographs) == before


@pytest.mark.parametrize("coding", ["frequencies", "prior"])
def test_eval(
    run: Run, photographs: Path, weights_file: Path, prior_file: Path, tmp_path: Path, coding: str
) -> None:
    output = tmp_path / "rows.json"
    prior = ("--prior", prior_file) if coding == "prior" else ("--coding", coding)
    arguments = ("-q", 3, "-o", output, "--weights", weights_file, *prior)
    result = run("eval", photographs / "china.png", *arguments)
    assert (result.code, result.err) == (0, "")
    report = json.loads(output.read_text())
    assert report["coding"] == coding
    assert ("prior" in report) == (coding == "prior")
