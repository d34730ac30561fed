from __future__ import annotations

import os
from pathlib import Path

import pytest

from compressai_vq.folder_search import files_in

needs_links = pytest.mark.skipif(os.name != "posix", reason="links")


def _made(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def _names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in files_in(folder, (".png", ".jpg"))]


def test_files_of_all_depths_by_their_endings(tmp_path: Path) -> None:
    _made(
        tmp_path,
        "b.png",
        "a/c.JPG",
        "a/d.txt",
        "a/b/c/d.jpg",
        "e.png/f.png",
        ".hidden.png",
        "a/._c.JPG",
    )
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
