"""The figures in README.md and docs/ are those of the results files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.codecs import OURS, REFINED
from benchmarks.environment import ROOT
from benchmarks.readme import BLOCKS, PAGES, RESULTS, SPEEDS, WEIGHTS, render
from benchmarks.report.published import Published


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_show_the_results_that_are_in_the_repository(page: Path) -> None:
    text = page.read_text()
    assert render(text) == text, "run python -m benchmarks.readme"


def test_every_block_is_used_once_and_every_page_is_rendered() -> None:
    texts = {page: page.read_text() for page in PAGES}
    used = re.findall(r"<!-- figures (\w+) -->", "".join(texts.values()))
    assert sorted(used) == sorted(BLOCKS)
    assert set(PAGES) == {ROOT / "README.md", *(ROOT / "docs").glob("*.md")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"(?s)```.*?```", "", page.read_text())
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors
        elif "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize(
    "name",
    [
        "kodak/mao2024-vqgan-lite.json",
        "kodak/mao2024-vqgan-lite-refined.json",
        "clic2025-8/mao2024-vqgan-lite-refined.json",
        "refinement-steps.json",
    ],
)
def test_results_are_those_of_the_shipped_weights(name: str) -> None:
    report = json.loads((RESULTS / name).read_text())
    assert report["fingerprint"] == json.loads(WEIGHTS.read_text())["fingerprint"]


def test_speeds_say_which_weights_they_are_of() -> None:
    # They need several kinds of machine and are the networks', so that earlier weights' may stay.
    readme = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"<!-- figures speed -->(.*?)<!-- end -->", readme, re.DOTALL)
    for name in SPEEDS:
        report = json.loads((RESULTS / name).read_text())
        assert f"`{report['fingerprint'][:16]}`" in block.rpartition("Weights ")[2]


def test_figures_are_what_a_ladder_of_rates_promises() -> None:
    results = json.loads((RESULTS / "kodak/mao2024-vqgan-lite.json").read_text())["results"]
    rates, pixels, header = results["bpp"], 768 * 512, 16
    assert results["quality"] == list(range(1, 10))
    assert rates == sorted(rates) and rates[-1] < 0.044
    assert results["lpips"] == sorted(results["lpips"], reverse=True)
    for quality, rate in zip(results["quality"], rates, strict=True):
        assert rate < (quality + 2) / 256 + (64 + 8 * header) / pixels


def test_refined_files_are_to_the_published_ones_as_is_said() -> None:
    text = " ".join((ROOT / "README.md").read_text().split())
    assert (
        "their LPIPS is lower than the published one at each of the nine qualities, in fewer "
        "bits; their DISTS is still higher"
    ) in text
    results = json.loads((RESULTS / f"kodak/{REFINED}.json").read_text())["results"]
    assert results["quality"] == list(range(1, 10))
    (published,) = (curve for curve in Published().curves("kodak") if curve.codec == OURS)
    for n, quality in enumerate(results["quality"]):
        rate = round(quality) - 1
        assert results["lpips"][n] < published.values["lpips"][rate]
        assert results["bpp"][n] < published.bpp[rate]
        assert results["dists"][n] > published.values["dists"][rate]


def test_a_stale_figure_is_replaced() -> None:
    stale = "before <!-- figures hook -->\nIt costs 99 ms.\n<!-- end --> after"
    fresh = render(stale)
    assert "99 ms" not in fresh and fresh.startswith("before") and fresh.endswith("after")


def test_figures_within_a_sentence_stay_within_it() -> None:
    stale = "rates of <!-- figures rates -->9.999 to 1<!-- end --> bits"
    report = json.loads((RESULTS / "kodak/mao2024-vqgan-lite-prior.json").read_text())
    rates = report["results"]["bpp"]
    words = f"{rates[0]:.3f} to {rates[-1]:.3f}"
    assert render(stale) == f"rates of <!-- figures rates -->{words}<!-- end --> bits"
    # At the start of a line it would begin a block of HTML, and Markdown ends there.
    for page in PAGES:
        assert not re.findall(r"(?m)^<!-- figures \w+ -->[^\n]", page.read_text())


def test_the_published_figures_are_those_of_the_paper() -> None:
    curves = json.loads((ROOT / "benchmarks" / "published.json").read_text())["curves"]
    (paper,) = (c for c in curves if c["label"] == "the paper's method" and c["set"] == "kodak")
    first, last = re.findall(r"(\.\d\d) at quality [19]\b", BLOCKS["published"]())
    assert (float(first), float(last)) == (paper["lpips"][0], paper["lpips"][-1])


def test_unknown_block_is_an_error() -> None:
    with pytest.raises(KeyError):
        render("<!-- figures nothing -->\n<!-- end -->")
