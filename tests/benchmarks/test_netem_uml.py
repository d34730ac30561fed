"""What the second kernel is told to do, and what is said when there is none; it itself is slow."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from benchmarks import netem_uml
from benchmarks.netem_uml import guest_script, main


def stand_in(folder: Path, script: str) -> None:
    """Programs on the path in the place of the kernel and of kmod's."""
    for name in (netem_uml.KERNEL, "insmod"):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder) + os.pathsep + os.environ["PATH"])
    monkeypatch.setattr(netem_uml, "MAPS", 0)
    return folder


def test_the_script_is_one_that_bash_takes(tmp_path: Path) -> None:
    script = guest_script(tmp_path / "a b", ["python", "x y", "--loss", "0.2"])
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert done.returncode == 0 and not done.stderr
    assert shlex.quote(str(tmp_path / "a b")) in script
    assert "python 'x y' --loss 0.2 -o /run/results/netem.json" in script


def test_what_the_guest_leaves_is_brought_back(
    tools: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The kernel finds the guest's script in its arguments, and beside it the results' folder.
    stand_in(
        tools,
        'for a; do case "$a" in init=*) d=$(dirname "${a#init=}")/results;; esac; done\n'
        "echo printed > $d/printed; echo said > $d/said; echo 0 > $d/rc\n"
        "grep -c benchmarks.netem $d/../guest > $d/netem.json; echo log > $d/netem.log",
    )
    assert main(["--rounds", "1", "-o", str(tmp_path / "out" / "link.json")]) == 0
    assert capsys.readouterr() == ("printed\n", "said\n")
    assert (tmp_path / "out" / "link.json").read_text() == "1\n"
    assert (tmp_path / "out" / "link.log").read_text() == "log\n"


def test_what_fails_in_the_guest_fails_here(tools: Path, tmp_path: Path) -> None:
    stand_in(
        tools,
        'for a; do case "$a" in init=*) d=$(dirname "${a#init=}")/results;; esac; done\n'
        "touch $d/printed $d/said; echo 2 > $d/rc",
    )
    assert main(["-o", str(tmp_path / "link.json")]) == 2
    assert not (tmp_path / "link.json").exists()


@pytest.mark.parametrize(
    ("present", "maps", "message"),
    [
        (False, 0, "is missing: install Debian's package user-mode-linux"),
        (True, 1 << 40, "vm.max_map_count is"),
        (True, 0, "the second kernel did not start; linux.uml mem=8G"),
    ],
)
def test_refusals_are_one_line(
    present: bool,
    maps: int,
    message: str,
    tools: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if present:
        stand_in(tools, "exit 0")
    else:
        monkeypatch.setenv("PATH", str(tools))
        monkeypatch.setattr(netem_uml, "KERNEL", "linux.none")
    monkeypatch.setattr(netem_uml, "MAPS", maps)
    assert main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
