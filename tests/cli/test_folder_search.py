from __future__ import annotations

import os
from pathlib import Path

import pytest

from compressai_vq.cli.folder_search import files_in
from compressai_vq.picture import write_picture

from ..fixtures import photograph
from .conftest import Run

needs_links = pytest.mark.skipif(os.name != "posix", reason="links")


def _made(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def _names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in files_in(folder, (".png", ".jpg"))]


def test_files_of_all_depths_by_their_endings(tmp_path: Path) -> None:
    _made(tmp_path, "b.png", "a/c.JPG", "a/d.txt", "a/b/c/d.jpg", "e.png/f.png", ".hidden.png")
    expected = [".hidden.png", "a/b/c/d.jpg", "a/c.JPG", "b.png", "e.png/f.png"]
    assert _names(tmp_path) == expected


@needs_links
def test_links_are_followed_once(tmp_path: Path) -> None:
    _made(tmp_path, "real/a.png", "in/b.png")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "in" / "c.png").symlink_to(tmp_path / "real" / "a.png")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "real" / "up").symlink_to(tmp_path / "in")
    assert _names(tmp_path / "in") == ["b.png", "c.png", "link/a.png"]


@needs_links
def test_what_cannot_be_read_is_named_and_the_rest_is_done(run: Run, tmp_path: Path) -> None:
    inside = tmp_path / "in"
    write_picture(inside / "a.png", photograph(16, 16))
    (inside / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(inside / "pipe.png")  # would be waited for
    result = run("compress", inside, "-o", tmp_path / "out", "-q", "1")
    assert result.code == 2
    (line,) = result.errors
    assert "gone.png" in line
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.cvq"]


def test_folders_that_cannot_be_looked_into_are_among_what_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _made(tmp_path, "a.png", "closed/b.png")
    scandir = os.scandir

    def refuse(folder: Path) -> object:
        if folder.name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert _names(tmp_path) == ["a.png", "closed"]
    assert files_in(tmp_path / "closed", (".png",)) == [tmp_path / "closed"]
