"""Our qualities one by one, beside those without fine-tuning and the published ones."""

from __future__ import annotations

from benchmarks.codecs import OURS, REFINED
from benchmarks.report.published import Published
from benchmarks.report.quality_table import UNFINETUNED, quality_table
from benchmarks.report.results import Curve

BPP = [0.01, 0.02, 0.03, 0.04]
LPIPS = [0.4, 0.3, 0.25, 0.2]


def _curve(key: str, rates: list[float], images: int = 24) -> Curve:
    count = len(rates)
    means = {"quality": [1.0, 2.0, 3.0, 4.0][:count], "bpp": rates, "lpips": LPIPS[:count]}
    rows = [{"image": f"{n:02}.png", "quality": 1.0} for n in range(images)]
    return Curve("kodak", key, f"label of {key}", means=means, rows=rows)


def test_rows_and_bd_rates() -> None:
    twice = [2 * rate for rate in BPP]
    curves = {OURS: _curve(OURS, BPP), UNFINETUNED: _curve(UNFINETUNED, twice)}
    published = Published()
    table = quality_table("kodak", curves, published)
    assert table is not None and table.name == "quality-kodak"
    assert table.rows[0][:5] == [f"label of {OURS}", "1", "0.0100", "0.400", "\N{EN DASH}"]
    assert table.rows[4][2] == "0.0200"
    (paper,) = (curve for curve in published.curves("kodak") if curve.codec == OURS)
    assert [float(row[3]) for row in table.rows[8:]] == paper.values["lpips"]
    assert "\N{MINUS SIGN}50.0 % (overlap 100%)" in table.notes[0]
    assert len(table.notes) == 2


def test_refined_rows_lie_behind_the_plain_ones() -> None:
    half = [rate / 2 for rate in BPP]
    curves = {OURS: _curve(OURS, BPP), REFINED: _curve(REFINED, half)}
    published = Published()
    table = quality_table("kodak", curves, published)
    assert table is not None
    assert [row[0] for row in table.rows[:8]] == [f"label of {key}" for key in curves for _ in BPP]
    assert "+100.0 % (overlap 100%)" in table.notes[0]
    against = [note.partition(" against ")[0] for note in table.notes[1:]]
    assert against == ["BD-rate on LPIPS of ours", "BD-rate on LPIPS of ours, refined,"]


def test_a_single_refined_rate_has_a_row_and_no_bd_rate() -> None:
    curves = {OURS: _curve(OURS, BPP), REFINED: _curve(REFINED, BPP[:1])}
    table, plain = (quality_table("kodak", c, Published()) for c in (curves, {OURS: curves[OURS]}))
    assert table is not None and plain is not None
    assert [row[0] for row in table.rows].count(f"label of {REFINED}") == 1
    assert table.notes == plain.notes


def test_other_images_give_no_bd_rate() -> None:
    curves = {OURS: _curve(OURS, BPP, 4), UNFINETUNED: _curve(UNFINETUNED, BPP)}
    table = quality_table("kodak", curves, Published())
    assert table is not None
    assert table.notes[0].endswith("was run on other images: no BD-rate.")
    assert table.notes[1].endswith("on all images, and these are a part: no BD-rate.")
    assert len(table.notes) == 2


def test_nothing_without_ours() -> None:
    assert quality_table("kodak", {}, Published()) is None
