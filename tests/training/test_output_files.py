"""Whether weights can be written, before they are trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from compressai_vq.errors import CodecError
from compressai_vq.training.output_files import check_output


@pytest.mark.parametrize("there", ["a.safetensors", "a.json"])
def test_what_is_there_stays_unless_forced(tmp_path: Path, there: str) -> None:
    output = tmp_path / "a.safetensors"
    check_output(output, force=False)
    (tmp_path / there).touch()
    with pytest.raises(CodecError, match="exists; --force overwrites it"):
        check_output(output, force=False)
    check_output(output, force=True)


def test_weights_and_what_is_known_of_them_are_two_files(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match=r"weights go to a \.safetensors file"):
        check_output(tmp_path / "a.json", force=True)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CodecError, match="is no folder to write to"):
        check_output(tmp_path / "file" / "a.safetensors", force=False)
