"""What is told, under the tables, of how far baselines and our own weights were trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.codecs import OURS
from benchmarks.report.__main__ import RESULTS
from benchmarks.report.results import load_results
from benchmarks.train_baselines.keep import keep
from compressai_vq.errors import CodecError

from .made_up_results import write_results
from .report_tables import cells, tables


def test_what_we_train_says_how_long_it_was_trained(tmp_path: Path) -> None:
    folder, runs = tmp_path, tmp_path / "runs"
    write_results(folder, "kodak", [OURS, "vvc", "hific-lowrate"], ["a", "b"])
    for target, crops, bpp in (("0.02", 3000, 0.0214), ("0.045", 1200, 0.0437)):
        facts = {
            "target_bpp": float(target), "crops": crops, "hours": crops / 6000, "parameters": 7,
            "photographs": 9, "commits": ["abc"], "training": {"bpp": bpp, "psnr": 20.0},
            "settings": {"crop": 96},
        }  # fmt: skip
        path = runs / "hific" / f"hific-{target}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(facts))
    others = [{"target_bpp": 0.1}]
    (folder / "baselines.json").write_text(
        json.dumps({"hific-lowrate": others, "cheng2020-lowrate": others})
    )
    kept = keep(runs, folder / "baselines.json")
    assert list(kept) == ["cheng2020-lowrate", "hific-lowrate"]
    assert kept["cheng2020-lowrate"] == others != kept["hific-lowrate"]
    (folder / "baselines.json").write_text(json.dumps({"hific-lowrate": kept["hific-lowrate"]}))
    table = tables(folder)["bd-kodak"]
    assert cells(table, "HiFiC")[0].endswith("\N{SUPERSCRIPT ONE}")
    assert cells(table, "VVC")[0][-1].isascii()
    assert table.notes[-1] == (
        "\N{SUPERSCRIPT ONE} Trained on 3,000 crops of 96 pixels in 0.50 hours; bits per pixel in "
        "training (target; crops seen by then): 0.044 (0.045; 1,200), 0.021 (0.02; 3,000)."
    )
    stages = {
        name: {"crops": crops, "crop_side": side, "hours": hours}
        for name, crops, side, hours in (("pretrain", 900, 128, 0.5), ("finetune", 600, 64, 1.75))
    }
    (folder / "training.json").write_text(json.dumps(stages))
    notes = tables(folder)["bd-kodak"].notes
    assert notes[-2] == "Ours was trained on 1,500 crops of 64 to 128 pixels in 2.25 hours."
    assert notes[-1] == table.notes[-1]
    (folder / "training.json").write_text('{"pretrain": {}}')
    with pytest.raises(CodecError, match=r"training\.json .*training_log; make it anew"):
        tables(folder)
    (folder / "baselines.json").write_text('{"hific-lowrate": [{}]}')
    with pytest.raises(CodecError, match=r"baselines\.json .* make it anew"):
        tables(folder)
    (folder / "baselines.json").write_text("{")
    with pytest.raises(CodecError, match=r"baselines\.json is damaged .*: remove it"):
        keep(runs, folder / "baselines.json")


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "run benchmarks.train_baselines"), ("{}", "no 'target_bpp'")]
)
def test_trainings_that_cannot_be_summarised(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "hific").mkdir()
        (tmp_path / "hific" / "hific-0.02.json").write_text(content)
    with pytest.raises(CodecError, match=reason):
        keep(tmp_path, tmp_path / "baselines.json")
    assert not (tmp_path / "baselines.json").exists()


def test_every_retrained_baseline_of_the_readme_has_its_training() -> None:
    for dataset, curves in load_results(RESULTS).items():
        table = tables(RESULTS)[f"bd-{dataset}"]
        retrained = [curve for key, curve in curves.items() if key.endswith("-lowrate")]
        notes = [note for note in table.notes if "Trained on" in note]
        assert len(notes) == len(retrained)
        for curve in retrained:
            assert cells(table, curve.label)[0] != curve.label
