"""``python -m compressai.utils.eval_model`` and what follows on its output."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import compressai.zoo
import pytest
import torch

from compressai_vq import eval_model, zoo
from compressai_vq.cache import cache_dir
from compressai_vq.errors import CodecError
from compressai_vq.metrics.picture_metrics import PictureMetrics

from .conftest import Tool, run_tool

pytestmark = pytest.mark.whole

EVAL = ("-m", "compressai.utils.eval_model")


@pytest.mark.parametrize("module", ["compressai.utils.eval_model", "compressai_vq.eval_model"])
def test_pretrained(forked: Tool, photographs: Path, module: str) -> None:
    arguments: tuple[str, ...] = ("-a", "mao2024-vqgan-lite", "-q", "1,5,9")
    if module == "compressai_vq.eval_model":
        arguments += ("--no-perceptual",)
    # CompressAI's own in a Python of its own, as users run it; every other test forks.
    run = run_tool if module == "compressai.utils.eval_model" else forked
    result = run("-m", module, "pretrained", photographs / "test", *arguments)
    report = json.loads(result.stdout)
    assert report["name"] == "mao2024-vqgan-lite-mse"
    rates = report["results"]["bpp"]
    assert rates == sorted(rates)
    blocks = 256 * 192 / 256
    for rate, codewords in zip(rates, (8, 128, 2048), strict=True):
        assert rate * 256 * 192 <= blocks * math.log2(codewords) * 1.1 + 64
    assert all(math.isfinite(v) for v in report["results"]["ms-ssim-rgb"])


def test_entropy_estimation_agrees_with_the_coder(forked: Tool, photographs: Path) -> None:
    arguments = ("pretrained", photographs / "test", "-a", "mao2024-vqgan-lite", "-q", "9")
    real = json.loads(forked(*EVAL, *arguments).stdout)["results"]
    estimate = json.loads(forked(*EVAL, *arguments, "--entropy-estimation").stdout)["results"]
    pixels = 256 * 192
    bits = real["bpp"][0] * pixels - estimate["bpp"][0] * pixels
    assert abs(bits) <= 0.005 * estimate["bpp"][0] * pixels + 64
    assert real["psnr-rgb"] == pytest.approx(estimate["psnr-rgb"], abs=0.01)


def test_checkpoint_update_and_plot(
    forked: Tool, photographs: Path, checkpoint: Path, tmp_path: Path
) -> None:
    architecture = ("-a", "mao2024-vqgan-lite")
    update = ("-m", "compressai.utils.update_model", checkpoint, *architecture)
    forked(*update, "-d", tmp_path / "updated", "-n", "tiny")
    (updated,) = (tmp_path / "updated").iterdir()
    results = []
    for path in (checkpoint, updated):
        result = forked(
            *EVAL, "checkpoint", photographs / "test", *architecture, "-p", path,
            "-d", tmp_path, "-o", f"{path.parent.name}.json",
        )  # fmt: skip
        results.append(json.loads(result.stdout)["results"])
    # An untrained codec's files have the same size before and after, and so has its picture.
    assert results[0]["bpp"] == results[1]["bpp"]
    assert results[0]["psnr-rgb"] == results[1]["psnr-rgb"]
    json_files = sorted(tmp_path.glob("*.json"))
    figure = tmp_path / "curve.png"
    forked("-m", "compressai.utils.plot", "-f", *json_files, "-m", "psnr-rgb", "-o", figure)
    assert figure.stat().st_size > 1000


def test_update_model_keeps_tamings_names(forked: Tool, tmp_path: Path) -> None:
    """CompressAI's loaders rewrite ``.downsample.``; nothing of ours may be called so."""
    make = (
        "import sys, torch\n"
        "from compressai_vq.architectures import Mao2024VQGAN\n"
        "torch.save(Mao2024VQGAN(8, 32, width=32).state_dict(), sys.argv[1])\n"
    )
    source = tmp_path / "small.pth"
    forked("-c", make, source)
    update = ("-m", "compressai.utils.update_model", source, "-a", "mao2024-vqgan")
    forked(*update, "-d", tmp_path / "updated")
    assert len(list((tmp_path / "updated").iterdir())) == 1


class Outcome(NamedTuple):
    """What :func:`compressai_vq.eval_model.main` did."""

    code: int
    out: str
    err: str

    @property
    def results(self) -> dict[str, list[float]]:
        return json.loads(self.out)["results"]


Run = Callable[..., Outcome]


@pytest.fixture
def run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Runs our module in this process, with a cache that has backbones at most."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "backbones").symlink_to(cache_dir() / "backbones")
    monkeypatch.setenv("COMPRESSAI_VQ_CACHE", str(tmp_path / "cache"))
    threads = torch.get_num_threads()

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = eval_model.main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    yield run
    torch.set_num_threads(threads)  # CompressAI's tool sets one


@pytest.fixture
def factorized(tmp_path: Path) -> Path:
    """A small untrained checkpoint of one of CompressAI's own architectures."""
    path = tmp_path / "factorized.pth.tar"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = compressai.zoo.image.model_architectures["bmshj2018-factorized"](8, 12)
    torch.save({"state_dict": net.state_dict()}, path)
    return path


def perceptual() -> None:
    """Skip where a metric's backbone would have to be downloaded."""
    try:
        PictureMetrics(("lpips", "dists"), allow_download=False)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")


def steady(results: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name: values for name, values in results.items() if not name.endswith("_time")}


def test_perceptual_metrics_are_added_and_plotted(
    run: Run,
    forked: Tool,
    photographs: Path,
    checkpoint: Path,
    factorized: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import compressai.utils.eval_model.__main__ as tool

    perceptual()
    files = []
    for name, path in (("mao2024-vqgan-lite", checkpoint), ("bmshj2018-factorized", factorized)):
        arguments = ("checkpoint", str(photographs / "test"), "-a", name, "-p", str(path))
        folder = tmp_path / name
        ours = run(*arguments, "-d", folder, "--per-image")
        files.append(folder / f"{name}-ans.json")
        report = json.loads(files[-1].read_text())
        assert report == json.loads(ours.out)
        tool.main(list(arguments))
        theirs = json.loads(capsys.readouterr().out)
        assert (report["name"], report["description"]) == (theirs["name"], theirs["description"])
        assert list(report["results"]) == [*theirs["results"], "lpips", "dists"]
        for figure, values in steady(theirs["results"]).items():
            assert report["results"][figure] == values
        images = [
            json.loads(found.read_text())
            for source in ("china", "flower")
            for found in folder.glob(f"{source}-*-ans.json")
        ]
        assert [image["source"] for image in images] == ["china", "flower"]
        for figure in ("lpips", "dists", "bpp"):
            per_image = [image["results"][figure] for image in images]
            assert min(per_image) > 0
            assert report["results"][figure] == [pytest.approx(sum(per_image) / 2)]
    picture = tmp_path / "curve.png"
    forked("-m", "compressai.utils.plot", "-f", *files, "-m", "lpips", "-o", picture)
    assert picture.stat().st_size > 1000


class Interruption:
    """Stands before the tool's inference; a person presses Ctrl-C at the n-th picture."""

    def __init__(self, patch: pytest.MonkeyPatch, after: int | None = None) -> None:
        import compressai.utils.eval_model.__main__ as tool

        self.calls = 0
        self._after = after
        self._inference = tool.inference
        patch.setattr(tool, "inference", self)

    def __call__(self, *arguments: Any) -> dict[str, float]:
        if self.calls == self._after:
            raise KeyboardInterrupt
        self.calls += 1
        return self._inference(*arguments)


def test_an_interrupted_run_goes_on(
    run: Run, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (
        "pretrained",
        photographs / "test",
        "-a",
        "mao2024-vqgan-lite",
        "-q",
        "2,7",
        "--no-perceptual",
    )
    whole = run(*arguments)
    rows = tmp_path / "cache" / "eval_model"
    assert list(rows.iterdir()) == []
    with monkeypatch.context() as patch:
        Interruption(patch, after=3)
        result = run(*arguments)
    assert (result.code, result.out) == (130, "")
    assert result.err.splitlines()[-1] == "interrupted; the same command goes on from here"
    assert len(list(rows.iterdir())) == 1
    with monkeypatch.context() as patch:
        second = Interruption(patch)
        again = run(*arguments)
    assert (again.code, second.calls) == (0, 1)
    resumed, expected = steady(again.results), steady(whole.results)
    assert resumed.keys() == expected.keys()
    for name, values in expected.items():
        # What was measured twice may differ in the seventh digit: seen once, on a busy machine.
        assert resumed[name] == pytest.approx(values, rel=1e-5), name
    assert list(rows.iterdir()) == []


@pytest.mark.parametrize("arguments, code", [(("-q", "1", "--no-perceptual"), 0), (("-q", ""), 2)])
def test_without_standard_error_it_runs_all_the_same(
    run: Run,
    photographs: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    result = run("pretrained", photographs / "test", "-a", "mao2024-vqgan-lite", *arguments)
    assert (result.code, bool(result.out)) == (code, code == 0)


def test_other_weights_under_the_same_name_are_measured_anew(
    run: Run,
    photographs: Path,
    checkpoint: Path,
    factorized: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = (
        "checkpoint", photographs / "test", "-a", "bmshj2018-factorized", "-p", factorized,
        "--no-perceptual",
    )  # fmt: skip
    with monkeypatch.context() as patch:
        Interruption(patch, after=1)
        assert run(*arguments).code == 130
    state = torch.load(factorized)["state_dict"]
    torch.save({"state_dict": {k: v * 1.5 for k, v in state.items()}}, factorized)
    with monkeypatch.context() as patch:
        second = Interruption(patch)
        assert run(*arguments).code == 0
    assert second.calls == 2


def test_another_index_prior_s_rows_are_not_taken(
    run: Run, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (
        "pretrained", photographs / "test", "-a", "mao2024-vqgan-lite", "-q", "2",
        "--no-perceptual",
    )  # fmt: skip
    with monkeypatch.context() as patch:
        Interruption(patch, after=1)
        assert run(*arguments).code == 130
    monkeypatch.setattr("compressai_vq.prior.prior_weights.packaged_prior", lambda _: None)
    with monkeypatch.context() as patch:
        second = Interruption(patch)
        assert run(*arguments).code == 0
    assert second.calls == 2


def test_bad_input(run: Run, photographs: Path, factorized: Path, tmp_path: Path) -> None:
    from PIL import Image

    ours = ("-a", "mao2024-vqgan-lite", "--no-perceptual")
    for name in ("empty", "small", "text"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (200, 160)).save(tmp_path / "small" / "a.png")
    (tmp_path / "text" / "b.png").write_bytes(b"text")
    (tmp_path / "folder" / "c.png").mkdir(parents=True)
    variable = ("-a", "bmshj2018-hyperprior-vbr", "--no-perceptual")
    photos = photographs / "test"
    state = zoo.mao2024_vqgan_lite(5).state_dict()
    parallel = {f"module.{name}": value for name, value in state.items()}
    for name, saved in (("untrained", state), ("parallel", parallel)):
        torch.save({"state_dict": saved}, tmp_path / f"{name}.pth.tar")
    (no_tables, prefixed) = (tmp_path / f"{name}.pth.tar" for name in ("untrained", "parallel"))
    cases: list[tuple[tuple[object, ...], str]] = [
        ((), "pretrained or checkpoint"),
        (("pretrained", tmp_path / "empty", *ours), "empty: no files that end in"),
        (("pretrained", tmp_path / "missing", *ours), "missing: no files that end in"),
        (("pretrained", tmp_path / "small", *ours), "a.png: MS-SSIM needs sides of at least 161"),
        (("pretrained", tmp_path / "text", *ours), "b.png: cannot be read"),
        (("pretrained", tmp_path / "folder", *ours), "c.png: cannot be read: it is not a file"),
        (("pretrained", photos, *variable, "--vbr_quantstep", "1,0"), "takes steps above 0"),
        (("checkpoint", photos, *variable, "-p", factorized, factorized), "one checkpoint"),
        (("pretrained", photos, *ours, "-q", "1,x"), "-q takes numbers"),
        (("pretrained", photos, *ours, "-q", "12"), "at quality 12: Invalid quality"),
        (("pretrained", photos, *ours, "-q", ""), "-q takes numbers such as 1,5,9, not ''"),
        (("pretrained", photos, *ours, "-q", ","), "-q takes numbers"),
        (("pretrained", photos, *ours, "--per-image"), "needs a folder"),
        (("checkpoint", photos, *ours, "-p", factorized), "cannot load mao2024-vqgan-lite from"),
        (("checkpoint", photos, *ours, "-p", tmp_path / "no.pth"), "no.pth"),
        (("checkpoint", photos, *ours, "-p", no_tables, "--no-update"), "Run update() first"),
        (("checkpoint", photos, *ours, "-p", prefixed), "DataParallel saved it"),
    ]
    for arguments, words in cases:
        result = run(*arguments)
        assert (result.code, result.out) == (2, ""), arguments
        *_, line = result.err.splitlines()
        assert line.startswith("error: ") and words in line


def test_a_picture_that_pillow_takes_for_a_bomb_is_one_line(
    run: Run, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    ours = ("-a", "mao2024-vqgan-lite", "--no-perceptual", "-q", "1")
    result = run("pretrained", photographs / "test", *ours)
    assert (result.code, result.out) == (2, "")
    *_, line = result.err.splitlines()
    assert line.startswith("error: ") and "china.png: cannot be read: Image size" in line


def test_without_backbones_one_line_says_what_to_do(
    run: Run, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> PictureMetrics:
        raise CodecError("no alexnet backbone")

    monkeypatch.setattr(eval_model, "PictureMetrics", missing)
    result = run("pretrained", photographs / "test", "-a", "mao2024-vqgan-lite")
    assert (result.code, result.out) == (2, "")
    assert (
        result.err == "error: no alexnet backbone; or leave LPIPS and DISTS out: --no-perceptual\n"
    )
