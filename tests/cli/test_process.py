"""Command lines in processes of their own: what only shows there."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from compressai_vq.container import Container
from compressai_vq.picture import write_picture

from ..fixtures import photograph
from .conftest import files_below

pytestmark = pytest.mark.whole

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def start(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "compressai_vq", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)


def test_photographs_there_and_back_with_the_packaged_weights(
    photographs: Path, tmp_path: Path
) -> None:
    files, back = tmp_path / "files", tmp_path / "back"
    first = start("compress", photographs, "-o", files, "-q", "1")
    assert (first.returncode, first.stderr) == (0, "")
    second = start("decompress", files, "-o", back)
    assert (second.returncode, second.stderr) == (0, "")
    assert files_below(back) == {"china.png", "more/flower.png", "more/deep/odd.png"}


def test_errors_are_lines_and_a_code(tmp_path: Path, weights_file: Path) -> None:
    for name in ("a.cvq", "b.cvq"):
        (tmp_path / name).write_bytes(b"text")
    out = tmp_path / "out"
    result = start("decompress", tmp_path, "-o", out, "--weights", weights_file)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"error: {tmp_path / name}: not a .cvq file" for name in ("a.cvq", "b.cvq")
    ]
    assert not out.exists() or files_below(out) == set()


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_leaves_is_no_error() -> None:
    command = [sys.executable, "-m", "compressai_vq", "info", "--json"]
    # Buffered, as it is for most: what is written at the end is written to nobody.
    environment = {k: v for k, v in ENVIRONMENT.items() if k != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_leaves_a_folder_leaves_nothing_undone(tmp_path: Path) -> None:
    for n in range(4):
        write_picture(tmp_path / "in" / f"{n}.png", photograph(16, 16))
    command = [sys.executable, "-m", "compressai_vq", "compress", str(tmp_path / "in")]
    command += ["-o", str(tmp_path / "out"), "-q", "1", "-j", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    assert len(list((tmp_path / "out").iterdir())) == 4


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_output_to_a_pipe_and_to_nothing(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", photograph(16, 16))
    command = [sys.executable, "-m", "compressai_vq", "compress", str(tmp_path / "a.png"), "-q"]
    command += ["1", "--json", "-o"]
    quoted = shlex.join([*command, "/dev/stdout"])
    done = subprocess.run(
        ["sh", "-c", f"{quoted} | head -c 2"], capture_output=True, env=ENVIRONMENT
    )
    # What it says must not be in the file.
    assert done.stdout == b"VQ" and b'"target": "/dev/stdout"' in done.stderr
    done = subprocess.run(["sh", "-c", f"{quoted} | cat"], capture_output=True, env=ENVIRONMENT)
    assert Container.from_bytes(done.stdout).quality == 1
    command.remove("--json")
    quoted = shlex.join([*command, str(tmp_path / "a.cvq")])
    for option in ("--json", "--force"):  # two ways of telling what was done
        closed = ["sh", "-c", f"{quoted} {option} >&-"]
        done = subprocess.run(closed, capture_output=True, env=ENVIRONMENT)
        assert (done.returncode, done.stderr) == (0, b"")
        assert (tmp_path / "a.cvq").read_bytes().startswith(b"VQ")


@pytest.mark.skipif(os.name != "posix", reason="shells")
@pytest.mark.parametrize("lost", ["2>&-", "2>/dev/full", ">/dev/full", "2>&1 | true", "| true"])
def test_streams_that_cannot_be_written_to_cost_no_file(
    photographs: Path, weights_file: Path, tmp_path: Path, lost: str
) -> None:
    if "full" in lost and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    (photographs / "0.png").write_bytes(b"bad")
    given = [sys.executable, "-m", "compressai_vq", "compress", str(photographs), "-j", "1"]
    given += ["-o", str(tmp_path / "out"), "--weights", str(weights_file)]
    shell = ["bash", "-c", f'"$@" {lost}; exit ${{PIPESTATUS[0]}}', "-", *given]
    done = subprocess.run(shell, capture_output=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 2
    assert files_below(tmp_path / "out") == {"china.cvq", "more/flower.cvq", "more/deep/odd.cvq"}
    if lost == ">/dev/full":
        assert done.stderr.splitlines()[-1].startswith(b"error: standard output: No space left")


@pytest.mark.skipif(os.name != "posix", reason="shells")
def test_no_warning_gets_among_the_data(weights_file: Path, tmp_path: Path) -> None:
    Image.new("RGBA", (16, 16), (1, 2, 3, 4)).save(tmp_path / "a.png")
    given = [sys.executable, "-m", "compressai_vq", "compress", str(tmp_path / "a.png"), "-o", "-"]
    given += ["--weights", str(weights_file)]
    shell = ["bash", "-c", '"$@" 2>&-', "-", *given]
    done = subprocess.run(shell, capture_output=True, env=ENVIRONMENT, check=True)
    assert Container.from_bytes(done.stdout).width == 16


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_termination_leaves_whole_files_only(tmp_path: Path, weights_file: Path) -> None:
    for n in range(400):
        write_picture(tmp_path / "in" / f"{n}.png", photograph(64, 64))
    command = [sys.executable, "-m", "compressai_vq", "compress", str(tmp_path / "in"), "-j", "2"]
    command += ["-o", str(tmp_path / "out"), "--weights", str(weights_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        process.communicate(timeout=200)
    assert process.returncode == 143
    made = files_below(tmp_path / "out")
    assert 1 <= len(made) < 400
    assert all(name.endswith(".cvq") and not name.startswith(".") for name in made)
