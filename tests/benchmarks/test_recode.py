"""Another coding of pictures that are measured already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare, recode
from benchmarks.codecs import BY_PRIOR, OURS
from compressai_vq.picture import write_picture

from ..fixtures import photograph
from ..taming_reference import one_thread  # noqa: F401

pytestmark = pytest.mark.whole

TIMES = ("encoding_time", "decoding_time")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``images`` and with ``results`` of both codings of them."""
    folder = tmp_path_factory.mktemp("measured")
    for n in range(2):
        write_picture(folder / "images" / f"image{n}.png", photograph(176, 176 + 16 * n, n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "OUT", folder / "out")
        arguments = ["--dataset", f"small={folder / 'images'}", "--codecs", f"{OURS},{BY_PRIOR}"]
        assert compare.main([*arguments, "--metrics", "", "-o", str(folder / "results")]) == 0
    return folder


def report(folder: Path, codec: str) -> dict[str, Any]:
    return json.loads((folder / "results" / "small" / f"{codec}.json").read_text())


def write(folder: Path, content: dict[str, Any]) -> Path:
    """Results in ``folder`` by frequencies alone; returns the folder of results."""
    path = folder / "results" / "small" / f"{OURS}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return folder / "results"


def test_bytes_are_the_priors_and_figures_those_that_were_measured(
    measured: Path, tmp_path: Path
) -> None:
    plain, coded = report(measured, OURS), report(measured, BY_PRIOR)
    for n, row in enumerate(plain["images"]):
        row["lpips"] = n / 100
    results = write(tmp_path, plain)
    arguments = ["--dataset", f"small={measured / 'images'}", "--results", str(results)]
    assert recode.main(arguments) == 0
    found = report(tmp_path, BY_PRIOR)
    assert [found[k] for k in ("fingerprint", "prior", "dataset", "label")] == [
        coded[k] for k in ("fingerprint", "prior", "dataset", "label")
    ]
    assert found["description"].startswith(coded["description"])
    assert f"from {OURS}.json" in found["description"]
    for n, (row, expected) in enumerate(zip(found["images"], coded["images"], strict=True)):
        assert row.pop("lpips") == n / 100
        assert all(row.pop(name) > 0 and expected.pop(name) > 0 for name in TIMES)
        assert row == expected
    assert len(found["results"]["lpips"]) == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(fingerprint="ab" * 32), "with other weights"),
        (lambda content: content["images"].pop(), "on other images"),
        (lambda content: content["images"][3].update(image="image7.png"), "on other images"),
        (lambda content: content["images"][3].update({"psnr-rgb": 3.0}), "another picture"),
    ],
)
def test_what_was_measured_of_other_pictures_is_not_taken(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, message: str
) -> None:
    plain = report(measured, OURS)
    change(plain)
    results = write(tmp_path, plain)
    arguments = ["--dataset", f"small={measured / 'images'}", "--results", str(results)]
    assert recode.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "results" / "small" / f"{BY_PRIOR}.json").exists()


def test_results_that_are_not_there_are_one_line(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--dataset", f"small={measured / 'images'}", "--results", str(tmp_path)]
    assert recode.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
