from __future__ import annotations

from pathlib import Path

import pytest
import torch

from compressai_vq.file_codec import FileCodec
from compressai_vq.picture import read_picture

from ..fixtures import photograph, untrained_codec
from ..forgery import forge
from .conftest import Run, files_below

LIMIT = 1 << 25


@pytest.fixture
def compressed(tmp_path: Path, codec: FileCodec) -> Path:
    """A folder with two files."""
    folder = tmp_path / "compressed"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.cvq").write_bytes(codec.compress(photograph(48, 64), 3))
    (folder / "sub" / "b.cvq").write_bytes(codec.compress(photograph(33, 17, 1), 9))
    return folder


def test_one_file(run: Run, compressed: Path, weights_file: Path, codec: FileCodec) -> None:
    source, target = compressed / "a.cvq", compressed / "a.png"
    result = run("decompress", source, "-o", target, "--weights", weights_file)
    assert (result.code, result.err) == (0, "")
    assert result.out == f"{target}: 64x48\n"
    assert torch.equal(read_picture(target, LIMIT), codec.decompress(source.read_bytes()))


def test_folder_keeps_its_layout(
    run: Run, compressed: Path, weights_file: Path, codec: FileCodec, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run("decompress", compressed, "-o", out, "--json", "--weights", weights_file)
    assert (result.code, result.err) == (0, "")
    assert files_below(out) == {"a.png", "sub/b.png"}
    for row in result.json:
        picture = read_picture(Path(row["target"]), LIMIT)
        assert torch.equal(picture, codec.decompress(Path(row["source"]).read_bytes()))
        assert (row["width"], row["height"]) == (picture.shape[2], picture.shape[1])
    assert [row["quality"] for row in result.json] == [3, 9]


def test_photographs_there_and_back(
    run: Run, photographs: Path, weights_file: Path, codec: FileCodec, tmp_path: Path
) -> None:
    files, back = tmp_path / "files", tmp_path / "back"
    options = ("--weights", weights_file)
    assert run("compress", photographs, "-o", files, "-q", 5, *options).code == 0
    assert run("decompress", files, "-o", back, *options).code == 0
    assert files_below(back) == {"china.png", "more/flower.png", "more/deep/odd.png"}
    for source in (photographs / "china.png", photographs / "more" / "flower.jpg"):
        original = read_picture(source, LIMIT)
        target = (back / source.relative_to(photographs)).with_suffix(".png")
        expected = codec.decompress(codec.compress(original, 5))
        assert torch.equal(read_picture(target, LIMIT), expected)


@pytest.mark.parametrize("ending", [".jpg", ".webp", ".tiff", ".bmp"])
def test_other_formats(run: Run, compressed: Path, weights_file: Path, ending: str) -> None:
    target = compressed / f"a{ending}"
    result = run("decompress", compressed / "a.cvq", "-o", target, "--weights", weights_file)
    assert result.code == 0
    assert read_picture(target, LIMIT).shape == (3, 48, 64)


def test_unknown_format(run: Run, compressed: Path, weights_file: Path) -> None:
    target = compressed / "a.xyz"
    result = run("decompress", compressed / "a.cvq", "-o", target, "--weights", weights_file)
    assert result.code == 2
    assert "cannot write .xyz" in result.errors[0]
    assert not target.exists()


def test_existing_files_are_kept_unless_forced(
    run: Run, compressed: Path, weights_file: Path
) -> None:
    target = compressed / "a.png"
    target.write_bytes(b"precious")
    arguments = ("decompress", compressed / "a.cvq", "-o", target, "--weights", weights_file)
    result = run(*arguments)
    assert result.code == 2
    assert "exists; --force overwrites it" in result.errors[0]
    assert target.read_bytes() == b"precious"
    assert run(*arguments, "-f").code == 0
    assert read_picture(target, LIMIT).shape == (3, 48, 64)


def test_bad_files_do_not_stop_the_others(
    run: Run, compressed: Path, weights_file: Path, tmp_path: Path, codec: FileCodec
) -> None:
    good = (compressed / "a.cvq").read_bytes()
    fingerprint = codec.weights.fingerprint[:2]
    flipped = bytearray(good)
    flipped[-3] ^= 4
    bad = {
        "empty": (b"", "the file is empty"),
        "text": (b"some text", "not a .cvq file"),
        "short": (good[:9], "truncated"),
        "cut": (good[:-5], "truncated: 5 bytes are missing"),
        "longer": (good + b"\n", "1 bytes too many"),
        "flipped": (bytes(flipped), "checksum does not fit"),
        "other": (
            untrained_codec(1).compress(photograph(16, 16), 1),
            f"made with weights 5a01 of mao2024-vqgan-lite; these are {fingerprint.hex()}",
        ),
        "huge": (forge(1 << 20, 1 << 20, bytes(8), fingerprint=fingerprint), "megapixels"),
        "hostile": (forge(48, 64, b"\xff" * 40, fingerprint=fingerprint), "index stream"),
        "newer": (forge(48, 64, good[14:], version=2), "version 2 is not known"),
    }
    for name, (data, _) in bad.items():
        (compressed / f"{name}.cvq").write_bytes(data)
    out = tmp_path / "out"
    result = run("decompress", compressed, "-o", out, "--weights", weights_file)
    assert result.code == 2
    assert files_below(out) == {"a.png", "sub/b.png"}
    assert len(result.errors) == len(bad)
    for name, (_, words) in bad.items():
        (line,) = [line for line in result.errors if str(compressed / f"{name}.cvq") in line]
        assert words in line


def test_missing_inputs(run: Run, weights_file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, words in (("missing.cvq", "no such file"), ("empty", "no files that end in .cvq")):
        result = run(
            "decompress", tmp_path / source, "-o", tmp_path / "out", "--weights", weights_file
        )
        assert (result.code, result.out) == (2, "")
        assert words in result.errors[0]
    assert not (tmp_path / "out").exists()
