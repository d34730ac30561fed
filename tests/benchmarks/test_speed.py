"""The speed table: ratios within rounds, workers that are processes, and the words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import speed
from benchmarks.environment import ROOT
from benchmarks.report.tables import NOTHING
from benchmarks.speed import CHENG, LITE, LITE_1, MAO, PAIRS, TAMING, VVC, Contestant, measure
from benchmarks.speed_reference import CODEWORDS, load_ours, load_published, write_state
from benchmarks.speed_words import _AIMS, speed_table
from benchmarks.speed_worker import _count
from compressai_vq.errors import CodecError
from compressai_vq.networks import winograd
from compressai_vq.networks.convolution import Convolution


def _run(seconds: float, **more: Any) -> dict[str, Any]:
    lite = {
        "networks": 0.75 * seconds,
        "outside_share": 0.25,
        "flops": 8e9,
        "matmul_flops_per_second": 1e11,
    }
    return {"seconds": seconds, "peak_mib": 100 * seconds, "bytes": 900, **lite, **more}


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Of three rounds on a machine that slows down to a third."""
    times = {LITE: 0.1, LITE_1: 0.2, TAMING: 12.0, MAO: 3.0, CHENG: 8.0, VVC: 0.6}

    def rounds(contestants: list[Contestant], *_: Any) -> dict[Contestant, list[dict[str, Any]]]:
        return {
            one: [_run(slow * times.get(one, 0.4)) for slow in (1, 2, 3)] for one in contestants
        }

    monkeypatch.setattr(speed, "_rounds", rounds)
    near = {"psnr": 48.25, "psnr_with_own_indices": 39.5, "same_indices": 0.987}
    monkeypatch.setattr(speed, "_fidelity", lambda *_: near)
    return measure(3, torch.get_num_threads())


def test_a_machine_that_slows_down_changes_no_ratio(report: dict[str, Any]) -> None:
    ratios = [row["ratio"] for row in report["pairs"]]
    assert [ratio["median"] for ratio in ratios] == pytest.approx([120, 40, 20, 3, 1.5, 4])
    for ratio in ratios:
        assert ratio["min"] == pytest.approx(ratio["max"])
    assert report["taming_over_lite"]["median"] == pytest.approx(160)
    assert report["median_seconds"]["lite"] == pytest.approx(0.15)
    assert report["median_seconds"]["lite_whole"] == pytest.approx(0.2)
    assert report["peak_mib"]["taming"] == pytest.approx(3600)
    assert report["outside_networks"]["lite"]["median"] == 0.25
    shares = report["of_matmul"]["lite"]
    assert shares["max"] == pytest.approx(8e9 / 0.075 / 1e11)
    json.dumps(report)


def test_the_words_are_the_results(report: dict[str, Any]) -> None:
    lines = speed_table([report]).splitlines()
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines[2:-2]}
    cells = {title: [cell.strip() for cell in row] for title, row in rows.items()}
    assert len(set(_AIMS)) == len(PAIRS) == sum("times faster" in title for title in cells)
    assert cells["`-lite`, one thread: times faster than cheng2020-anchor"] == [
        "20",
        "40 (40 to 40)",
    ]
    assert cells["`-lite`: times faster than taming's modules, fp32"] == [
        "100",
        "120 (120 to 120)",
    ]
    assert cells["`-lite` there and back, s"] == ["", "0.200"]
    assert cells["its networks alone, s"] == ["", "0.150"]
    assert cells["taming's modules, fp32, s"] == ["", "24.0"]
    assert cells["`-lite`: time outside the networks"] == ["under 10 %", "**25.0 %**"]
    assert cells["`-lite`, index prior, one thread: time outside the networks"] == ["", "25.0 %"]
    assert cells["`mao2024-vqgan`: PSNR to what taming's decode"] == ["45 dB", "48.2"]
    assert cells["peak MiB of `-lite`, `mao2024-vqgan`, taming's"] == ["", "30, 900, 3600"]
    for told in (False, True):
        assert ("Winograd" in speed_table([{**report, "lite_by_winograd": told}])) == told


def test_what_misses_its_aim_is_bold(report: dict[str, Any]) -> None:
    (slow,) = (
        pair for pair in report["pairs"] if pair["against"] == "taming" and "mao" in pair["ours"]
    )
    slow["ratio"] = {"median": 3.9, "min": 3.5, "max": 4.5}
    report["fidelity"]["psnr"] = 44.9
    text = speed_table([report])
    assert "| 4 | **3.9** (3.5 to 4.5) |" in text and "| 45 dB | **44.9** |" in text


def test_results_of_runs_after_a_wait_say_so(report: dict[str, Any]) -> None:
    assert "²" not in speed_table([report])
    text = speed_table([report, {**report, "warm": False}])
    head = text.splitlines()[0].split("|")
    assert ["²" in cell for cell in head[3:5]] == [False, True]
    assert "² Each run after a wait" in text and "right after one that is not counted" in text


def test_results_with_vvc_as_of_a_sequence_say_so(report: dict[str, Any]) -> None:
    assert "³" not in speed_table([report])
    text = speed_table([report, {**report, "vvc_still": False}])
    rows = [line.split("|") for line in text.splitlines() if "times faster than lib" in line]
    assert rows and all(["³" in cell for cell in row[3:5]] == [False, True] for row in rows)
    assert "³ VVC's picture as the first one of a sequence" in text


def test_each_columns_file_of_vvc_is_told(report: dict[str, Any]) -> None:
    (key,) = (key for key in report["bytes"] if key.startswith("vvc"))
    other = {**report, "bytes": {**report["bytes"], key: report["bytes"][key] + 7}}
    ours, theirs = report["bytes"]["lite"], report["bytes"][key]
    assert f"have {theirs} and {ours}, {theirs + 7} and {ours} bytes" in speed_table(
        [report, other]
    )


def test_cpus_stand_side_by_side(report: dict[str, Any]) -> None:
    other = json.loads(json.dumps(report))
    other["machine"]["cpu"], other["lite_dtype"] = "an older CPU", "float32"
    other["pairs"] = [pair for pair in other["pairs"] if "vvc" not in pair["against"]]
    del other["fidelity"]
    lines = speed_table([report, other]).splitlines()
    assert lines[0].endswith("| an older CPU, float32 |")
    assert all(line.count("|") == lines[0].count("|") for line in lines[1:-2])
    (vvc,) = (
        line for line in lines if line.startswith("| `-lite`, one thread: times faster than lib")
    )
    assert vvc.endswith(f"| 3.0 (3.0 to 3.0) | {NOTHING} |")


def test_our_networks_take_the_precision_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def rounds(contestants: list[Contestant], *rest: Any) -> dict[Contestant, list[Any]]:
        asked.append(rest[-1])
        return {one: [_run(1.0)] for one in contestants}

    monkeypatch.setattr(speed, "_rounds", rounds)
    for precision, told in (("fp32", "float32"), ("bf16", "bfloat16")):
        found = measure(1, torch.get_num_threads(), None, {"taming"}, precision)
        assert (found["lite_dtype"], asked.pop()) == (told, precision)


def test_contestants_that_are_left_out_leave_their_rows_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        speed, "_rounds", lambda contestants, *_: {one: [_run(1.0)] for one in contestants}
    )
    found = measure(1, torch.get_num_threads(), None, {"taming", "cheng2020-anchor", "lite-prior"})
    assert [(row["ours"], row["against"]) for row in found["pairs"]] == [
        ("lite, one thread", "vvc, one thread")
    ]
    assert "fidelity" not in found
    with pytest.raises(CodecError, match="unknown contestant nobody"):
        measure(1, 1, None, {"nobody"})


def _worker_of(program: str) -> speed.Worker:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", program]
    return speed.Worker(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True), "it")


def test_a_worker_answers_a_line_with_a_run() -> None:
    program = "import sys\nfor n, _ in enumerate(sys.stdin): print(f'{{\"n\": {n}}}', flush=True)"
    one = _worker_of(program)
    assert [one.run()["n"] for _ in range(3)] == [0, 1, 2]
    one.close()


@pytest.mark.whole
def test_peak_memory_is_the_processs_own() -> None:
    # In a process of its own: this one's peak may be far above what it holds now.
    code = (
        "from benchmarks.speed_worker import _peak_mib\n"
        "print(_peak_mib())\n"
        "held = bytearray(b'x' * (256 << 20))\n"
        "print(_peak_mib())\n"
    )
    held = torch.ones(1 << 28)  # 1 GiB, which is not the other process's
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    before, after = map(float, printed.split())
    assert before < held.nbytes / 2**20
    assert before + 200 < after < before + 700


def test_a_worker_that_has_ended_is_named() -> None:
    one = _worker_of("pass")
    with pytest.raises(CodecError, match="it failed"):
        one.run()
    one.close()


def test_the_reference_is_the_model_that_ours_takes_the_weights_of(tmp_path: Path) -> None:
    x = torch.rand(1, 3, 64, 48)
    write_state(tmp_path / "state.pt", x, width=32)
    theirs, ours = load_published(tmp_path / "state.pt"), load_ours(tmp_path / "state.pt")
    with torch.inference_mode():
        expected = theirs.encode(x)
        assert expected.shape == (1, 4, 3) and expected.min() >= 0 and expected.max() < CODEWORDS
        decoded = theirs.decode(expected)
        assert decoded.shape == x.shape and decoded.std() > 0.01
        assert (ours.decode(expected) - decoded).square().mean().log10() < -3.5
        assert (ours.encode(x) == expected).double().mean() > 0.5


def test_larger_and_smaller_pictures_are_cut_to_size() -> None:
    for shape in ((3, 600, 800), (3, 427, 640), (3, 512, 768)):
        picture = torch.randint(256, shape, dtype=torch.uint8)
        assert speed._cut(picture).shape == (3, *speed.SIZE)
    assert torch.equal(speed._cut(picture), picture)


def test_winograds_filtering_counts_as_the_convolution_that_it_stands_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = Convolution(32, 48).requires_grad_(False)
    x = torch.randn(1, 32, 24, 30)
    layer(x)  # starts the library, by a convolution of its own
    found = [_count(lambda: layer(x))]
    monkeypatch.setattr(winograd, "pays", lambda *_: False)
    found.append(_count(lambda: layer(x)))
    assert found == [2 * 24 * 30 * 32 * 48 * 9] * 2
