"""Folders with several workers: the same files and lines as with one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from compressai_vq.cli.jobs import find
from compressai_vq.container import Container
from compressai_vq.picture import ENDINGS, read_picture, write_picture

from ..fixtures import photograph
from .conftest import Run, files_below
from .test_process import ENVIRONMENT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of many sizes, so that the first begun is not the first done, and bad files."""
    folder = tmp_path / "in"
    for n in range(12):
        side = 160 if n % 4 == 0 else 16 + 3 * n
        write_picture(folder / f"{n:02}.png", photograph(side, side + n, n % 2))
    (folder / "03-bad.png").write_bytes(b"no image")
    (folder / "09-bad.jpg").write_bytes(b"")
    Image.new("RGBA", (16, 16), (1, 2, 3, 100)).save(folder / "05-clear.png")
    return folder


@pytest.mark.parametrize("rate", [("-q", 4), ("--target-bytes", 200)])
def test_files_and_lines_are_those_of_one_worker(
    run: Run, folder: Path, weights_file: Path, tmp_path: Path, rate: tuple[object, ...]
) -> None:
    told, made = [], []
    for count in (1, 2, 4):
        out, back = tmp_path / f"out{count}", tmp_path / f"back{count}"
        options = ("--weights", weights_file, "--jobs", count)
        there = run("compress", folder, "-o", out, *rate, *options)
        again = run("decompress", out, "-o", back, *options)
        assert (there.code, again.code) == (2, 0)
        told.append([re.sub(r"(out|back)\d", "", r.out + r.err) for r in (there, again)])
        files = [p for made_in in (out, back) for p in made_in.rglob("*")]
        made.append({p.relative_to(tmp_path).parts[1]: p.read_bytes() for p in files})
        names = [line.split(":")[0] for line in there.out.splitlines()]
        assert names == sorted(names) and len(names) == 13
        problems = [Path(line.split(":")[1]).name for line in there.err.splitlines()]
        assert problems == ["03-bad.png", "05-clear.png", "09-bad.jpg"]
    assert len(made[0]) == 2 * 13
    assert made[0] == made[1] == made[2]
    assert told[0] == told[1] == told[2]


def test_json_keeps_the_order(run: Run, folder: Path, weights_file: Path, tmp_path: Path) -> None:
    options = ("-q", 2, "--weights", weights_file, "-j", 3, "--json")
    result = run("compress", folder, "-o", tmp_path / "out", *options)
    assert result.code == 2
    assert [Path(row["source"]) for row in result.json] == sorted(folder.iterdir())


def test_threads_are_given_back(run: Run, folder: Path, weights_file: Path) -> None:
    before = torch.get_num_threads()
    run("compress", folder, "-o", folder / "out", "-j", 2, "--weights", weights_file)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("count", ["0", "-1", "two", "1.5"])
def test_counts_that_cannot_be(run: Run, folder: Path, tmp_path: Path, count: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("compress", folder, "-o", tmp_path / "out", f"--jobs={count}")
    assert stopped.value.code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--force",), "--ray keeps what is there: remove those files instead of --force"),
        (("--weights", "missing.safetensors"), "cannot read weights missing.safetensors"),
    ],
)
def test_ray_with_options_that_cannot_be(
    run: Run, folder: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    result = run("compress", folder, "-o", tmp_path / "out", *options, "--ray")
    assert (result.code, result.out) == (2, "")
    assert words in result.errors[0]
    assert not (tmp_path / "out").exists()


def test_ray_without_ray(
    run: Run, folder: Path, weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    options = ("--weights", weights_file, "--ray")
    result = run("compress", folder, "-o", tmp_path / "out", *options)
    assert result.code == 2
    (line,) = result.errors
    assert line.startswith("error: --ray needs: pip install 'compressai-vq[ray]'")
    single = run("compress", folder / "00.png", "-o", tmp_path / "a.cvq", *options)
    assert "needs a folder to write to" in single.errors[0]
    assert files_below(tmp_path) == {f"in/{name}" for name in files_below(folder)}


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_interruption_leaves_whole_files_only(tmp_path: Path, weights_file: Path) -> None:
    (tmp_path / "in").mkdir()
    picture = photograph(192, 256)
    write_picture(tmp_path / "in" / "0.png", picture)
    for n in range(1, 2000):
        (tmp_path / "in" / f"{n}.png").hardlink_to(tmp_path / "in" / "0.png")
    command = ["compress", tmp_path / "in", "-o", tmp_path / "out", "-j", "2"]
    with subprocess.Popen(
        [sys.executable, "-m", "compressai_vq", *map(str, command), "--weights", weights_file],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        # A shell starts what it runs in the background with this signal ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.readline()
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        rest, error = process.communicate(timeout=200)
    assert (process.returncode, error) == (130, "interrupted\n")
    made = files_below(tmp_path / "out")
    printed = (first + rest).splitlines()
    assert 1 <= len(printed) <= len(made) < 2000
    for name in made:  # none is temporary, and none is cut off
        assert Container.from_bytes((tmp_path / "out" / name).read_bytes()).width == 256


def test_a_folder_gives_images_of_all_kinds_that_are_read(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 16), "red")
    for ending in ENDINGS:
        image.save(tmp_path / f"a{ending}")
        assert read_picture(tmp_path / f"a{ending}", 1 << 10).shape == (3, 16, 16)
    assert len(find([tmp_path], ENDINGS)) == len(ENDINGS) == 13
    first = tmp_path / "a.png"
    assert find([first, tmp_path, first, tmp_path], ENDINGS)[0] == first
    assert len(find([first, tmp_path, first, tmp_path], ENDINGS)) == len(ENDINGS)
