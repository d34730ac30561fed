from __future__ import annotations

import pytest

from compressai_vq.errors import CodecError
from compressai_vq.training.exit_code import exit_code


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (None, 0, ""),
        (KeyboardInterrupt(), 130, "interrupted: the same command goes on\n"),
        (CodecError("no such folder"), 2, "error: no such folder\n"),
        (ValueError("not a number"), 2, "error: not a number\n"),
    ],
)
def test_how_a_command_ends(
    error: BaseException | None, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def train() -> None:
        if error is not None:
            raise error

    assert exit_code(train) == code
    assert capsys.readouterr().err == line
