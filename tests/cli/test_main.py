from __future__ import annotations

from pathlib import Path

import pytest

from compressai_vq import __version__
from compressai_vq.cli import info
from compressai_vq.cli.__main__ import main

from .conftest import Run


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"compressai-vq {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["other"], ["compress", "a.png"], ["compress", "a.png", "-o", "b", "-q", "x"]],
)
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    line = captured.err
    assert line.startswith("error: ") and line.endswith(" --help\n") and line.count("\n") == 1


def test_an_unknown_option_s_help_is_the_command_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compress", "a.png", "-o", "b", "--nonsense"])
    line = capsys.readouterr().err
    assert "--nonsense" in line and line.endswith("see compressai-vq compress --help\n")


def test_interruption(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(info, "describe", interrupt)
    result = run("info", tmp_path / "a.cvq")
    assert (result.code, result.out, result.err) == (130, "", "interrupted\n")


def test_a_library_that_cannot_be_loaded_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(_: Path) -> None:
        raise ImportError("libtorch_cpu.so: failed to map segment from shared object")

    monkeypatch.setattr(info, "describe", fail)
    result = run("info", tmp_path / "a.cvq")
    assert result.code == 2
    assert result.errors == ["error: libtorch_cpu.so: failed to map segment from shared object"]


def test_failures_of_the_system_are_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(_: Path) -> None:
        raise PermissionError(13, "Permission denied", "a.cvq")

    monkeypatch.setattr(info, "describe", fail)
    result = run("info", tmp_path / "a.cvq")
    assert result.code == 2
    assert result.errors == ["error: [Errno 13] Permission denied: 'a.cvq'"]
