"""The prior's training: what it learns on, that it learns, and that export keeps it."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from compressai_vq.prior.coder import PriorCoder
from compressai_vq.prior.order import NUM_PASSES, PERIOD, pass_numbers
from compressai_vq.prior.prior_weights import PriorWeights
from compressai_vq.rates import LADDER
from compressai_vq.training.optimizer import OPTIMIZERS
from compressai_vq.training.photographs import random_crops
from compressai_vq.training.prior.__main__ import main
from compressai_vq.training.prior.export import export, integer_network
from compressai_vq.training.prior.index_maps import IndexMaps
from compressai_vq.training.prior.masks import draw_masks
from compressai_vq.training.prior.model import PriorModel
from compressai_vq.training.prior.run import PriorRun
from compressai_vq.training.prior.stored_maps import StoredMaps

from ..fixtures import photograph, seeded, untrained_weights
from .small_prior import TINY, Slopes, few_rates, few_weights, pictures


def test_maps_are_those_of_the_codec() -> None:
    maps = few_rates()
    assert maps.rates == [1, 8] and maps.fingerprint == untrained_weights().fingerprint
    batch = maps.batch([photograph(64, 80)], 3, 48, seed=1, step=2)
    assert {rate: tuple(found.shape) for rate, found in batch.items()} == {
        1: (3, 3, 3),
        8: (3, 3, 3),
    }
    again = maps.batch([photograph(64, 80)], 3, 48, seed=1, step=2)
    assert torch.equal(batch[8], again[8])
    later = maps.batch([photograph(64, 80)], 3, 48, seed=1, step=3)
    assert not torch.equal(batch[8], later[8])
    picture = photograph(64, 80)[None].float() / 127.5 - 1
    found = maps.encode(picture, 8)
    assert torch.equal(found, maps.codecs[8].encode((picture + 1) / 2))
    assert [len(words) for words in maps.codewords().values()] == [16, 2048]
    for frequencies in maps.log2_frequencies().values():
        assert frequencies.exp2().sum().item() == pytest.approx(1, abs=1e-3)


def test_masks_ask_for_what_coding_asks_for() -> None:
    gaps, weights = draw_masks(300, 9, 11, 0.0, np.random.default_rng(0))
    assert (gaps[weights > 0]).all() and (weights.flatten(1) > 0).any(1).float().mean() > 0.9
    # Known positions and asked-for ones are neighbouring passes of the order, shifted.
    numbers = pass_numbers(9 + PERIOD, 11 + PERIOD)
    corners = []
    for gap, weight in zip(gaps[:20], weights[:20], strict=True):
        corners += [
            (top, left)
            for top in range(PERIOD)
            for left in range(PERIOD)
            for chosen in range(NUM_PASSES)
            if torch.equal(gap, (place := numbers[top : top + 9, left : left + 11]) >= chosen)
            and torch.equal(weight > 0, place == chosen)
        ][:1]
    assert len(corners) == 20
    assert all(len(set(starts)) > 2 for starts in zip(*corners, strict=True))
    # The expected loss is the mean over the map: weights sum to one on average.
    assert weights.flatten(1).sum(1).mean().item() == pytest.approx(1, abs=0.1)


def test_random_gaps_have_all_ratios() -> None:
    gaps, weights = draw_masks(200, 10, 10, 1.0, np.random.default_rng(0))
    shares = gaps.flatten(1).float().mean(1)
    assert shares.min() < 0.1 and shares.max() > 0.9
    assert torch.equal(gaps, weights > 0)
    assert torch.allclose(weights.flatten(1).sum(1), torch.ones(200))


def disturbed_model() -> PriorModel:
    torch.manual_seed(0)
    maps = Slopes()
    model = PriorModel(maps.codewords(), maps.log2_frequencies(), channels=24, depth=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@torch.no_grad()
def test_the_integer_network_is_the_model_that_rounds() -> None:
    model = disturbed_model()
    network = integer_network(model)
    for rate in (0, 4):
        indices = torch.randint(LADDER[rate] + 1, (2, 7, 9), generator=seeded())
        pretended = model({rate: indices}, quantize=True)[rate]
        hidden = network.hidden(indices, rate)
        assert torch.equal(hidden, pretended * 32)
        assert hidden.unique().numel() > 30
        logits = network.logits(hidden.flatten(0, 2), rate) / 256
        wanted = model.logits(pretended.flatten(0, 2), rate, quantize=True)
        assert (logits - wanted).abs().max() <= 0.5 / 256 + 1e-4
        plain = model.logits(model({rate: indices})[rate].flatten(0, 2), rate)
        assert (logits - plain).abs().mean() < 0.05 * plain.std()


@torch.no_grad()
def test_large_weights_are_scaled_until_sums_are_exact() -> None:
    model = disturbed_model()
    for layer in (*model.gather, *model.mix):
        assert isinstance(layer.weight, Tensor)
        layer.weight.copy_(layer.weight.abs().clamp(min=0.9))
    for block in integer_network(model).blocks:  # making them checks the bound
        assert block.gather.bound() > 1 << 20


def test_it_learns_and_its_export_codes_as_well(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, steps=120, quantize_from=90)
    data = ["some/shard.tar"]
    run = PriorRun(Slopes(), config, tmp_path, pictures(), pictures()[:3], data=data)
    run.train(save_every=60)
    bits = run.validation_bits()
    assert bits[0] < 0.6 * run.plain[0] and bits[4] < 0.9 * run.plain[4]
    output = tmp_path / "prior.safetensors"
    export(tmp_path, Slopes().codewords(), output)
    weights = PriorWeights.load(output)
    assert weights.codec == bytes(range(32))
    run.model.load_state_dict(run.average)
    averaged = PriorWeights(integer_network(run.model), weights.codec)
    assert averaged.save(tmp_path / "averaged") == weights.fingerprint
    coder = PriorCoder(weights.network)
    for rate, maps in run.validation.items():
        coded = sum(coder.bits(indices, rate) for indices in maps)
        assert coded / maps.numel() == pytest.approx(bits[rate], rel=0.01)
    facts = json.loads(output.with_suffix(".json").read_text())
    assert facts["steps"] == 120 and facts["crops"] == 960 and facts["data"] == ["shard.tar"]
    assert facts["fingerprint"] == weights.fingerprint.hex()
    assert facts["metrics"]["bits_5"] == pytest.approx(bits[4], abs=1e-3)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resumed_training_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    # Muon has what is between at least 64 channels.
    config = dataclasses.replace(TINY, optimizer=optimizer, channels=64)
    run = PriorRun(Slopes(), config, tmp_path / "whole", pictures(), pictures())
    whole = run.train(2)
    step = PriorRun._train_step

    def interrupted(self: PriorRun) -> float:
        if self.step == 5:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(PriorRun, "_train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        PriorRun(Slopes(), config, tmp_path / "parts", pictures(), pictures()).train(2)
    monkeypatch.undo()
    monkeypatch.setattr("compressai_vq.training.source_commit.source_commit", lambda: "later")
    resumed = PriorRun(Slopes(), config, tmp_path / "parts", pictures(), pictures())
    assert resumed.step == 4 and resumed.seconds > 0
    assert resumed.commits == [*run.commits, "later"]
    parts = resumed.train(2)
    assert all(torch.equal(parts[name], value) for name, value in whole.items())
    with (tmp_path / "parts" / "log.csv").open() as log:
        assert [row["step"] for row in csv.DictReader(log)] == ["2", "4", "6"]


def test_a_log_changes_nothing(tmp_path: Path) -> None:
    """It measures the averaged weights, and training goes on with its own."""
    runs = [
        PriorRun(Slopes(), TINY, tmp_path / name, pictures(), pictures()) for name in ("a", "b")
    ]
    often, once = (run.train(save_every) for run, save_every in zip(runs, (1, 6), strict=True))
    assert all(torch.equal(often[name], value) for name, value in once.items())


def test_the_average_follows_at_once_where_there_is_little_to_average(tmp_path: Path) -> None:
    run = PriorRun(Slopes(), dataclasses.replace(TINY, steps=1), tmp_path, pictures(), pictures())
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    average = run.train()
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(average[name], torch.lerp(before[name], value, 0.9))


def test_stored_maps_are_those_of_views_of_the_photographs(tmp_path: Path) -> None:
    maps, photographs = few_rates(), [photograph(64, 80), photograph(96, 64)]
    stored = StoredMaps(maps, photographs, 2, 48, 1.5, tmp_path)
    crops = [
        random_crops([picture], 1, 48, 1000 + view, n, zoom=zoom)
        for view, zoom in ((0, 1.0), (1, 1.5))
        for n, picture in enumerate(photographs)
    ]
    for rate in maps.rates:
        seen = [maps.encode(crop, rate)[0] for crop in crops]
        found = stored.batch(64, seed=1, step=2)[rate]
        assert found.dtype == torch.int64
        places = [[n for n, one in enumerate(seen) if torch.equal(one, each)] for each in found]
        assert {n for place in places for n in place} == {0, 1, 2, 3} and all(places)
    batch = stored.batch(3, seed=1, step=2)
    again = StoredMaps(few_rates(), photographs, 2, 48, 1.5, tmp_path)
    assert torch.equal(again.batch(3, seed=1, step=2)[8], batch[8])
    assert not torch.equal(again.batch(3, seed=1, step=3)[8], batch[8])
    other = dataclasses.replace(few_weights(), fingerprint=bytes(32))
    for wrong in (
        (maps, photographs[:1], 2, 48, 1.5),
        (maps, [photographs[0], 255 - photographs[1]], 2, 48, 1.5),
        (maps, photographs, 2, 48, 2.0),
        (IndexMaps(other), photographs, 2, 48, 1.5),
    ):
        with pytest.raises(ValueError, match=r"views-\d\.pt is of other weights, photographs or"):
            StoredMaps(*wrong, tmp_path)


def test_views_are_encoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(TINY, views=2, steps=3)
    monkeypatch.setattr(Slopes, "batch", None)
    run = PriorRun(Slopes(), config, tmp_path, pictures(), pictures())
    assert sorted(path.name for path in tmp_path.glob("views-*")) == ["views-0.pt", "views-1.pt"]
    monkeypatch.setattr(Slopes, "encode", None)
    run.train()
    assert run.step == 3


def test_a_run_of_other_weights_is_not_resumed(tmp_path: Path) -> None:
    PriorRun(
        Slopes(), dataclasses.replace(TINY, steps=1), tmp_path, pictures(), pictures()
    ).train()
    other = Slopes()
    other.fingerprint = bytes(32)
    with pytest.raises(ValueError, match="other weights"):
        PriorRun(other, TINY, tmp_path, pictures(), pictures())


@pytest.mark.parametrize(
    ("name", "value"), [("channels", 24), ("optimizer", "muon"), ("crop", 144), ("seed", 1)]
)
def test_a_run_is_prolonged_and_not_changed(tmp_path: Path, name: str, value: object) -> None:
    short = dataclasses.replace(TINY, steps=1)
    PriorRun(Slopes(), short, tmp_path, pictures(), pictures()).train()
    before = (tmp_path / "state.pt").read_bytes()
    changed = dataclasses.replace(TINY, **{name: value})  # type: ignore[arg-type]
    wrong = f"{name} {getattr(TINY, name)}, not {value}: give the same settings"
    with pytest.raises(ValueError, match=wrong):
        PriorRun(Slopes(), changed, tmp_path, pictures(), pictures())
    assert (tmp_path / "state.pt").read_bytes() == before
    longer = PriorRun(Slopes(), TINY, tmp_path, pictures(), pictures())
    longer.train()
    assert longer.step == TINY.steps


def test_a_step_on_real_maps(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, steps=1, crop=64, batch=1)
    run = PriorRun(few_rates(), config, tmp_path, [photograph(64, 80)], [photograph(64, 80)])
    before = run.validation_bits()
    for rate, bits in before.items():  # it starts from the frequencies
        assert bits == pytest.approx(run.plain[rate], rel=0.02)
    run.train()
    assert (tmp_path / "state.pt").exists()


def test_command_trains_and_exports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for which in (0, 1):
        pixels = photograph(64, 80, which).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(tmp_path / f"{which}.png")
    fingerprint = few_weights().save(tmp_path / "codec.safetensors")
    config = dataclasses.asdict(dataclasses.replace(TINY, steps=2, crop=48, batch=1))
    (tmp_path / "tiny.toml").write_text("".join(f"{k} = {v!r}\n" for k, v in config.items()))
    arguments = ["--data", str(tmp_path), "--validation", str(tmp_path), "--runs", str(tmp_path)]
    arguments += ["--weights", str(tmp_path / "codec.safetensors")]
    assert main([*arguments, "--config", str(tmp_path / "tiny.toml")]) == 0
    prior = PriorWeights.load(tmp_path / "prior" / "prior.safetensors")
    assert prior.codec == fingerprint
    assert prior.network.sizes == {1: 16, 8: 2048}
    for option, value, words in (
        ("-o", tmp_path / "a.json", "to a .safetensors"),
        ("--threads", -1, "--threads is 0"),
        ("--device", "foo", "--device foo"),
    ):
        assert main([*arguments, option, str(value)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line


def test_bad_settings_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.toml").write_text("stpes = 1\n")
    arguments = ["--data", "none", "--validation", "none", "--runs", str(tmp_path)]
    assert main([*arguments, "--config", str(tmp_path / "bad.toml")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "bad.toml" in line and "stpes" in line
