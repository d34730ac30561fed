"""Bad arguments are one line and exit code 2."""

from __future__ import annotations

import pytest

from compressai_vq.argument_parser import ArgumentParser, positive


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--number", "0"], "argument --number: 0 is not a number above 0"),
        (["--number", "1.5"], "1.5 is not a number above 0"),
        (["--number", "\N{SUPERSCRIPT TWO}"], "is not a number above 0"),
        (["--other"], "unrecognized arguments: --other"),
    ],
)
def test_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = ArgumentParser(prog="program")
    parser.add_argument("--number", type=positive)
    assert parser.parse_args(["--number", "12"]).number == 12
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert line.startswith("error: ") and words in line and line.endswith("see program --help")


def test_a_command_s_help_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    parser = ArgumentParser(prog="program")
    parser.command = "make"
    with pytest.raises(SystemExit):
        parser.parse_args(["--other"])
    assert capsys.readouterr().err.endswith("see program make --help\n")
