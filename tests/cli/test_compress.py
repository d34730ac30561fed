from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from compressai_vq import refinement
from compressai_vq.cli.__main__ import parser
from compressai_vq.cli.compress import Compressor
from compressai_vq.container import Container
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.metrics import backbones
from compressai_vq.picture import read_picture, write_picture
from compressai_vq.pipeline import PixelAllowance
from compressai_vq.refinement import STEPS

from ..fixtures import photograph, untrained_weights
from .conftest import Run, files_below


def test_one_file(run: Run, photographs: Path, weights_file: Path, codec: FileCodec) -> None:
    source, target = photographs / "china.png", photographs / "out.cvq"
    result = run("compress", source, "-o", target, "-q", 4, "--weights", weights_file)
    assert (result.code, result.err) == (0, "")
    assert target.read_bytes() == codec.compress(photograph(64, 96), 4)
    size = target.stat().st_size
    bpp = 8 * size / (64 * 96)
    assert result.out == f"{target}: {size} bytes, {bpp:.4f} bpp, quality 4, 96x64\n"


def test_default_quality_is_the_best(run: Run, photographs: Path, weights_file: Path) -> None:
    run("compress", photographs / "china.png", "-o", photographs, "--weights", weights_file)
    assert Container.from_bytes((photographs / "china.cvq").read_bytes()).quality == 9


@pytest.mark.parametrize("steps", ["0", "-1", "2.5", "photo.png"])
def test_steps_that_are_no_number_of_steps(
    run: Run, photographs: Path, steps: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("compress", photographs, "-o", photographs / "out", f"--refine={steps}")
    assert stopped.value.code == 2
    reason = f"argument --refine: {steps} is not a number above 0"
    line = f"error: {reason}; see compressai-vq compress --help\n"
    assert capsys.readouterr().err == line
    assert not (photographs / "out").exists()


def test_help_tells_the_default_number_of_steps(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    # It is written there because the module that knows it takes long to import.
    with pytest.raises(SystemExit):
        run("compress", "--help")
    assert f"(by default {STEPS})" in " ".join(capsys.readouterr().out.split())


def test_refinement_without_its_networks_is_one_line(
    run: Run, photographs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(name: str) -> None:
        raise OSError(name)

    monkeypatch.setenv("COMPRESSAI_VQ_CACHE", str(tmp_path / "cache"))
    for way in ("_from_torchvision", "_from_archive"):
        monkeypatch.setattr(backbones, way, fail)
    result = run("compress", photographs / "china.png", "-o", photographs / "out.cvq", "--refine")
    assert result.code == 2
    (line,) = result.errors
    assert "no alexnet backbone for LPIPS/DISTS" in line
    assert not (photographs / "out.cvq").exists()


def test_folder_keeps_its_layout(
    run: Run, photographs: Path, weights_file: Path, codec: FileCodec, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run("compress", photographs, "-o", out, "-q", 2, "--json", "--weights", weights_file)
    assert (result.code, result.err) == (0, "")
    assert files_below(out) == {"china.cvq", "more/flower.cvq", "more/deep/odd.cvq"}
    for row in result.json:
        picture = read_picture(Path(row["source"]), 1 << 25)
        data = Path(row["target"]).read_bytes()
        assert data == codec.compress(picture, 2)
        assert row["bytes"] == len(data)
        assert row["bpp"] == 8 * len(data) / (picture.shape[1] * picture.shape[2])
        assert (row["width"], row["height"]) == (picture.shape[2], picture.shape[1])
        assert row["architecture"] == "mao2024-vqgan-lite"
        assert row["quality"] == 2
        assert row["seconds"] > 0


def test_several_files(run: Run, photographs: Path, weights_file: Path, tmp_path: Path) -> None:
    inputs = (photographs / "china.png", photographs / "more" / "flower.jpg")
    # Even a name with an ending is a folder's then.
    result = run("compress", *inputs, "-o", tmp_path / "v1.0", "--weights", weights_file)
    assert result.code == 0
    assert files_below(tmp_path / "v1.0") == {"china.cvq", "flower.cvq"}


def test_bad_files_do_not_stop_the_others(
    run: Run, photographs: Path, weights_file: Path, tmp_path: Path
) -> None:
    (photographs / "empty.png").write_bytes(b"")
    (photographs / "text.jpg").write_bytes(b"text")
    whole = (photographs / "china.png").read_bytes()
    (photographs / "half.png").write_bytes(whole[: len(whole) // 2])
    (photographs / "folder.png").mkdir()
    out = tmp_path / "out"
    result = run("compress", photographs, "-o", out, "--json", "--weights", weights_file)
    assert result.code == 2
    assert files_below(out) == {"china.cvq", "more/flower.cvq", "more/deep/odd.cvq"}
    assert len(result.errors) == 3
    for name in ("empty.png", "half.png", "text.jpg"):
        assert sum(str(photographs / name) in line for line in result.errors) == 1
    failed = {Path(row["source"]).name for row in result.json if "error" in row}
    assert failed == {"empty.png", "half.png", "text.jpg"}
    assert len(result.json) == 6


def test_transparency_is_one_warning(run: Run, weights_file: Path, tmp_path: Path) -> None:
    Image.new("RGBA", (16, 16), (1, 2, 3, 100)).save(tmp_path / "a.png")
    result = run("compress", tmp_path / "a.png", "-o", tmp_path, "--weights", weights_file)
    assert result.code == 0
    assert result.err == f"warning: {tmp_path / 'a.png'}: transparency is laid on white\n"


def test_existing_files_are_kept_unless_forced(
    run: Run, photographs: Path, weights_file: Path, tmp_path: Path
) -> None:
    source, target = photographs / "china.png", tmp_path / "a.cvq"
    target.write_bytes(b"precious")
    arguments = ("compress", source, "-o", target, "--weights", weights_file)
    result = run(*arguments)
    assert result.code == 2
    assert result.errors == [f"error: {source}: {target} exists; --force overwrites it"]
    assert target.read_bytes() == b"precious"
    assert run(*arguments, "--force").code == 0
    assert target.read_bytes()[:2] == b"VQ"


@pytest.mark.parametrize("option", ["--target-bytes", "--target-bpp"])
def test_target(
    run: Run, photographs: Path, weights_file: Path, codec: FileCodec, option: str
) -> None:
    source, target = photographs / "more" / "flower.jpg", photographs / "a.cvq"
    picture = read_picture(source, 1 << 25)
    sizes = {quality: len(codec.compress(picture, quality)) for quality in range(1, 10)}
    pixels = picture.shape[1] * picture.shape[2]
    for quality in (1, 5, 9):
        # Exactly what a file has, given as it is reported, is enough for that file.
        limit = 8 * sizes[quality] / pixels if option == "--target-bpp" else sizes[quality]
        command = ("compress", source, "-o", target, option, limit, "-f", "--json")
        result = run(*command, "--weights", weights_file)
        assert result.code == 0
        best = max(q for q in sizes if sizes[q] <= sizes[quality])
        assert result.json[0]["quality"] == best
        assert target.stat().st_size == sizes[best] == result.json[0]["bytes"]


@pytest.mark.parametrize("target", [("--target-bytes", 20), ("--target-bpp", 0.0001)])
def test_target_that_no_quality_meets(
    run: Run, photographs: Path, weights_file: Path, target: tuple[str, float]
) -> None:
    out = photographs / "out"
    source = photographs / "more" / "flower.jpg"
    result = run("compress", source, "-o", out, *target, "--weights", weights_file)
    assert result.code == 2
    (line,) = result.errors
    assert str(source) in line and "no quality fits in" in line and "smallest file has" in line
    assert files_below(out) == set()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-q", 0), "quality 0 is not between 1 and 9"),
        (("-q", 10), "quality 10 is not between 1 and 9"),
        (("--target-bpp", 0), "--target-bpp must be above 0"),
        (("--target-bpp", -1), "--target-bpp must be above 0"),
        (("--target-bpp", "nan"), "--target-bpp must be above 0"),
        (("--target-bpp", "inf"), "--target-bpp must be above 0"),
        (("--target-bytes", 0), "--target-bytes must be above 0"),
        (("-a", "other"), "unknown architecture other"),
        (("-a", "mao2024-vqgan"), "is for mao2024-vqgan-lite, not mao2024-vqgan"),
        (("--device", "nonsense"), "device nonsense cannot be used"),
        (("--device", "cuda:99"), "device cuda:99 cannot be used"),
        (("--weights", "missing.safetensors"), "cannot read weights missing.safetensors"),
    ],
)
def test_options_that_cannot_be(
    run: Run, photographs: Path, weights_file: Path, options: tuple[object, ...], words: str
) -> None:
    before = files_below(photographs)
    command = ("compress", photographs, "-o", photographs / "out", "--weights", weights_file)
    result = run(*command, *options)
    assert (result.code, result.out) == (2, "")
    (line,) = result.errors
    assert words in line
    assert files_below(photographs) == before


def test_inputs_that_cannot_be(
    run: Run, photographs: Path, weights_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    china = photographs / "china.png"
    twin = photographs / "more" / "china.webp"
    write_picture(twin, photograph(16, 16))
    write_picture(tmp_path / "a.cvq.png", photograph(16, 16))
    before = files_below(tmp_path)
    cases: list[tuple[list[Path], Path, str]] = [
        ([tmp_path / "missing.png"], tmp_path / "out", "no such file"),
        ([tmp_path / ("x" * 300)], tmp_path / "out", "name too long"),
        ([tmp_path / "empty"], tmp_path / "out", "no files that end in .png"),
        ([china, tmp_path / "missing.png"], tmp_path / "out", "no such file"),
        ([china, twin], tmp_path / "out", "would both become"),
        ([photographs, china], tmp_path / "out", ""),
        ([photographs / "more"], tmp_path / "file", "is a file; several inputs need a folder"),
        ([china], tmp_path / "b.jpg", "has an image's ending"),
        ([china, twin], tmp_path / "out.cvq", "would both become"),
        ([photographs / "more"], tmp_path / "out.cvq", "looks like a file"),
        ([china], tmp_path / "file" / "a.cvq", "cannot write"),
        ([china], tmp_path / "out" / ("x" * 300 + ".cvq"), "name too long"),
    ]
    for inputs, output, words in cases:
        result = run("compress", *inputs, "-o", output, "--weights", weights_file)
        if not words:  # a file named twice is one job
            assert (result.code, result.err) == (0, "")
            continue
        assert result.code == 2
        (line,) = result.errors
        assert words in line
    made = {name for name in files_below(tmp_path) - before if not name.startswith("out/")}
    assert made == set()


def test_extreme_sizes(run: Run, weights_file: Path, tmp_path: Path) -> None:
    sizes = [(1, 1), (1, 5000), (5000, 1), (2, 17)]
    (tmp_path / "in").mkdir()
    for height, width in sizes:
        write_picture(tmp_path / "in" / f"{width}x{height}.png", photograph(height, width))
    out = run("compress", tmp_path / "in", "-o", tmp_path / "out", "--weights", weights_file)
    assert (out.code, out.err) == (0, "")
    back = run("decompress", tmp_path / "out", "-o", tmp_path / "back", "--weights", weights_file)
    assert (back.code, back.err) == (0, "")
    for height, width in sizes:
        found = read_picture(tmp_path / "back" / f"{width}x{height}.png", 1 << 25)
        assert found.shape == (3, height, width)


def test_144_megapixels_are_refused_with_the_limit(
    run: Run, weights_file: Path, tmp_path: Path
) -> None:
    Image.new("1", (12_000, 12_000)).save(tmp_path / "a.png", compress_level=1)
    result = run("compress", tmp_path / "a.png", "-o", tmp_path, "--weights", weights_file)
    assert result.code == 2
    (line,) = result.errors
    assert "12000x12000 is 144.0 megapixels; the limit is 134.2" in line
    assert files_below(tmp_path) == {"a.png"}


def test_what_a_corpus_keeps_is_what_would_be_written_now(
    weights_file: Path, codec: FileCodec, tmp_path: Path
) -> None:
    def check(data: bytes, *options: str) -> None:
        command = ["compress", "in", "-o", "out", "--weights", str(weights_file), *options]
        Compressor(parser("compress").parse_args(command)).check_finished(data)

    data = codec.compress(photograph(64, 96), 4)
    check(data, "-q", "4")
    check(data, "--target-bytes", str(len(data)))
    others = FileCodec(untrained_weights(1)).compress(photograph(64, 96), 4)
    for wrong, options, words in (
        (data, ("-q", "5"), "of quality 4, not 5"),
        (data, (), "of quality 4, not 9"),
        (data, ("--target-bytes", str(len(data) - 1)), f"{len(data)} bytes, more than"),
        (data[:-1], ("-q", "4"), "1 bytes are missing"),
        (others, ("-q", "4"), "weights"),
    ):
        with pytest.raises(CodecError, match=words):
            check(wrong, *options)


def test_settings_are_the_same_however_they_are_said(
    weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def settings(*options: str) -> dict[str, object]:
        command = ["compress", "in", "-o", "out", "--weights", str(weights_file), *options]
        return Compressor(parser("compress").parse_args(command)).settings

    nothing = {"target_bytes": None, "target_bpp": None, "refine": 0}
    assert settings() == settings("-q", "9") == nothing
    assert settings("--target-bytes", "80") == {**nothing, "target_bytes": 80}
    assert settings("--target-bpp", "0.1") != settings("--target-bpp", "0.2")
    # Without the metrics' networks, which would be fetched.
    monkeypatch.setattr(
        refinement, "Refinement", lambda steps, _, **__: SimpleNamespace(steps=steps)
    )
    for options, steps in ((("--refine",), STEPS), (("--refine", "4"), 4)):
        assert settings(*options) == {**nothing, "refine": steps}


def test_any_number_of_bits_is_a_target(run: Run, photographs: Path, weights_file: Path) -> None:
    output = photographs.parent / "any.cvq"
    options = ("--target-bpp", "1e308", "--weights", weights_file)
    assert run("compress", photographs / "china.png", "-o", output, *options).code == 0


@pytest.mark.parametrize("way", ["compress", "decompress"])
def test_large_pictures_are_let_in_a_few_at_a_time(
    run: Run,
    weights_file: Path,
    codec: FileCodec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    taken: list[int] = []
    take = PixelAllowance.take

    def spied(self: PixelAllowance, pixels: int) -> contextlib.AbstractContextManager[None]:
        assert self._limit == codec.max_pixels
        taken.append(pixels)
        return take(self, pixels)

    monkeypatch.setattr(PixelAllowance, "take", spied)
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name, width in (("a", 32), ("b", 48)):
        picture = photograph(16, width)
        if way == "compress":
            write_picture(source / f"{name}.png", picture)
        else:
            (source / f"{name}.cvq").write_bytes(codec.compress(picture, 1))
    result = run(way, source, "-o", target, "--jobs", 2, "--weights", weights_file)
    assert (result.code, result.err) == (0, "")
    assert sorted(taken) == [16 * 32, 16 * 48]


def test_full_disk_leaves_nothing(
    run: Run,
    photographs: Path,
    weights_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    out = tmp_path / "out"
    result = run("compress", photographs, "-o", out, "--json", "--weights", weights_file)
    assert result.code == 2
    assert len(result.errors) == 3
    assert all("No space left on device" in line for line in result.errors)
    assert files_below(out) == set()
    assert all("error" in row for row in json.loads(result.out))
