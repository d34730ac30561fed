"""When the set-up command makes, updates or leaves alone its virtual environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from benchmarks import environment
from benchmarks.environment import INPUTS, environment_python


class Clone:
    """A clone whose virtual environments are real and whose installs are only counted."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.created = self.installed = 0
        self.install_works = True
        for name in INPUTS:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(name)
        monkeypatch.setattr(environment, "_create", self._create)
        monkeypatch.setattr(environment, "_install", self._install)

    def _create(self, folder: Path) -> None:
        self.created += 1
        shutil.rmtree(folder, ignore_errors=True)
        # pip would take seconds; a module of that name is all that is looked for.
        command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
        subprocess.run(command, check=True)
        variables = {"base": str(folder), "platbase": str(folder)}
        packages = Path(sysconfig.get_path("purelib", scheme="venv", vars=variables))
        (packages / "pip.py").touch()

    def _install(self, python: Path, root: Path) -> bool:
        assert python == environment_python(root / ".venv") and python.exists()
        self.installed += 1
        return self.install_works

    def ensure(self) -> tuple[int, int]:
        """How many environments a call made, and how many installs it ran."""
        created, installed = self.created, self.installed
        assert environment.ensure_environment(self.root) == environment_python(self.root / ".venv")
        return self.created - created, self.installed - installed


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    return Clone(tmp_path, monkeypatch)


def test_a_second_call_does_nothing(clone: Clone) -> None:
    assert clone.ensure() == (1, 1)
    assert clone.ensure() == (0, 0)


@pytest.mark.parametrize("name", INPUTS)
def test_a_changed_input_updates_the_environment_in_place(clone: Clone, name: str) -> None:
    clone.ensure()
    (clone.root / name).write_text("changed")
    assert clone.ensure() == (0, 1)
    assert clone.ensure() == (0, 0)


def test_an_interrupted_install_starts_afresh(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(python: Path, root: Path) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(environment, "_install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            clone.ensure()
    assert clone.ensure() == (1, 1)
    # So does the interruption of an update.
    (clone.root / "setup.cfg").write_text("changed")
    with monkeypatch.context() as patch:
        patch.setattr(environment, "_install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            clone.ensure()
    assert clone.ensure() == (1, 1)


def test_an_environment_without_its_python_is_made_anew(clone: Clone) -> None:
    clone.ensure()
    environment_python(clone.root / ".venv").unlink()
    assert clone.ensure() == (1, 1)


def test_a_moved_clone_is_installed_again(clone: Clone, tmp_path: Path) -> None:
    clone.ensure()
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in list(tmp_path.iterdir()):
        if path != moved:
            path.rename(moved / path.name)
    clone.root = moved
    assert clone.ensure()[1] == 1
    assert clone.ensure() == (0, 0)


def test_a_failing_update_is_tried_once_more_from_nothing(
    clone: Clone, capfd: pytest.CaptureFixture[str]
) -> None:
    clone.ensure()
    (clone.root / "setup.cfg").write_text("changed")
    clone.install_works = False
    with pytest.raises(SystemExit) as stopped:
        clone.ensure()
    assert stopped.value.code == 2
    assert (clone.created, clone.installed) == (2, 3)
    assert capfd.readouterr().err.splitlines()[-1].startswith("compressai-vq: pip could not")
    clone.install_works = True
    assert clone.ensure() == (1, 1)


def test_an_old_python_is_refused_in_one_line(
    clone: Clone, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    with pytest.raises(SystemExit) as stopped:
        clone.ensure()
    assert stopped.value.code == 2
    assert capfd.readouterr().err == (
        "compressai-vq: Python 3.11 or newer is needed, this is 3.9.18; run it with python3.11\n"
    )
