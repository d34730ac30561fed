"""Names that cannot be what a command wants are refused before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from compressai_vq.cli.__main__ import main
from compressai_vq.picture import write_picture

from ..fixtures import photograph
from .conftest import Run, files_below


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("compress a.png -o ''", "-o/--output: an empty name; write . for the current folder"),
        ("compress '' -o out", "IN: an empty name"),
        ("compress a.png -o a.cvq --weights ''", "--weights: an empty name"),
        ("decompress a.cvq -o ''", "-o/--output: an empty name"),
        ("info ''", "FILE: an empty name"),
        ("eval - --lpips", "IN: - is no standard stream here; of a file write ./-"),
        ("eval a.png -o -", "-o/--output: - is no standard stream here"),
        ("eval a.png -o out/", "-o/--output: out/ is the name of a folder, and this is a file's"),
        ("packetize a.cvq -o -", "-o/--output: - is no standard stream here"),
        ("depacketize - -o a.png", "PACKET: - is no standard stream here"),
        ("depacketize a.cvp -o out/", "-o/--output: out/ is the name of a folder"),
        ("depacketize a.cvp -o a.png --mask ''", "--mask: an empty name"),
        ("receive :9 -o out/", "-o/--output: out/ is the name of a folder"),
        ("import - -o a.safetensors", "CKPT: - is no standard stream here"),
        ("import a.ckpt -o -", "-o/--output: - is no standard stream here"),
        ("export-onnx -o ''", "-o/--output: an empty name"),
        ("train export --data '' --runs - -o a", "--runs: - is no standard stream here"),
    ],
)
def test_names_that_cannot_be(
    command: str,
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main([part.strip("'") for part in command.split()])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: argument ") and words in line
    assert files_below(tmp_path) == set()


def test_a_name_that_ends_as_folders_do_is_a_folder(
    run: Run, photographs: Path, weights_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("-q", 1, "--weights", weights_file)
    china = photographs / "china.png"
    assert run("compress", china, "-o", f"{out}/results.v2/", *options).code == 0
    assert run("compress", china, "-o", f"{out}/odd.cvq/", *options).code == 0
    assert files_below(out) == {"results.v2/china.cvq", "odd.cvq/china.cvq"}
    (out / "file.cvq").write_bytes(b"")
    result = run("compress", china, "-o", f"{out}/file.cvq/", "--force", *options)
    (line,) = result.errors
    assert result.code == 2 and "file.cvq is a file" in line
    assert (out / "file.cvq").read_bytes() == b""
    result = run("compress", "-", "-o", f"{out}/a.cvq/", *options)
    assert "standard input needs a file" in result.errors[0]


def test_photographs_are_not_replaced_by_files(
    run: Run, weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "photo.jpg"
    write_picture(kept, photograph(16, 16))
    before = kept.read_bytes()
    monkeypatch.setattr("compressai_vq.cli.standard_streams.contents", lambda *_: before)
    result = run("compress", "-", "-o", kept, "--force", "--weights", weights_file)
    assert result.code == 2 and "has an image's ending" in result.errors[0]
    assert kept.read_bytes() == before
