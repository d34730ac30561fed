"""The comparison: result files, going on after an interruption, bad arguments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import compare, image_rows, shared_metrics
from benchmarks.codecs import CODECS, Entry, fingerprint
from compressai_vq.errors import CodecError
from compressai_vq.evaluation import Measure
from compressai_vq.metrics.finished_rows import FinishedRows
from compressai_vq.picture import write_picture
from plugins.still_codecs.still_picture import StillPictureCodec

from ..fixtures import photograph
from ..taming_reference import one_thread  # noqa: F401


class Coarse(StillPictureCodec):
    """Rounds pixels to steps; higher qualities make smaller steps. Counts what it does."""

    label = "Coarse"
    extension = ".coarse"
    description = "rounds pixels, version 1"
    qualities = (1, 2)

    def __init__(self) -> None:
        self.done: list[int] = []
        self.fails_at: int | None = None

    def compress(self, picture: Tensor, quality: int) -> bytes:
        if len(self.done) == self.fails_at:
            raise CodecError("the coarse codec\nhas had enough")
        self.done.append(quality)
        size = [n.to_bytes(2, "big") for n in picture.shape[1:]]
        step = 64 >> quality
        rounded = picture // step * step
        return b"".join(size) + rounded.numpy().tobytes()

    def decompress(self, data: bytes) -> Tensor:
        height, width = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        pixels = torch.frombuffer(bytearray(data[4:]), dtype=torch.uint8)
        return pixels.view(3, height, width)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for n in (0, 1, 2):
        write_picture(folder / f"image{n}.png", photograph(40 + n, 50, n % 2))
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def coarse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Coarse:
    codec = Coarse()
    monkeypatch.setitem(CODECS, "coarse", Entry("Coarse rounding", lambda sources: codec))
    monkeypatch.setattr(compare, "OUT", tmp_path / "out")
    monkeypatch.setattr(compare, "RESULTS", tmp_path / "results")
    return codec


def run(images: Path, *arguments: str, codecs: str = "coarse") -> int:
    fixed = ["--dataset", f"small={images}", "--metrics", "", "--codecs", codecs]
    return compare.main([*fixed, *arguments])


def test_some_qualities_alone(
    images: Path, tmp_path: Path, coarse: Coarse, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(images, "--qualities", "coarse=2") == 0
    assert report(tmp_path)["results"]["quality"] == [2] and coarse.done == [2, 2, 2]
    wrongs = (
        ("coarse=2,7", "no quality 7"),
        ("coarse", "takes CODEC="),
        ("coarse=,", "takes CODEC="),
        ("avif=32", "avif is not among --codecs"),
    )
    for wrong, words in wrongs:
        assert run(images, "--qualities", wrong) == 2
        assert words in capsys.readouterr().err


def test_results_with_more_are_not_replaced(
    images: Path, tmp_path: Path, coarse: Coarse, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(images) == 0
    before = report(tmp_path)
    coarse.done.clear()
    assert run(images, "--qualities", "coarse=2") == 2
    assert "coarse.json has quality 1, which this run would lose" in capsys.readouterr().err
    assert report(tmp_path) == before and coarse.done == []
    assert run(images, "--qualities", "coarse=2", "-o", str(tmp_path / "other")) == 0


def report(tmp_path: Path, codec: str = "coarse", folder: str = "results") -> dict[str, Any]:
    return json.loads((tmp_path / folder / "small" / f"{codec}.json").read_text())


def test_result_files_and_streams(images: Path, tmp_path: Path, coarse: Coarse) -> None:
    assert run(images) == 0
    found = report(tmp_path)
    assert (found["name"], found["label"]) == ("coarse", "Coarse rounding")
    assert found["description"].startswith("rounds pixels, version 1")
    assert found["fingerprint"] == fingerprint(coarse)
    assert found["dataset"] == {"folder": "small", "images": 3}
    assert found["machine"]["threads"] == 1
    keys = [(row["image"], row["quality"]) for row in found["images"]]
    assert keys == [(f"image{n}.png", quality) for n in range(3) for quality in (1, 2)]

    results = found["results"]
    assert results["quality"] == [1, 2]
    sizes = [4 + 3 * (40 + n) * 50 for n in range(3)]
    assert results["bytes"] == [sum(sizes) / 3] * 2
    rates = [8 * size / ((40 + n) * 50) for n, size in enumerate(sizes)]
    assert results["bpp"] == pytest.approx([sum(rates) / 3] * 2)
    assert results["psnr-rgb"][0] < results["psnr-rgb"][1]
    # Not defined for small pictures, and JSON has no NaN.
    assert results["ms-ssim-rgb"] == [None, None]
    assert {"encoding_time", "decoding_time"} <= set(results)
    assert "sha256" not in results

    streams = sorted((tmp_path / "out" / "streams" / "small" / "coarse").iterdir())
    assert [p.name for p in streams] == [
        f"image{n}.q{quality}.coarse" for n in range(3) for quality in (1, 2)
    ]
    assert [p.stat().st_size for p in streams] == [size for size in sizes for _ in range(2)]


def test_goes_on_where_it_was_interrupted(
    images: Path, tmp_path: Path, coarse: Coarse, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = image_rows.evaluate_picture
    calls: list[int] = []

    def interrupted(*arguments: Any) -> Any:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(1)
        return evaluate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(image_rows, "evaluate_picture", interrupted)
        assert run(images) == 130
    assert coarse.done == [1, 2, 1]
    assert not (tmp_path / "results").exists()

    assert run(images) == 0
    assert coarse.done == [1, 2, 1, 2, 1, 2]
    first = report(tmp_path)
    assert run(images) == 0
    assert len(coarse.done) == 6
    assert report(tmp_path) == first


def test_measures_again_what_has_changed(
    images: Path,
    tmp_path: Path,
    coarse: Coarse,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(images) == 0
    # Of one image and quality the file is gone, and another's is not the one measured.
    streams = tmp_path / "out" / "streams" / "small" / "coarse"
    (streams / "image1.q2.coarse").unlink()
    (streams / "image2.q1.coarse").write_bytes(b"damaged")
    coarse.done.clear()
    assert run(images) == 0
    assert coarse.done == [2, 1]
    # An image under the same name has other pixels.
    write_picture(images / "image0.png", photograph(44, 44))
    coarse.done.clear()
    assert run(images) == 0
    assert coarse.done == [1, 2]
    # Another metric is asked for: the file is not made anew, and its times stay.
    coarse.done.clear()
    times = report(tmp_path)["results"]["encoding_time"]
    monkeypatch.setattr(
        image_rows, "measuring", lambda names: lambda original, known: lambda _: {"lpips": 1.0}
    )
    assert run(images, "--metrics", "lpips") == 0
    assert coarse.done == []
    assert report(tmp_path)["results"]["encoding_time"] == times
    assert report(tmp_path)["results"]["lpips"] == [1.0, 1.0]
    # Without it, rows that have it will do, and it is not shown; but results that have it stay.
    coarse.done.clear()
    assert run(images) == 2
    assert "coarse.json has lpips, which this run would lose" in capsys.readouterr().err
    (tmp_path / "results" / "small" / "coarse.json").unlink()
    assert run(images) == 0
    assert coarse.done == []
    assert "lpips" not in report(tmp_path)["results"]
    # The codec has other settings.
    coarse.description = "rounds pixels, version 2"
    assert run(images) == 0
    assert coarse.done == [1, 2] * 3


def test_rows_of_another_machine_are_told_and_those_of_another_format_measured_anew(
    images: Path, tmp_path: Path, coarse: Coarse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_rows, "cpu_name", lambda: "First CPU")
    assert run(images) == 0
    assert report(tmp_path)["machine"]["cpu"] == "First CPU"
    assert all("cpu" not in row for row in report(tmp_path)["images"])
    monkeypatch.setattr(image_rows, "cpu_name", lambda: "Second CPU")
    write_picture(images / "image3.png", photograph(43, 50))
    coarse.done.clear()
    assert run(images) == 0
    assert coarse.done == [1, 2]
    assert report(tmp_path)["machine"]["cpu"] == "First CPU; Second CPU"
    fast = image_rows.prefers_bf16("cpu")
    monkeypatch.setattr(image_rows, "prefers_bf16", lambda _: not fast)
    coarse.done.clear()
    assert run(images) == 0
    assert coarse.done == [1, 2] * 4


def test_a_quick_run_does_not_touch_the_full_results(
    images: Path, tmp_path: Path, coarse: Coarse, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(images) == 0
    full = report(tmp_path)
    coarse.done.clear()
    coarse.description = "rounds pixels, little trained"
    assert run(images, "--images", "2") == 0
    assert coarse.done == [1, 2] * 2
    assert report(tmp_path) == full
    quick = report(tmp_path, folder="out/quick")
    assert quick["dataset"]["images"] == 2
    assert [row["image"] for row in quick["images"]] == [
        row["image"] for row in full["images"][:4]
    ]
    assert run(images, "--images", "2", "-o", str(tmp_path / "results")) == 2
    assert "is for results on all images" in capsys.readouterr().err
    assert report(tmp_path) == full
    coarse.done.clear()
    assert run(images, "--images", "2", "-o", str(tmp_path / "other")) == 0
    assert report(tmp_path, folder="other") == quick
    coarse.description = Coarse.description
    assert run(images) == 0
    assert coarse.done == []  # neither has thrown away what the other measured
    assert report(tmp_path) == full


def test_a_codec_that_fails_leaves_no_result_and_stops_no_other(
    images: Path,
    tmp_path: Path,
    coarse: Coarse,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = Coarse()
    monkeypatch.setitem(CODECS, "other", Entry("Another", lambda sources: other))
    coarse.fails_at = 3
    assert run(images, codecs="coarse,other") == 2
    assert len(other.done) == 6
    assert report(tmp_path, "other")["label"] == "Another"
    assert not (tmp_path / "results" / "small" / "coarse.json").exists()
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[0].endswith("image1.png: the coarse codec has had enough")
    assert all(line.startswith("error: coarse: ") for line in lines)


def test_codecs_that_cannot_be_had(
    images: Path,
    tmp_path: Path,
    coarse: Coarse,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(compare, "CODECS", {key: CODECS[key] for key in ("coarse", "fcc", "savd")})
    assert compare.main(["--dataset", f"small={images}", "--metrics", ""]) == 0
    err = capsys.readouterr().err
    assert "fcc: not available: no public runnable weights\n" in err
    assert "savd: not available" in err
    assert report(tmp_path)["results"]["quality"] == [1, 2]
    # Asked for by name, it is an error; the others are measured all the same.
    (tmp_path / "results" / "small" / "coarse.json").unlink()
    assert run(images, codecs="fcc,coarse") == 2
    assert report(tmp_path)["name"] == "coarse"
    assert run(images, codecs="fcc") == 2
    assert capsys.readouterr().err.endswith("error: none of these codecs is available\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "kodak"], "--dataset takes NAME=DIR, not 'kodak'"),
        (["--dataset", "../kodak=."], "--dataset takes NAME=DIR"),
        (["--dataset", "kodak=/no/such/folder"], "/no/such/folder: no such folder"),
        (["--dataset", "a=EMPTY"], "no images in it"),
        (["--dataset", "a=IMAGES", "--codecs", "vvvc"], "no codec 'vvvc'; there are mao2024"),
        (["--dataset", "a=IMAGES", "--images", "0"], "--images takes a number of at least 1"),
        (["--dataset", "a=IMAGES", "--jobs", "0"], "--jobs takes a number of at least 1"),
        (["--dataset", "a=IMAGES", "--codecs", "coarse", "--metrics", "nice"], "no metric 'nice'"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: list[str],
    message: str,
    images: Path,
    tmp_path: Path,
    coarse: Coarse,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"EMPTY": str(tmp_path / "empty"), "IMAGES": str(images)}
    for name, place in places.items():
        arguments = [a.replace(name, place) for a in arguments]
    assert compare.main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err
    assert err.count("\n") == 1
    assert not coarse.done


def test_equal_pictures_are_measured_once() -> None:
    seen: list[Tensor] = []

    def measure(decoded: Tensor) -> dict[str, float]:
        seen.append(decoded)
        return {"lpips": float(len(seen))}

    remembered = shared_metrics.remembering(measure)
    a, b = photograph(8, 8), photograph(8, 8, 1)
    assert [remembered(x)["lpips"] for x in (a, b, a.clone(), b)] == [1.0, 2.0, 1.0, 2.0]
    assert len(seen) == 2


def test_what_is_known_of_a_picture_is_kept(tmp_path: Path) -> None:
    seen: list[Tensor] = []

    def measure(decoded: Tensor) -> dict[str, float]:
        seen.append(decoded)
        return {"lpips": float(len(seen))}

    a, b = photograph(8, 8), photograph(8, 8, 1)
    for _ in range(2):
        known = FinishedRows(tmp_path / "known.rows", {"original": "a digest"})
        remembered = shared_metrics.remembering(measure, known)
        assert [remembered(x)["lpips"] for x in (a, b)] == [1.0, 2.0]
    assert len(seen) == 2
    # Pixels of another shape are another picture, and another original has other distances.
    assert remembered(a.reshape(3, 4, 16))["lpips"] == 3
    other = FinishedRows(tmp_path / "known.rows", {"original": "another"})
    assert shared_metrics.remembering(measure, other)(a)["lpips"] == 4


def test_another_coding_of_a_picture_does_not_wait_for_metrics(
    images: Path, coarse: Coarse, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    class Metrics:
        def against(self, original: Tensor) -> Measure:
            made.append("features")
            return lambda decoded: {"lpips": float((original != decoded).sum())}

    monkeypatch.setitem(image_rows._loaded, ("lpips",), Metrics())
    assert run(images, "--metrics", "lpips") == 0
    assert len(made) == 3  # images, each at two qualities
    coarse.description = "made up, in another way"
    coarse.done.clear()
    assert run(images, "--metrics", "lpips") == 0
    assert len(coarse.done) == 6 and len(made) == 3


# -- the registry -------------------------------------------------------------------------
