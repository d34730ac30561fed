"""Folders with several workers: the same files and lines as with one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from compressai_vq.cli.jobs import Job, find, report, with_name
from compressai_vq.container import Container
from compressai_vq.file_codec import FileCodec
from compressai_vq.picture import ENDINGS, read_picture, write_picture
from compressai_vq.pipeline import Outcome

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


@pytest.mark.skipif(os.name != "posix", reason="links")
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


@pytest.mark.whole
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


def test_a_file_that_is_named_in_two_ways_is_one_job(
    run: Run, folder: Path, weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    image = sorted(folder.glob("*.png"))[0]
    options = ("-o", tmp_path / "out", "--weights", weights_file, "-j", 1)
    result = run("compress", image.name, image, *options)
    assert (result.code, len(result.out.splitlines())) == (0, 1)


@pytest.mark.parametrize("when", [True, False])
def test_a_file_that_comes_meanwhile_is_not_overwritten_unasked(
    run: Run,
    folder: Path,
    weights_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    when: bool,
) -> None:
    image, target = sorted(folder.glob("*.png"))[0], tmp_path / "a.cvq"
    compress = FileCodec.compress

    def slowly(self: FileCodec, picture: Tensor, quality: int) -> bytes:
        target.write_bytes(b"precious")
        return compress(self, picture, quality)

    monkeypatch.setattr(FileCodec, "compress", slowly)
    force = ["-f"] if when else []
    result = run("compress", image, "-o", target, "--weights", weights_file, *force)
    assert result.code == (0 if when else 2)
    assert (target.read_bytes() == b"precious") is not when
    assert when or "exists by now; --force overwrites it" in result.err
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.cvq"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.png", "a.png: no such file", "a.png: no such file"),
        ("a.png", "cannot read a.png", "cannot read a.png"),
        ("a.png", "cannot read ba.png", "a.png: cannot read ba.png"),
        ("not", "not a .cvq file", "not: not a .cvq file"),
        ("a", "not a .cvq file", "a: not a .cvq file"),
        ("a", "a: not a .cvq file", "a: not a .cvq file"),
        ("in/a", "cannot write in/a", "cannot write in/a"),
    ],
)
def test_a_message_has_the_name_of_its_file(name: str, text: str, expected: str) -> None:
    assert with_name(name, text) == expected


def test_names_cannot_pass_for_other_lines(
    run: Run, folder: Path, weights_file: Path, tmp_path: Path
) -> None:
    image = sorted(folder.glob("*.png"))[0]
    name = tmp_path / "new\nline\x1b[31m.png"
    name.write_bytes(image.read_bytes())
    result = run("compress", name, "-o", tmp_path / "out", "--weights", weights_file)
    assert result.code == 0
    (line,) = result.out.splitlines()
    assert r"new\nline\x1b[31m.cvq: " in line


def test_json_of_what_was_done_before_an_interruption(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def outcomes() -> Iterator[Outcome[Job, dict[str, Any]]]:
        yield Outcome(Job(Path("a"), Path("b")), {"target": "b"})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        report(outcomes(), 2, str, True, sys.stdout)
    assert json.loads(capsys.readouterr().out) == [{"target": "b"}]


def test_a_folder_gives_images_of_all_kinds_that_are_read(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 16), "red")
    for ending in ENDINGS:
        image.save(tmp_path / f"a{ending}", **({"format": "PPM"} if ending == ".pnm" else {}))
        assert read_picture(tmp_path / f"a{ending}", 1 << 10).shape == (3, 16, 16)
    assert len(find([tmp_path], ENDINGS)) == len(ENDINGS) == 17
    first = tmp_path / "a.png"
    assert find([first, tmp_path, first, tmp_path], ENDINGS)[0] == first
    assert len(find([first, tmp_path, first, tmp_path], ENDINGS)) == len(ENDINGS)
