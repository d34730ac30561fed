from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import large
from benchmarks.compare import RESULTS


def row(width: int, height: int, coding: str, seconds: float) -> dict[str, object]:
    times = {"seconds": seconds, "coding_seconds": seconds - 2, "peak_mib": 100.0}
    return {"width": width, "height": height, "coding": coding, "compress": times,
            "decompress": times}  # fmt: skip


def test_ratios_are_of_seconds_per_pixel() -> None:
    rows = [
        row(768, 512, "prior", 3.0),
        row(1536, 1024, "prior", 4.0),
        row(3072, 2048, "prior", 16.0),
        row(3072, 2048, "frequencies", 16.0),
    ]
    reference, larger, largest, alone = large.with_ratios(rows)
    for command in ("compress", "decompress"):
        assert reference[command]["ratio"] == reference[command]["coding_ratio"] == 1
        assert larger[command]["ratio"] == pytest.approx(4 / 3 / 4)
        assert larger[command]["coding_ratio"] == pytest.approx(2 / 1 / 4)
        assert largest[command]["ratio"] == pytest.approx(16 / 3 / 16)
        assert largest[command]["coding_ratio"] == pytest.approx(14 / 1 / 16)
    assert "ratio" not in alone["compress"]  # nothing of its coding to compare with
    assert "ratio" not in rows[0]["compress"]  # type: ignore[operator]


def test_kept_ratios_are_those_of_the_kept_seconds() -> None:
    rows = json.loads((RESULTS / "large.json").read_text())["rows"]
    assert large.with_ratios(rows) == rows


def test_pictures_are_the_same_each_time_and_have_grain(tmp_path: Path) -> None:
    large.make_picture(tmp_path / "a.jpg", 300, 280)
    large.make_picture(tmp_path / "b.jpg", 300, 280)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.size == (300, 280)
        pixels = np.asarray(image.convert("L"), np.float32)
    sky = pixels[:40, 200:]
    assert 1 < np.diff(sky, axis=1).std() < 10
    assert pixels.std() > 30


def test_time_and_memory_of_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "program"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, sys\n"
        "occupied = b'x' * (200 << 20)\n"
        "if 'fail' in sys.argv: sys.exit('error: reason')\n"
        "print(json.dumps([{'seconds': 0.5}]))\n"
    )
    program.chmod(0o755)
    # "-m compressai_vq.cli" and the command are arguments like any others to it.
    monkeypatch.setattr(large.sys, "executable", str(program))
    found = large.run(["compress", "a.jpg"])
    assert found["coding_seconds"] == 0.5
    assert 200 < found["peak_mib"] < 10_000
    assert found["cpu_seconds"] > 0 and found["seconds"] > 0
    with pytest.raises(large.subprocess.CalledProcessError):
        large.run(["fail"])
    assert "reason" in capfd.readouterr().err


def test_results_are_written_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[tuple[int, int]] = []

    def make(path: Path, width: int, height: int) -> None:
        path.write_bytes(b"picture")
        made.append((width, height))

    def measure(source: Path, coding: str, repeats: int) -> dict[str, object]:
        times = {"seconds": 2.0, "coding_seconds": 1.0, "peak_mib": 100.0}
        return {"compress": times, "decompress": times, "bytes": repeats}

    monkeypatch.setattr(large, "_in_another_process", make)
    monkeypatch.setattr(large, "measure", measure)
    output = tmp_path / "large.json"
    monkeypatch.setattr(sys, "argv", ["large", "-n", "5", "--largest", "2", "-o", str(output)])
    large.main()
    report = json.loads(output.read_text())
    assert made == list(large.SIZES[:2])
    assert [r["coding"] for r in report["rows"]] == ["frequencies", "prior"] * 2
    assert {r["bytes"] for r in report["rows"]} == {5}
    assert report["rows"][-1]["compress"]["ratio"] == pytest.approx(1 / 4)
    assert len(report["fingerprint"]) == 64
    assert json.loads(capsys.readouterr().out) == report
