"""What `make bench` and `make baselines` would run."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from benchmarks.environment import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def _make(*arguments: str, dry: bool = True) -> subprocess.CompletedProcess[str]:
    command = ["make", *(["--dry-run"] if dry else []), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_quick_run_leaves_the_results_on_all_images_alone() -> None:
    trained = _make("baselines", "DATA=a b", "VALIDATION=c", "IMAGES=4").stdout
    assert trained.count("--data a b") == 4  # the quick export counts on the validation's
    assert 'keep --runs "out/quick-runs/baselines" -o out/quick/baselines.json' in trained
    measured = _make("bench", "KODAK=k", "CLIC=c", "IMAGES=4").stdout
    assert measured.count('--models "out/quick-runs/baselines"') >= 2
    assert "--results out/quick --streams out/quick/streams -o out/quick/report" in measured
    assert "benchmarks.times" not in measured


def test_bench_compares_with_what_baselines_trained() -> None:
    trained = _make("baselines", "DATA=a", "VALIDATION=c").stdout
    measured = _make("bench", "KODAK=k").stdout
    for path in ('"runs/baselines"', '"runs/unfinetuned.safetensors"'):
        assert path in trained
        assert path in measured


def test_weights_that_the_environment_names_are_compared_and_not_overwritten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COMPRESSAI_VQ_UNFINETUNED", "kept.safetensors")
    assert '--unfinetuned "kept.safetensors"' in _make("bench", "KODAK=k").stdout
    assert "kept" not in _make("baselines", "DATA=a", "VALIDATION=c", "IMAGES=4").stdout


@pytest.mark.parametrize("target", ["bench", "baselines"])
def test_without_folders_it_says_what_is_wanted(target: str) -> None:
    done = _make(target, dry=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"make {target} ")
