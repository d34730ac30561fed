"""The figures in README.md are those of the results files."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks.environment import ROOT
from benchmarks.readme import BLOCKS, RESULTS, WEIGHTS, render


def test_readme_shows_the_results_that_are_in_the_repository() -> None:
    text = (ROOT / "README.md").read_text()
    assert render(text) == text, "run python -m benchmarks.readme"


def test_every_block_is_used() -> None:
    text = (ROOT / "README.md").read_text()
    assert set(re.findall(r"<!-- figures (\w+) -->", text)) == set(BLOCKS)


@pytest.mark.parametrize("name", ["kodak/mao2024-vqgan-lite.json", "speed.json"])
def test_results_are_those_of_the_shipped_weights(name: str) -> None:
    report = json.loads((RESULTS / name).read_text())
    assert report["fingerprint"] == json.loads(WEIGHTS.read_text())["fingerprint"]


def test_figures_are_what_a_ladder_of_rates_promises() -> None:
    results = json.loads((RESULTS / "kodak/mao2024-vqgan-lite.json").read_text())["results"]
    rates, pixels, header = results["bpp"], 768 * 512, 16
    assert results["quality"] == list(range(1, 10))
    assert rates == sorted(rates) and rates[-1] < 0.044
    assert results["lpips"] == sorted(results["lpips"], reverse=True)
    for quality, rate in zip(results["quality"], rates, strict=True):
        assert rate < (quality + 2) / 256 + (64 + 8 * header) / pixels


def test_a_stale_figure_is_replaced() -> None:
    stale = "before <!-- figures hook -->\nIt costs 99 ms.\n<!-- end --> after"
    fresh = render(stale)
    assert "99 ms" not in fresh and fresh.startswith("before") and fresh.endswith("after")


def test_unknown_block_is_an_error() -> None:
    with pytest.raises(KeyError):
        render("<!-- figures nothing -->\n<!-- end -->")
