from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import unchanged
from benchmarks.earlier_commit import Earlier, code_of
from benchmarks.environment import ROOT
from benchmarks.unchanged import as_sentence, compare, main, measure, run_worker
from compressai_vq.errors import CodecError
from compressai_vq.ladder_weights import packaged_weights
from compressai_vq.picture import write_picture

from ..fixtures import photograph

in_a_repository = pytest.mark.skipif(
    subprocess.run(["git", "-C", str(ROOT), "rev-parse"], capture_output=True).returncode != 0,
    reason="not a git repository",
)


class Metrics:
    """Measures how far the mean is from the original's."""

    def __init__(self, names: list[str]) -> None:
        assert names == ["lpips"]

    def against(self, original: Any) -> Any:
        mean = original.float().mean()
        return lambda decoded: {"lpips": (decoded.float().mean() - mean).item()}


def test_files_pictures_and_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "PictureMetrics", Metrics)
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    folders = [tmp_path / "before", tmp_path / "after"]
    for folder in folders:
        folder.mkdir()
    for path in paths:
        write_picture(path, photograph(16, 16))
        for quality in (1, 10):
            for n, folder in enumerate(folders):
                other = n == 1 and quality == 10 and path.stem == "b"
                (folder / f"{path.stem}.q{quality}.cvq").write_bytes(bytes([quality, other]))
                picture = photograph(16, 16).permute(1, 2, 0).numpy().astype(int)
                shifted = (picture.clip(4, 250) + 2 * other).astype(np.uint8)
                np.save(folder / f"{path.stem}.q{quality}.npy", shifted)
    found = compare(paths, *folders)
    assert (found["files"], found["same_files"], found["same_pictures"]) == (4, 3, 3)
    assert list(found["lpips_before"]) == [1, 10]
    assert found["lpips_after"][1] == found["lpips_before"][1]
    assert found["lpips_after"][10] == pytest.approx(found["lpips_before"][10] + 1)
    same = {**found, "same_files": 4, "same_pictures": 4, "lpips_after": found["lpips_before"]}
    text = as_sentence(
        {
            "formats": {"bf16": found, "fp32": same},
            "before": "a" * 40,
            "fingerprint": "f" * 64,
            "dataset": "kodak",
            "images": 2,
            "machine": {"cpu": "a CPU"},
        }
    )
    assert text.startswith("Files of Kodak (2 images") and "`aaaaaaa`" in text
    assert "in bf16 3 of 4 and 3 of their pictures are the same to the byte" in text
    assert "differs by 1.000000 at most" in text and "decimals at 1 of 2 qualities" in text
    assert "in fp32 all 4 and their pictures are the same to the byte. Weights" in text


def test_every_number_format_that_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(unchanged, "run_worker", lambda *of: asked.append(of[-1]))
    monkeypatch.setattr(unchanged, "compare", lambda *_: {})
    earlier = Earlier("a" * 40, ROOT, packaged_weights("mao2024-vqgan-lite"))
    for fast, formats in ((True, ["bf16", "fp32"]), (False, ["fp32"])):
        monkeypatch.setattr(unchanged, "prefers_bf16", lambda _, fast=fast: fast)
        asked.clear()
        assert list(measure(earlier, [])["formats"]) == formats
        assert asked == [each for each in formats for _ in range(2)]


def test_a_picture_without_files_is_no_success(tmp_path: Path) -> None:
    write_picture(tmp_path / "a[1].png", photograph(64, 64))
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    where = (tmp_path / "before", tmp_path / "after")
    with pytest.raises(CodecError, match="made no file of it"):
        compare([tmp_path / "a[1].png"], *where)
    for folder in where:
        (folder / "a[1].q3.cvq").write_bytes(b"file")
        np.save(folder / "a[1].q3.npy", photograph(64, 64).permute(1, 2, 0).numpy())
    assert compare([tmp_path / "a[1].png"], *where)["same_pictures"] == 1


@in_a_repository
def test_the_code_is_the_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, folder, _ = code_of("HEAD", tmp_path)
    assert (folder / "compressai_vq" / "codec.py").is_file() and len(name) == 40
    # Whichever package the worker says it used must be that one.
    worker = tmp_path / "worker.py"
    worker.write_text("import sys; print(sys.path[1] + '/compressai_vq')")
    monkeypatch.setattr(unchanged, "WORKER", worker)
    run_worker(folder, tmp_path / "weights", [], tmp_path / "one", "fp32")
    worker.write_text("print('/elsewhere/compressai_vq')")
    with pytest.raises(CodecError, match="the code in /elsewhere"):
        run_worker(folder, tmp_path / "weights", [], tmp_path / "two", "fp32")
    worker.write_text("raise SystemExit('no luck')")
    with pytest.raises(CodecError, match="no luck"):
        run_worker(folder, tmp_path / "weights", [], tmp_path / "three", "fp32")


@in_a_repository
@pytest.mark.parametrize(
    ("folder", "commit", "message"),
    [("pictures", "nosuch", "no commit nosuch"), ("empty", "HEAD", "holds no images")],
)
def test_refusals_are_one_line(
    folder: str, commit: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "pictures").mkdir()
    write_picture(tmp_path / "pictures" / "a.png", photograph(16, 16))
    assert main([str(tmp_path / folder), "--against", commit]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
