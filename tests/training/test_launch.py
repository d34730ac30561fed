"""``compressai-vq train`` as users run it, on a few made-up pictures."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

from compressai_vq.cli.__main__ import main
from compressai_vq.file_codec import FileCodec
from compressai_vq.importing import import_checkpoint
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.networks.taming import TamingDecoder, TamingEncoder
from compressai_vq.picture import write_picture
from compressai_vq.training.config import TrainingConfig
from compressai_vq.training.ladder import Ladder
from compressai_vq.training.run import freeze
from compressai_vq.training.stages import pretrain_model

from ..fixtures import photograph, untrained_weights
from ..taming_reference import Reference, one_thread, save_lightning  # noqa: F401

pytestmark = [pytest.mark.usefixtures("narrow"), pytest.mark.whole]

SETTINGS: dict[str, Any] = {
    "steps": 4,
    "batch": 4,
    "crop": 32,
    "learning_rate": 1e-3,
    "final_learning_rate": 1e-4,
    "warmup": 2,
    "unquantized": 2,
    "codewords": 2048,
    "latent_channels": 4,
    "decay": 0.9,
    "average": 0.9,
    "commitment": 0.1,
    "spread": 0.0,
    "alex": 0.0,
    "vgg": 0.0,
    "seed": 0,
}


def _config(path: Path, **changes: Any) -> Path:
    lines = []
    for name, value in {**SETTINGS, **changes}.items():
        lines.append(f"{name} = {value!r}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    generator = torch.Generator().manual_seed(0)
    for n in range(3):
        coarse = torch.rand(1, 3, 4, 4, generator=generator)
        smooth = torch.nn.functional.interpolate(coarse, (48, 64), mode="bilinear")
        write_picture(folder / f"{n}.png", (smooth[0] * 255).to(torch.uint8))
    return folder


def _average(runs: Path, stage: str) -> dict[str, torch.Tensor]:
    return torch.load(runs / stage / "state.pt", weights_only=True)["average"]


# The networks of the process that they are compared with.
NARROW = """
import sys
from compressai_vq.cli.__main__ import main
from compressai_vq.networks import lite
lite.WIDTHS = (16, 16, 16)
"""
WORKER = NARROW + "sys.exit(main())"
# What torchrun runs, with processes that are copies: each need not import everything anew.
AGENT = (
    NARROW
    + """
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
import compressai_vq.training.launch
config = LaunchConfig(
    min_nodes=1, max_nodes=1, nproc_per_node=2, rdzv_backend="c10d",
    rdzv_endpoint="localhost:0", start_method="fork",
)
sys.exit(elastic_launch(config, main)(sys.argv[1:]) != {0: 0, 1: 0})
"""
)
FORKED = ["-c", AGENT]
TORCHRUN = [
    "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0",
    "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "worker.py",
]  # fmt: skip


@pytest.mark.parametrize(
    "start", [FORKED, pytest.param(TORCHRUN, marks=pytest.mark.slow)], ids=["forked", "torchrun"]
)
def test_two_processes_train_as_one(start: list[str], folder: Path, tmp_path: Path) -> None:
    config = _config(tmp_path / "config.toml", spread=1.0)
    arguments = ["train", "pretrain", "--data", str(folder), "--validation", str(folder)]
    arguments += ["--config", str(config), "--threads", "1", "--save-every", "2"]
    (tmp_path / "worker.py").write_text(WORKER)
    command = [sys.executable, *start, *arguments, "--runs", str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COMPRESSAI_VQ_AUTOLOAD": "0"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=240, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert main([*arguments, "--runs", str(tmp_path / "one")]) == 0
    one, two = (
        torch.load(tmp_path / name / "pretrain" / "state.pt", weights_only=True)
        for name in ("one", "two")
    )
    assert (two["step"], two["processes"]) == (4, 2)
    before = pretrain_model(TrainingConfig.load(config)).state_dict()

    def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], *kinds: str) -> float:
        names = [name for name in before if name.startswith(kinds)]
        return math.hypot(*((a[name].double() - b[name].double()).norm().item() for name in names))

    # Sums of two processes are rounded in another order, in bf16 where a CPU is fast at it;
    # processes that did not share their gradients would end nearly as far apart as they came.
    for which in ("model", "average"):
        for kinds in (("encoder.", "decoder."), ("codebooks.",)):
            way = distance(one[which], before, *kinds)
            assert way > 0
            assert distance(one[which], two[which], *kinds) < 0.3 * way, (which, kinds)
    for name in before:
        if name.startswith(("encoder.", "decoder.")):
            assert torch.allclose(one["average"][name], two["average"][name], atol=2e-3), name
    assert any(not torch.equal(one["model"][k], one["average"][k]) for k in before)


def test_phases_are_as_if_settings_had_been_changed_by_hand(folder: Path, tmp_path: Path) -> None:
    base: dict[str, Any] = {"crop": 48, "cooldown": 1, "unquantized": 0}
    phase = [{"from_step": 2, "optimizer": "muon", "grain": 2}]
    whole = _config(tmp_path / "whole.toml", **base)
    lines = [f"{k} = {v!r}" for k, v in phase[0].items()]
    whole.write_text(whole.read_text() + "\n".join(["[[phase]]", *lines]) + "\n")
    first = _config(tmp_path / "first.toml", **base)
    second = _config(tmp_path / "second.toml", **base, optimizer="muon", grain=2)

    def train(config: Path, runs: str, *more: str) -> None:
        arguments = ["train", "pretrain", "--data", str(folder), "--validation", str(folder)]
        arguments += ["--config", str(config), "--threads", "1", "--runs", str(tmp_path / runs)]
        assert main([*arguments, *more]) == 0

    train(whole, "whole")
    train(first, "hand", "--steps", "2")
    train(second, "hand")
    states = [
        torch.load(tmp_path / runs / "pretrain" / "state.pt", weights_only=True)
        for runs in ("whole", "hand")
    ]
    changed = {"step": 2, "optimizer": "muon", "grain": 2}
    assert states[0]["changes"] == [changed]
    assert states[1]["changes"] == [{**changed, "steps": 4}]
    assert states[0]["config"]["phase"] == phase
    # A run that has come past a phase's start goes on in that phase.
    train(whole, "whole", "--steps", "5")
    after = torch.load(tmp_path / "whole" / "pretrain" / "state.pt", weights_only=True)
    assert after["step"] == 5 and after["changes"] == [changed, {"step": 4, "steps": 5}]
    for name, value in states[0]["average"].items():
        assert torch.equal(value, states[1]["average"][name]), name


def test_an_imported_checkpoint_is_fine_tuned_and_exported(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    checkpoint = tmp_path / "published.ckpt"
    save_lightning(checkpoint, Reference(8, channels=8).state_dict())
    weights = tmp_path / "imported.safetensors"
    import_checkpoint(checkpoint, progress=False).save(weights)
    quality = LadderWeights.load(weights).qualities[0]
    config = _config(
        tmp_path / "config.toml", steps=2, batch=1, unquantized=0, codewords=0,
        latent_channels=8, qualities=[quality], train="codebook",
    )  # fmt: skip
    runs = ["--runs", str(tmp_path / "runs"), "--data", str(folder)]
    start = ["--start", str(weights), "--validation", str(folder), "--config", str(config)]
    assert main(["train", "finetune", *runs, *start]) == 0
    output = tmp_path / "tuned.safetensors"
    assert main(["train", "export", *runs, *start[:2], "-o", str(output)]) == 0
    tuned, before = LadderWeights.load(output), LadderWeights.load(weights)
    assert (tuned.architecture, tuned.qualities) == ("mao2024-vqgan", [quality])
    quant = "encoder.quant_conv.weight"
    assert not torch.allclose(tuned.tensors[quant].float(), before.tensors[quant], atol=1e-4)
    deep = "encoder.net.conv_in.weight"
    assert torch.equal(tuned.tensors[deep], before.tensors[deep].half()), "it was to stay"
    codec = tuned.codec(quality)
    x = torch.rand(1, 3, 32, 48)
    assert codec.decompress(**codec.compress(x))["x_hat"].shape == x.shape


def test_a_better_encoder_writes_the_same_images(folder: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    untrained_weights().save(weights)
    weights.with_suffix(".json").write_text('{"commands": ["earlier"], "stages": {"cluster": {}}}')
    base: dict[str, Any] = {"steps": 2, "batch": 9, "unquantized": 0, "codewords": 0}
    config = _config(tmp_path / "config.toml", **base, train="encoder", learning_rate=0.1)
    runs = ["--runs", str(tmp_path / "runs"), "--data", str(folder)]
    start = ["--start-from", str(weights)]
    more = ["--validation", str(folder), "--config", str(config)]
    assert main(["train", "finetune", *runs, *start, *more]) == 0
    output = tmp_path / "better.safetensors"
    assert main(["train", "export", *runs, *start, "-o", str(output)]) == 0
    before, better = LadderWeights.load(weights), LadderWeights.load(output)
    assert better.fingerprint != before.fingerprint == better.image_fingerprint
    for name, value in before.tensors.items():
        assert torch.equal(value, better.tensors[name]) or name.startswith("encoder."), name
    facts = json.loads(output.with_suffix(".json").read_text())
    assert facts["commands"][0] == "earlier" and list(facts["stages"]) == ["cluster", "finetune"]
    assert "--start-from" in facts["commands"][1] and "--start-from" in facts["commands"][2]
    data = FileCodec(better).compress(photograph(48, 64), 9)
    assert data != FileCodec(before).compress(photograph(48, 64), 9)
    assert torch.equal(FileCodec(before).decompress(data), FileCodec(better).decompress(data))
    # Not from other weights than those that it started from.
    untrained_weights(1).save(weights)
    output.unlink()
    assert main(["train", "export", *runs, *start, "-o", str(output)]) == 2
    assert not output.exists()


def test_a_stage_goes_on_from_a_weights_file(folder: Path, tmp_path: Path) -> None:
    weights, output = tmp_path / "weights.safetensors", tmp_path / "better.safetensors"
    untrained_weights().save(weights)
    weights.with_suffix(".json").write_text(
        '{"commands": ["earlier"], "stages": {"cluster": {}, "finetune": {"steps": 1}}}'
    )
    base: dict[str, Any] = {"steps": 2, "batch": 9, "unquantized": 0, "codewords": 0}
    config = _config(tmp_path / "config.toml", **base)
    runs = ["--runs", str(tmp_path / "runs"), "--data", str(folder)]
    start = ["--start-from", str(weights)]
    more = ["--validation", str(folder), "--config", str(config)]
    assert main(["train", "finetune", *runs, *start, *more]) == 0
    assert main(["train", "export", *runs, *start, "-o", str(output)]) == 0
    before, after = LadderWeights.load(weights), LadderWeights.load(output)
    assert after.image_fingerprint == after.fingerprint != before.fingerprint
    for name in ("encoder.stem.weight", "decoder.stem.weight"):
        assert not torch.equal(before.tensors[name], after.tensors[name]), name
    facts = json.loads(output.with_suffix(".json").read_text())
    assert facts["commands"][0] == "earlier"
    assert all("--runs LATER" in line for line in facts["commands"][1:])
    assert "--config CONFIG --start-from WEIGHTS.safetensors" in facts["commands"][1]
    assert {name: stage.get("steps") for name, stage in facts["stages"].items()} == {
        "cluster": None, "finetune": 1, "finetune 2": 2
    }  # fmt: skip
    # A share of it.
    half = tmp_path / "half.safetensors"
    assert main(["train", "export", *runs, *start, "--blend", "0.25", "-o", str(half)]) == 0
    both = LadderWeights.load(half)
    for name in ("encoder.stem.weight", "decoder.stem.weight", "codebooks.9"):
        mean = 0.75 * before.tensors[name].float() + 0.25 * after.tensors[name].float()
        assert torch.allclose(both.tensors[name].float(), mean, atol=1e-3, rtol=1e-3), name
        assert not torch.equal(both.tensors[name], after.tensors[name]), name
    facts = json.loads(half.with_suffix(".json").read_text())
    assert facts["blend"] == 0.25 and "--blend 0.25 -o" in facts["commands"][-1]
    for share in ("0", "1.5"):
        more = ["--blend", share, "-o", str(output)]
        assert main(["train", "export", *runs, *start, *more]) == 2
    output.unlink()
    assert main(["train", "export", *runs, "--blend", "0.5", "-o", str(output)]) == 2
    # Only with the weights that it started from.
    assert main(["train", "export", *runs, "-o", str(output)]) == 2
    untrained_weights(1).save(tmp_path / "others.safetensors")
    others = ["--start-from", str(tmp_path / "others.safetensors")]
    assert main(["train", "export", *runs, *others, "-o", str(output)]) == 2
    assert not output.exists()
    (tmp_path / "runs" / "cluster").mkdir()
    (tmp_path / "runs" / "cluster" / "state.pt").touch()
    assert main(["train", "export", *runs, *start, "--of", "cluster", "-o", str(output)]) == 2
    assert not output.exists()


@pytest.mark.parametrize("taming", [False, True])
def test_encoder_mode_trains_the_encoder(taming: bool) -> None:
    networks = (TamingEncoder(4, 32), TamingDecoder(4, 32)) if taming else ()
    model = Ladder({0: torch.randn(8, 4)}, 0.9, *networks)
    freeze(model, "encoder")
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert names == {f"encoder.{name}" for name, _ in model.encoder.named_parameters()}


@pytest.mark.parametrize("taming", [False, True])
def test_codebook_mode_trains_what_is_next_to_the_codebook(taming: bool) -> None:
    networks = (TamingEncoder(4, 32), TamingDecoder(4, 32)) if taming else ()
    model = Ladder({0: torch.randn(8, 4)}, 0.9, *networks)
    freeze(model, "codebook")
    names = {name.rsplit(".", 1)[0] for name, p in model.named_parameters() if p.requires_grad}
    expected = {True: {"encoder.quant_conv", "decoder.post_quant_conv"}}
    assert names == expected.get(taming, {"encoder.head", "decoder.stem"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["finetune"], "required: --validation"),
        (["export"], "required: -o/--output"),
        (["finetune", "--validation", "FOLDER"], "run cluster first"),
        (["pretrain", "--validation", "nowhere"], "nowhere: no such"),
        (["pretrain", "--validation", "FOLDER", "--config", "nowhere.toml"], "nowhere.toml"),
        (["cluster"], "run pretrain first"),
        (["export", "-o", "out.safetensors"], "no finetune stage"),
        (["export", "-o", "out.json"], "weights go to a .safetensors file"),
        (["export", "-o", "FOLDER"], "is a folder"),
        (["export", "-o", "FOLDER/0.png"], "exists; --force overwrites it"),
        (["export", "-o", "FOLDER/there.safetensors"], "there.json exists; --force"),
        (["pretrain", "--validation", "FOLDER", "--devices", "0"], "--devices: 0 is not"),
        (["pretrain", "--validation", "FOLDER", "--nodes", "0"], "--nodes: 0 is not"),
        (["pretrain", "--validation", "FOLDER", "--steps", "0"], "--steps: 0 is not"),
        (["pretrain", "--validation", "FOLDER", "--save-every", "0"], "--save-every: 0 is not"),
        (["pretrain", "--validation", "FOLDER", "--threads", "-1"], "--threads is 0 or more"),
        (["cluster", "--start", "w.safetensors"], "unrecognized arguments: --start"),
        (["cluster", "--steps", "5"], "unrecognized arguments: --steps"),
        (["cluster", "-o", "out.safetensors"], "unrecognized arguments: -o"),
        (["pretrain", "--validation", "FOLDER", "--start", "w"], "unrecognized arguments"),
        (["export", "-o", "out.safetensors", "--config", "c"], "unrecognized arguments: --config"),
        (["finetune", "--validation", "FOLDER", "--blend", "1"], "unrecognized arguments: --bl"),
        (["pretrain", "--validation", "FOLDER/0.png"], "neither a folder nor a whole tar"),
    ],
)
def test_bad_use_is_one_line(
    arguments: list[str],
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [a.replace("FOLDER", str(folder)) for a in arguments]
    (folder / "there.json").touch()
    config = [] if "--config" in given or given[0] in ("cluster", "export") else [
        "--config", str(_config(tmp_path / "c.toml"))
    ]  # fmt: skip
    common = ["--data", str(folder), "--runs", str(tmp_path / "runs")]
    code: object
    try:
        code = main(["train", *given, *config, *common])
    except SystemExit as ended:
        code = ended.code
    error = capsys.readouterr().err.strip()
    assert code == 2
    assert message in error and error.count("\n") == 0
    assert not (tmp_path / "out.safetensors").exists()


def test_a_codebook_too_small_to_cluster_is_refused_before_it_is_trained(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = _config(tmp_path / "c.toml", codewords=2047)
    arguments = ["--data", str(folder), "--validation", str(folder), "--config", str(config)]
    assert main(["train", "pretrain", *arguments, "--runs", str(tmp_path / "runs")]) == 2
    assert "codewords is 2048 or more" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("done", [0, 2])
def test_phases_batches_are_checked_before_anything_is_trained(
    done: int,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = _config(tmp_path / "c.toml", unquantized=0, batch=6)
    phases = "[[phase]]\nfrom_step = 1\nbatch = 5\n[[phase]]\nfrom_step = 2\nbatch = 4\n"
    config.write_text(config.read_text() + phases)
    monkeypatch.setattr(Fabric, "world_size", property(lambda self: 3))
    monkeypatch.setattr("compressai_vq.training.launch.steps_done", lambda folder: done)
    arguments = ["--data", str(folder), "--validation", str(folder), "--config", str(config)]
    assert main(["train", "pretrain", *arguments, "--runs", str(tmp_path / "runs")]) == 2
    # A phase that is over no longer matters.
    batch = 4 if done else 5
    assert f"a batch of {batch} cannot be dealt out evenly" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_run_that_is_done_says_so(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = _config(tmp_path / "c.toml", steps=1, unquantized=0)
    arguments = ["--data", str(folder), "--validation", str(folder), "--config", str(config)]
    arguments += ["--runs", str(tmp_path / "runs")]
    for words in ("step=1 ", "all of its 1 steps are done"):
        assert main(["train", "pretrain", *arguments]) == 0
        assert words in capsys.readouterr().out
