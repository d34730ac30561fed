from __future__ import annotations

import hashlib
from pathlib import Path

from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import PACKAGED
from compressai_vq.prior.prior_weights import PriorWeights

from ..fixtures import photograph
from ..transport.made_up import prior_codec, prior_weights
from .conftest import Run


def test_image(run: Run, codec: FileCodec, tmp_path: Path) -> None:
    path = tmp_path / "a.cvq"
    path.write_bytes(codec.compress(photograph(48, 64), 3))
    size = path.stat().st_size
    result = run("info", path, "--json")
    assert (result.code, result.err) == (0, "")
    assert result.json == [
        {
            "file": str(path),
            "kind": "image",
            "architecture": "mao2024-vqgan-lite",
            "quality": 3,
            "codewords": 32,
            "coding": "frequencies",
            "weights": codec.weights.fingerprint[:2].hex(),
            "width": 64,
            "height": 48,
            "bytes": size,
            "header_bytes": 13,
            "bpp": 8 * size / (48 * 64),
        }
    ]


def test_weights(run: Run, weights_file: Path) -> None:
    result = run("info", weights_file, "--json")
    (facts,) = result.json
    assert facts["kind"] == "weights"
    assert facts["fingerprint"] == hashlib.sha256(weights_file.read_bytes()).hexdigest()
    assert facts["qualities"] == list(range(1, 10))
    assert facts["frequencies"] == "made up for tests"
    assert 1_000_000 < facts["parameters"] < 12_000_000


def test_images_and_files_of_a_prior(run: Run, prior_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.cvq"
    path.write_bytes(prior_codec().compress(photograph(48, 64), 3))
    result = run("info", path, prior_file, "--json")
    assert (result.code, result.err) == (0, "")
    image, prior = result.json
    assert image["coding"] == "prior"
    assert "weights" not in image
    assert image["weights_and_prior"] == prior_weights().joint_fingerprint[:2].hex()
    joint = PriorWeights.load(prior_file).joint_fingerprint
    assert prior["weights_and_prior"] == joint.hex()
    assert prior["kind"] == "index prior"
    assert prior["fingerprint"] == hashlib.sha256(prior_file.read_bytes()).hexdigest()
    assert prior["qualities"] == list(range(1, 10))
    assert prior["parameters"] > 1000


def test_packaged_weights(run: Run) -> None:
    result = run("info")
    assert result.code == 0
    assert "architecture: mao2024-vqgan-lite\n" in result.out
    assert "qualities: [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" in result.out
    # One that is shipped must be for the weights that are.
    shipped = (PACKAGED / "mao2024-vqgan-lite-prior.safetensors").exists()
    assert ("coding: prior\n" in result.out) == shipped
    assert ("prior: none\n" in result.out) != shipped
    assert ("weights_and_prior: " in result.out) == shipped


def test_bad_files_do_not_stop_the_others(
    run: Run, codec: FileCodec, weights_file: Path, tmp_path: Path
) -> None:
    good = tmp_path / "a.cvq"
    good.write_bytes(codec.compress(photograph(48, 64), 3))
    bad = {"b.cvq": good.read_bytes()[:-1], "c.txt": b"text", "d.safetensors": b"text"}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    paths = [tmp_path / name for name in (*bad, "missing.cvq")]
    result = run("info", *paths, good, weights_file, "--json")
    assert result.code == 2
    described = [row["file"] for row in result.json if "error" not in row]
    assert described == [str(good), str(weights_file)]
    assert [row["file"] for row in result.json if "error" in row] == list(map(str, paths))
    assert len(result.errors) == 4
    assert all(str(path) in line for path, line in zip(paths, result.errors, strict=True))


def test_folders_are_gone_through(run: Run, codec: FileCodec, tmp_path: Path) -> None:
    data = codec.compress(photograph(48, 64), 3)
    (tmp_path / "files" / "more").mkdir(parents=True)
    for name in ("a.cvq", "more/b.cvq", "more/c.CVQ", "d.txt"):
        (tmp_path / "files" / name).write_bytes(data)
    (tmp_path / "files" / "more" / "bad.cvq").write_bytes(b"text")
    (tmp_path / "empty").mkdir()
    result = run("info", tmp_path / "files", tmp_path / "empty")
    assert result.code == 2
    told = [line for line in result.out.splitlines() if line.startswith("file: ")]
    found = ("a.cvq", "more/b.cvq", "more/c.CVQ")
    assert told == [f"file: {tmp_path / 'files' / name}" for name in found]
    assert result.out.count(f"bpp: {8 * len(data) / (48 * 64):.4f}\n") == 3
    assert result.errors == [
        f"error: {tmp_path}/files/more/bad.cvq: not a .cvq file",
        f"error: {tmp_path}/empty: no files that end in .cvq",
    ]


def test_what_would_be_ignored_is_refused(run: Run, weights_file: Path, prior_file: Path) -> None:
    for option, value in [
        ("--weights", weights_file),
        ("--prior", prior_file),
        ("--architecture", "mao2024-vqgan"),
    ]:
        result = run("info", weights_file, option, value)
        assert (result.code, result.out) == (2, "")
        assert result.errors == [
            f"error: {option} is of no use to what files say: leave it or them out"
        ]


def test_a_name_of_two_lines_is_told_in_one(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a\nb.cvq"
    path.write_bytes(b"text")
    for arguments in (("info", path), ("decompress", path, "-o", tmp_path / "out.png")):
        assert run(*arguments).errors == [f"error: {tmp_path}/a b.cvq: not a .cvq file"]
