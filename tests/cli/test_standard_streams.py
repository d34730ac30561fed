"""``-`` for standard input and output: the file alone goes there, words go to standard error."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from compressai_vq.cli import standard_streams
from compressai_vq.cli.__main__ import main
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.picture import image_file, read_picture, write_picture

from ..fixtures import photograph
from .conftest import Run
from .test_process import ENVIRONMENT

pytestmark = pytest.mark.whole


def give(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def printed(*arguments: object, capsys: pytest.CaptureFixture[bytes]) -> tuple[bytes, str]:
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 0
    captured = capsys.readouterr()
    return captured.out, captured.err.decode()


@pytest.mark.parametrize("as_json", [False, True])
def test_there_and_back(
    as_json: bool,
    weights_file: Path,
    codec: FileCodec,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    picture = photograph(48, 64)
    options = ("-o", "-", "--weights", weights_file, *(["--json"] if as_json else []))
    give(image_file(Path("a.png"), picture), monkeypatch)
    file, words = printed("compress", "-", "-q", 3, *options, capsys=capfdbinary)
    assert file == codec.compress(picture, 3)
    assert ('"bytes"' if as_json else f"-: {len(file)} bytes") in words
    give(file, monkeypatch)
    image, words = printed("decompress", "-", *options, capsys=capfdbinary)
    assert torch.equal(read_picture(Path("-"), 1 << 20, contents=image), codec.decompress(file))
    assert ('"width": 64' if as_json else "-: 64x48") in words


def test_one_side_only(
    run: Run,
    weights_file: Path,
    codec: FileCodec,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    picture = photograph(48, 64)
    give(image_file(Path("a.png"), picture), monkeypatch)
    result = run("compress", "-", "-o", "a.cvq", "--weights", weights_file)
    assert (result.code, result.err) == (0, "")
    assert Path("a.cvq").read_bytes() == codec.compress(picture, 9)
    give(Path("a.cvq").read_bytes(), monkeypatch)
    assert "quality: 9" in run("info", "-").out


def test_words_when_it_cannot_be(
    run: Run, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    china, flower = photographs / "china.png", photographs / "more" / "flower.jpg"
    for arguments, reason in [
        ((china, flower, "-o", "-"), "of one file, not of several"),
        (("-", china, "-o", photographs / "out"), "of one file, not of several"),
        ((photographs, "-o", "-"), f"{photographs} is a folder"),
        ((photographs / "none.png", "-o", "-"), "no such file"),
        (("-", "-o", photographs / "out"), "standard input needs a file, such as"),
    ]:
        result = run("compress", *arguments)
        (line,) = result.errors
        assert (result.code, result.out) == (2, "") and reason in line
    for words, reason in [(b"", "the file is empty"), (b"text", "not a .cvq file")]:
        give(words, monkeypatch)
        (line,) = run("compress", "-", "-o", "-").errors
        assert line == "error: -: not an image that Pillow can read"
        give(words, monkeypatch)
        assert run("decompress", "-", "-o", "-").errors == [f"error: -: {reason}"]
    assert "named by the file's name" in run("packetize", "-", "-o", photographs / "p").err
    monkeypatch.setattr(sys, "stdin", None)
    assert run("info", "-").errors == ["error: -: there is no standard input"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("lines", [1, 100_000])  # less and more than is buffered
def test_text_on_a_full_disk_is_told(lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(CodecError, match="standard output: No space left on device"):
            standard_streams.show("line\n" * lines)
    monkeypatch.setattr(sys, "stdout", None)
    standard_streams.show("to nobody")


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_leaves_did_not_get_the_file(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", photograph(16, 16))
    command = [sys.executable, "-m", "compressai_vq", "compress", str(tmp_path / "a.png")]
    with subprocess.Popen(
        [*command, "-o", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert b"-: standard output: Broken pipe" in process.stderr.read()
    assert process.returncode == 2
    closed = ["sh", "-c", f"{shlex.join([*command, '-o', '-'])} >&-"]
    done = subprocess.run(closed, capture_output=True, env=ENVIRONMENT)
    assert done.returncode == 2 and b"there is no standard output" in done.stderr
