"""The state of a run, in a file and out of it."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from compressai_vq.errors import CodecError
from compressai_vq.training.state_file import load_state, save_state

STATE = {"step": 3, "model": {"weight": torch.arange(6.0).view(2, 3)}, "commits": ["a"]}


@pytest.mark.parametrize("mmap", [False, True])
def test_there_and_back(tmp_path: Path, mmap: bool) -> None:
    path = tmp_path / "state.pt"
    save_state({"step": 0}, path)
    save_state(STATE, path)
    found = load_state(path, mmap=mmap)
    assert (found["step"], found["commits"]) == (3, ["a"])
    assert torch.equal(found["model"]["weight"], STATE["model"]["weight"])  # type: ignore[index]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_damage_is_one_line(tmp_path: Path, kept: float, mmap: bool) -> None:
    path = tmp_path / "state.pt"
    save_state(STATE, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept if kept > 1 else kept * len(data))])
    with pytest.raises(CodecError, match="is damaged: remove it to begin this anew") as caught:
        load_state(path, mmap=mmap)
    assert "\n" not in str(caught.value)


def test_other_files(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CodecError, match="no state of a run"):
        load_state(tmp_path / "list.pt")
    with pytest.raises(CodecError, match=r"cannot read .*no\.pt: No such file"):
        load_state(tmp_path / "no.pt")


def test_what_another_programs_file_lacks_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save({"state_dict": {}}, path)
    state = load_state(path)
    assert state.get("step") is None
    with pytest.raises(CodecError, match=r"state\.pt is no state of such a run, without step"):
        state["step"]


@pytest.mark.parametrize(
    ("error", "told", "words"),
    [
        (RuntimeError("Writer failed\nand more"), CodecError, r"state.pt: Writer failed$"),
        (
            OSError(28, "No space left on device"),
            CodecError,
            r"state.pt: No space left on device$",
        ),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
    ],
)
def test_what_was_there_stays_when_writing_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    told: type[BaseException],
    words: str,
) -> None:
    path = tmp_path / "state.pt"
    save_state(STATE, path)
    before = path.read_bytes()

    def fail(state: object, file: BinaryIO) -> None:
        file.write(b"half")
        raise error

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(told, match=words):
        save_state(STATE, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(CodecError, match="cannot write"):
        save_state(STATE, tmp_path / "no folder" / "state.pt")
