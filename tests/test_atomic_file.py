from __future__ import annotations

import os
import shutil
import stat
import threading
from pathlib import Path

import pytest

from compressai_vq.atomic_file import (
    refuse_to_overwrite,
    write_atomically,
    write_once,
    write_together,
)
from compressai_vq.errors import CodecError


def test_writes_and_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, b"first, and longer")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0, 0o666)])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, mask: int, expected: int) -> None:
    before = os.umask(mask)
    try:
        with pytest.MonkeyPatch.context() as patch:
            # Changed for a moment, it would be so for folders that other threads make.
            patch.setattr(os, "umask", None)
            write_atomically(tmp_path / "a.bin", b"data")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == expected


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_permissions_of_what_is_overwritten_stay(tmp_path: Path, mode: int) -> None:
    (tmp_path / "a.bin").touch(mode)
    (tmp_path / "a.bin").chmod(mode)
    write_atomically(tmp_path / "a.bin", b"data")
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == mode


@pytest.mark.parametrize("failing", ["fsync", "replace", "chmod"])
def test_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(CodecError, match=r"cannot write .*a\.bin: No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.bin", b"new")
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    places = ("folder", "file/a.bin", 300 * "x")
    for place in places:
        with pytest.raises(CodecError, match="cannot write"):
            write_atomically(tmp_path / place, b"data")
    write_atomically(tmp_path / "missing" / "a.bin", b"made")
    assert (tmp_path / "missing" / "a.bin").read_bytes() == b"made"
    shutil.rmtree(tmp_path / "missing")
    left = {path.name for path in tmp_path.rglob("*")}
    assert left == {"folder", "file"}


def test_links_are_followed_and_devices_kept(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_atomically(tmp_path / "link", b"data")
    assert (tmp_path / "file").read_bytes() == b"data"
    assert (tmp_path / "link").is_symlink()
    device = Path(os.devnull)
    write_atomically(device, b"data")
    assert not device.is_file()


def test_links_to_nothing_are_refused_before_the_work(tmp_path: Path) -> None:
    link = tmp_path / "link.cvq"
    link.symlink_to("none.cvq")
    with pytest.raises(CodecError, match=r"link.cvq exists; --force overwrites it"):
        refuse_to_overwrite(link, force=False)
    refuse_to_overwrite(link, force=True)
    link.unlink()
    link.symlink_to(os.devnull)
    refuse_to_overwrite(link, force=False)


def test_writing_once_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.cvq"
    assert write_once(path, b"first", "run") is True
    before = path.stat()
    assert write_once(path, b"second", "run") is False
    assert path.read_bytes() == b"first"
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [p.name for p in path.parent.iterdir()] == ["a.cvq"]
    if os.name == "posix":
        (tmp_path / "ordinary").touch()
        assert path.stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_of_many_that_write_once_one_does(tmp_path: Path) -> None:
    path, gate = tmp_path / "a.cvq", threading.Barrier(8, timeout=20)
    made: list[int] = []

    def run(n: int) -> None:
        gate.wait()
        if write_once(path, bytes([n]), "run"):
            made.append(n)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert path.read_bytes() == bytes(made)


def test_writing_once_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    test_writing_once_keeps_what_is_there(tmp_path / "one")
    (tmp_path / "many").mkdir()
    test_of_many_that_write_once_one_does(tmp_path / "many")


def test_writing_once_failures_are_one_line_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CodecError, match=r"cannot write .*a\.cvq: No space left on device"):
        write_once(tmp_path / "a.cvq", b"data", "run")
    assert list(tmp_path.iterdir()) == []


def test_of_files_that_belong_together_none_is_written_when_one_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / name for name in "abc"]
    write_together(dict.fromkeys(paths[:2], b"old"))
    synced, calls = os.fsync, iter(range(3))

    def third_fails(file: int) -> None:
        if next(calls) == 2:
            raise OSError(28, "No space left on device")
        synced(file)

    monkeypatch.setattr(os, "fsync", third_fails)
    with pytest.raises(CodecError, match=r"cannot write .*c: No space left on device"):
        write_together(dict.fromkeys(paths, b"new"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a": b"old",
        "b": b"old",
    }
