"""Results to tables, plots, pictures and the page; a browser looks at it in its own file."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from benchmarks.codecs import BY_PRIOR, OURS, REFINED, OurCodec
from benchmarks.report.__main__ import RESULTS, main
from benchmarks.report.bd_table import bd_table
from benchmarks.report.build import build_report
from benchmarks.report.export import find_browser, write_plots
from benchmarks.report.page import render
from benchmarks.report.pictures import Packer, crop, nearest
from benchmarks.report.plots import rd_plots
from benchmarks.report.published import Published
from benchmarks.report.results import Points, load_results, read_curve
from benchmarks.report.stored_images import StoredImages
from benchmarks.report.streams import find_streams
from benchmarks.report.tables import Table
from benchmarks.report.vvc_check import interpolate, vvc_check
from compressai_vq.errors import CodecError
from compressai_vq.picture import write_picture
from plugins.still_codecs.still_picture import StillPictureCodec

from ..fixtures import noise, untrained_weights
from .made_up_results import as_measured, result, write_pictures, write_results
from .report_tables import cells, tables

UNFINETUNED = f"{OURS}-unfinetuned"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_results(tmp_path, "kodak", [OURS, "vvc", "jpegxl", UNFINETUNED], ["a", "b"])
    return tmp_path


def test_results_are_read_in_order_of_rate_and_without_what_is_not_finite(tmp_path: Path) -> None:
    content = result("vvc", ["a", "b"])
    for values in content["results"].values():
        values.reverse()
    content["results"]["ms-ssim-rgb"] = [None, math.nan, 0.7, 0.6, 0.5]
    path = tmp_path / "kodak" / "vvc.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    curve = read_curve(path)
    assert curve.points("lpips").quality == [1, 2, 3, 4, 5]
    assert curve.points("ms-ssim-rgb").values == [0.5, 0.6, 0.7]
    assert curve.points("never measured") == ([], [], [])
    assert curve.median("encoding_time") == pytest.approx(0.6)
    assert (curve.dataset, curve.codec, curve.images) == ("kodak", "vvc", {"a", "b"})
    assert "ms-ssim-rgb" in curve.row("a", 2) and curve.row("z", 2) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not a result file"),
        ("[]", "not a result file"),
        ('{"name": "x", "results": {"lpips": [1]}}', "no 'bpp'"),
        ('{"name": "x", "results": {"bpp": [1, 2], "lpips": [1]}}', "differ in length"),
        ('{"name": "x", "results": {"bpp": []}}', "empty"),
        ('{"name": "x", "results": {"bpp": [1]}, "images": [{}]}', "no 'image'"),
        ('{"name": "x", "results": {"bpp": [1]}, "images": [{"image": 1, "quality": 1}]}', "row"),
        ('{"name": "x", "results": {"bpp": [1]}, "images": 5}', "not a result file"),
        ('{"name": "x", "results": {"bpp": [1]}, "fingerprint": 5}', "are texts"),
        ('{"name": "x", "results": {"bpp": [1]}, "machine": "a"}', "machine is a table"),
    ],
)
def test_what_is_no_result_file_is_named_and_nothing_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    (folder / "kodak" / "broken.json").write_text(text)
    assert main(["--results", str(folder), "-o", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    assert "broken.json" in message and reason in message
    assert not (tmp_path / "out").exists() and not (folder / "tables").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--results", "nowhere"], "no results"),
        (["--pictures", "kodak"], "DATASET=DIR"),
        (["--pictures", "kodak=nowhere"], "nowhere: no such folder"),
        (["--codecs", "h266"], "no codec 'h266'"),
        (["--images", "-1"], "--images takes 0 or more"),
    ],
)
def test_bad_arguments(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str],
    reason: str,
) -> None:  # fmt: skip
    common = ["--results", str(folder), "-o", str(tmp_path / "out")]
    assert main([*common, *arguments]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_interpolation_is_linear_in_log_rate_and_never_beyond_the_ends() -> None:
    points = Points([0.01, 0.04], [0.6, 0.4], [1, 2])
    assert interpolate(points, 0.02) == pytest.approx(0.5)
    assert interpolate(points, 0.01) == 0.6
    assert interpolate(points, 0.009) is None and interpolate(points, 0.041) is None
    assert interpolate(Points([], [], []), 0.02) is None


def test_vvc_is_checked_against_the_paper(folder: Path) -> None:
    published = Published()
    table = vvc_check(load_results(folder), published)
    expected = [
        (row["bpp"], row["value"], interpolate(Points([0.012, 0.2], [0.66, 0.2], []), row["bpp"]))
        for row in published.vvc_check["points"]
    ]
    for cells_, (bpp, theirs, ours) in zip(table.rows, expected, strict=True):
        assert ours is not None
        assert [float(cell) for cell in cells_[:2]] == [bpp, theirs]
        assert float(cells_[2]) == pytest.approx(ours, abs=6e-4)
        assert cells_[4] == ("yes" if abs(ours - theirs) <= 0.06 else "no")
    assert "libvvenc is not VTM" in table.markdown()
    assert all("not run" in row for row in vvc_check({}, published).rows)


def test_table_1_has_a_figure_or_the_reason_why_not(folder: Path) -> None:
    write_results(folder, "kodak", ["avif"], ["a", "c"])
    table = bd_table("kodak", load_results(folder)["kodak"], Published())
    vvc = cells(table, "VVC")
    assert vvc[1].startswith("\N{MINUS SIGN}") and vvc[1].endswith(" %") and vvc[2] != "0 %"
    assert vvc[5:] == ["\N{MINUS SIGN}98.55 %", "\N{MINUS SIGN}0.33"]
    assert cells(table, "JPEG XL")[1:5] == ["no overlap", "0 %"] * 2
    assert cells(table, "BPG")[1] == "not run"
    assert cells(table, "AVIF")[1] == "run on other images"
    for name in ("FCC", "SAVD"):
        assert cells(table, name)[1] == "no public runnable weights"


def test_table_1_has_both_ways_of_coding_where_both_were_run(folder: Path) -> None:
    write_results(folder, "kodak", [BY_PRIOR], ["a", "b"])
    curves = load_results(folder)["kodak"]
    table = bd_table("kodak", curves, Published())
    assert table.columns[1:3] == [f"BD-rate, {way} (overlap)" for way in ("frequencies", "prior")]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert not any(row[0] == curves[BY_PRIOR].label for row in table.rows)
    alone = bd_table("kodak", {k: v for k, v in curves.items() if k != BY_PRIOR}, Published())
    for row, one in zip(table.rows, alone.rows, strict=True):
        assert row[0] == one[0] and row[-2:] == one[-2:]
        if one[2] != "\N{EN DASH}":
            assert row[1] == f"{one[1]} ({one[2]})" and row[3] == f"{one[3]} ({one[4]})"
    frequencies, prior = cells(table, "VVC")[1:3]
    assert float(prior.split()[0][1:]) > float(frequencies.split()[0][1:])  # both below 0


def test_table_1_has_refined_indices_as_a_third_way(folder: Path) -> None:
    write_results(folder, "kodak", [BY_PRIOR, REFINED], ["a", "b"])
    curves = load_results(folder)["kodak"]
    table = bd_table("kodak", curves, Published())
    ways = ("frequencies", "prior", "refined")
    names = [f"{name}, {way} (overlap)" for name in ("BD-rate", "BD-LPIPS") for way in ways]
    assert table.columns[1:7] == names
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert not any(row[0] == curves[REFINED].label for row in table.rows)
    assert any("`--refine`" in note for note in table.notes)
    two = bd_table("kodak", {k: v for k, v in curves.items() if k != REFINED}, Published())
    assert not any("`--refine`" in note for note in two.notes)
    vvc = cells(table, "VVC")
    assert [vvc[1], vvc[2], vvc[4], vvc[5]] == cells(two, "VVC")[1:5]
    # Of one rate there is no curve.
    only = curves[REFINED]
    point = replace(only, means={name: values[:1] for name, values in only.means.items()})
    assert bd_table("kodak", {**curves, REFINED: point}, Published()) == two


def test_bd_figures_are_those_of_curves_whose_answer_is_known(folder: Path) -> None:
    content = result(OURS, ["a", "b"])
    content["results"]["bpp"] = [2 * bpp for bpp in content["results"]["bpp"]]
    (folder / "kodak" / f"{UNFINETUNED}.json").write_text(json.dumps(content))
    row = bd_table("kodak", load_results(folder)["kodak"], Published()).rows[4]
    assert row[1:3] == ["\N{MINUS SIGN}50.0 %", "100 %"]


def test_published_curves_are_dashed_and_say_so(folder: Path) -> None:
    plots = rd_plots("kodak", load_results(folder)["kodak"], Published())
    assert [plot.metric.key for plot in plots][:2] == ["lpips", "dists"] and len(plots) == 5
    for plot in plots:
        for trace in plot.figure.data:
            assert ("published" in trace.name) == (trace.line.dash == "dash")
    names = [trace.name for trace in plots[0].figure.data]
    assert names[:2] == ["ours", "ours, without fine-tuning"]
    assert sum("published" in name for name in names) > 3
    assert "lower is better" in plots[0].figure.layout.yaxis.title.text
    assert "higher is better" in plots[-1].figure.layout.yaxis.title.text
    elsewhere = rd_plots("clic2025-8", load_results(folder)["kodak"], Published())
    papers = [t.name for t in elsewhere[0].figure.data if t.line.dash == "dash"]
    assert papers and all(name.endswith("on CLIC 2020") for name in papers)


def test_a_published_curve_has_a_value_for_each_rate_and_a_source() -> None:
    for dataset in ("kodak", "clic2025-8"):
        curves = Published().curves(dataset)
        assert curves
        for curve in curves:
            assert curve.source and curve.bpp == sorted(curve.bpp)
            assert all(len(values) == len(curve.bpp) for values in curve.values.values())
    assert Published().curves("mine") == []


def test_markdown() -> None:
    table = Table("t", "caption", ["a", "b"], [["x|y", "1"]], ["A note."])
    assert table.markdown().splitlines() == [
        "| a | b |", "| --- | --: |", "| x\\|y | 1 |", "", "A note.",
    ]  # fmt: skip


def test_nearest_settings_are_chosen_once_and_in_order_of_rate() -> None:
    assert nearest({45: 0.2, 51: 0.05, 58: 0.021, 63: 0.011}) == [63, 58, 51]
    assert nearest({1: 0.5}) == [1]


def test_large_pictures_are_cropped_not_scaled() -> None:
    picture = noise(900, 1200)
    assert crop(picture).shape == (3, 768, 960)
    assert crop(picture)[:, 0, 0].equal(picture[:, 66, 120])
    assert crop(noise(200, 100)).shape == (3, 200, 100)


def test_streams_are_found_by_image_codec_and_quality(tmp_path: Path) -> None:
    names = ("vvc/a.b.q63.vvc", "vvc/a.b.q45.vvc", "vvc/a.jpg.q45.vvc", f"{OURS}/a.b.q1.cvq")
    for name in (*names, "vvc/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    found = find_streams(tmp_path)
    assert sorted(found) == ["a.b", "a.jpg"]  # which an image a.jpg.png is called, too
    assert sorted(found["a.b"]["vvc"]) == [45, 63] and sorted(found["a.b"][OURS]) == [1]
    assert find_streams(tmp_path / "nowhere") == {}


def test_pictures_come_from_the_streams_and_are_decoded_once(tmp_path: Path) -> None:
    decoded: list[bytes] = []

    class Counting(OurCodec):
        def decompress(self, data: bytes) -> Tensor:
            decoded.append(data)
            return super().decompress(data)

    def factory(key: str) -> StillPictureCodec:
        if key != OURS:
            raise CodecError("no weights")
        return Counting(untrained_weights(), "made up")

    ours = factory(OURS)
    names = write_pictures(
        tmp_path / "originals", tmp_path / "streams/kodak", {OURS: ours, "hific-lowrate": ours}
    )
    write_results(tmp_path, "kodak", [OURS], names)
    as_measured(tmp_path / "kodak", tmp_path / "streams/kodak", {OURS: ours})
    damaged = tmp_path / "streams/kodak" / OURS / "second.q3.cvq"
    damaged.write_bytes(damaged.read_bytes()[:-3] + b"bad")
    warnings: list[str] = []
    stored = StoredImages(
        load_results(tmp_path), tmp_path / "streams", {"kodak": tmp_path / "originals"},
        factory, Packer(tmp_path / "cache"), warnings.append,
    )  # fmt: skip
    images = list(stored)
    assert [image.title for image in images] == ["Kodak: first", "Kodak: second"]
    assert [shown.quality for shown in images[0].codecs[OURS]] == [1, 3, 9]
    assert [shown.quality for shown in images[1].codecs[OURS]] == [1, 9]
    assert sorted(text.split(":")[1].split("/")[-1].strip() for text in warnings) == [
        "second.q3.cvq", "without hific-lowrate",
    ]  # fmt: skip
    first = images[0].codecs[OURS][0]
    file = tmp_path / "streams/kodak" / OURS / "first.q1.cvq"
    assert first.size == file.stat().st_size
    assert first.bpp == pytest.approx(8 * first.size / (192 * 256))
    assert first.lpips == pytest.approx(0.48)
    assert images[1].codecs[OURS][1].lpips is None  # quality 9 has no row
    once = len(decoded)
    assert [image.as_json() for image in stored] == [image.as_json() for image in images]
    assert len(decoded) == once + 1  # the damaged file alone was tried again


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("weights", "are not those that were measured"),
        ("file", "bytes were measured, and this has"),
        ("original", "has 12288 pixels, which is not the one measured"),
    ],
)
def test_captions_are_never_of_another_file_or_picture(
    tmp_path: Path, change: str, words: str
) -> None:
    ours = OurCodec(untrained_weights(), "made up")
    streams, results = tmp_path / "streams" / "kodak", tmp_path / "kodak"
    names = write_pictures(tmp_path / "originals", streams, {OURS: ours})
    write_results(tmp_path, "kodak", [OURS], names)
    as_measured(results, streams, {OURS: ours})
    file = streams / OURS / "first.q1.cvq"
    if change == "weights":
        ours = OurCodec(untrained_weights(1), "made up")
    elif change == "file":
        file.write_bytes((streams / OURS / "first.q9.cvq").read_bytes())
    else:
        write_picture(tmp_path / "originals" / "first.png", noise(96, 128))
    warnings: list[str] = []
    stored = StoredImages(
        load_results(tmp_path), tmp_path / "streams", {"kodak": tmp_path / "originals"},
        lambda key: ours, Packer(tmp_path / "cache"), warnings.append,
    )  # fmt: skip
    found = [shown for image in stored for shown in image.codecs[OURS] if shown.quality == 1]
    assert any(words in warning for warning in warnings)
    assert [shown.size for shown in found] != [file.stat().st_size] * 2
    assert len(found) < 2


def test_the_page_needs_nothing_but_itself(folder: Path) -> None:
    report = build_report(folder)
    report.sections[0].plots[0].figure.data[0].name = "</script><b>"
    page = render(report)
    own = page.replace(str(render.__globals__["get_plotlyjs"]()), "")
    assert re.findall(r"https?://[^\s\"<]+", own) == [report.paper["url"]] * 2
    assert not re.search(r"<(?:link|script|img)[^>]*(?:src|href)=\"(?!data:)[^\"]", own)
    assert "default-src 'none'" in own
    assert "</script><b>" not in page
    for table in report.tables:
        assert table.caption in page
    assert len(page) < 25_000_000


def test_command_writes_page_and_tables_and_says_when_it_cannot_draw(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (folder / "plots").mkdir()
    old = folder / "plots" / "kodak-lpips.png"
    old.write_bytes(b"stored")
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no browser"))
    out = tmp_path / "out"
    assert main(["--results", str(folder), "-o", str(out), "--images", "0"]) == 0
    assert "stored plots kept: no Chromium" in capsys.readouterr().out
    assert old.read_bytes() == b"stored"
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    written = {path.name for path in (folder / "tables").iterdir()}
    assert written == {
        "bd-kodak.md",
        "times-kodak.md",
        "quality-kodak.md",
        "vvc-check.md",
        "provenance.md",
    }


@pytest.mark.whole
@pytest.mark.skipif(find_browser() is None, reason="no Chromium to draw plots with")
def test_plots_are_drawn(folder: Path, tmp_path: Path) -> None:
    plots = build_report(folder).plots[:1]
    (path,) = write_plots(plots, tmp_path / "plots")
    assert path.name == "kodak-lpips.png"
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 20_000


def test_stored_tables_are_those_of_the_stored_results() -> None:
    for name, table in tables(RESULTS).items():
        stored = RESULTS / "tables" / f"{name}.md"
        assert stored.read_text() == table.markdown() + "\n", "run make report"
