"""Runs of the prior that go on from an earlier one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from compressai_vq.errors import CodecError
from compressai_vq.prior.prior_weights import PriorWeights
from compressai_vq.training.prior.config import PriorConfig
from compressai_vq.training.prior.export import export, integer_network
from compressai_vq.training.prior.run import PriorRun

from .small_prior import TINY, Slopes, pictures


def test_a_new_run_goes_on_from_the_prior_of_another_codec(tmp_path: Path) -> None:
    first = PriorRun(Slopes(), TINY, tmp_path / "first", pictures(), pictures())
    learned = first.train(2)
    other = Slopes()
    other.fingerprint = bytes(32)
    words = {rate: 2 * words for rate, words in Slopes().codewords().items()}
    other.codewords = lambda: words  # type: ignore[method-assign]
    start = tmp_path / "first" / "state.pt"
    again = PriorRun(other, TINY, tmp_path / "again", pictures(), pictures(), start=start)
    fresh = PriorRun(other, TINY, tmp_path / "fresh", pictures(), pictures()).model.state_dict()
    for name, value in again.model.state_dict().items():
        kept = fresh if name.startswith("codewords_") else learned
        assert torch.equal(value, kept[name]), name
    again.train(2)
    export(tmp_path / "again", words, tmp_path / "again.safetensors")
    facts = json.loads((tmp_path / "again.json").read_text())
    assert facts["start"]["steps"] == facts["steps"] == TINY.steps
    assert "--start" in facts["commands"][0]


def test_a_start_of_another_depth_is_refused(tmp_path: Path) -> None:
    PriorRun(Slopes(), TINY, tmp_path / "first", pictures(), pictures()).train(2)
    deeper = dataclasses.replace(TINY, depth=TINY.depth + 1)
    start = tmp_path / "first" / "state.pt"
    with pytest.raises(CodecError, match="other rates or another depth"):
        PriorRun(Slopes(), deeper, tmp_path / "again", pictures(), pictures(), start=start)


def test_a_new_run_goes_on_from_a_weights_file(tmp_path: Path) -> None:
    run = PriorRun(Slopes(), TINY, tmp_path / "first", pictures(), pictures())
    run.train(2)
    file = tmp_path / "first.safetensors"
    export(tmp_path / "first", Slopes().codewords(), file)
    again = PriorRun(Slopes(), TINY, tmp_path / "again", pictures(), pictures(), start=file)
    # Nothing is lost: it rounds to the file's own integers.
    same = PriorWeights(integer_network(again.model), Slopes().fingerprint)
    same.save(tmp_path / "same.safetensors")
    assert (tmp_path / "same.safetensors").read_bytes() == file.read_bytes()
    learned = again.train(2)
    assert not torch.equal(learned["read.4.weight"], torch.zeros_like(learned["read.4.weight"]))
    export(tmp_path / "again", Slopes().codewords(), tmp_path / "again.safetensors")
    facts = json.loads((tmp_path / "again.json").read_text())
    assert facts["start"]["fingerprint"] == PriorWeights.load(file).fingerprint.hex()
    assert facts["start"]["steps"] == TINY.steps
    assert "--start EARLIER/first.safetensors" in facts["commands"][0]


def test_what_cannot_be_started_from_is_one_line(tmp_path: Path) -> None:
    def start(path: Path, config: PriorConfig = TINY) -> None:
        PriorRun(Slopes(), config, tmp_path / "again", pictures(), pictures(), start=path)

    (tmp_path / "text.pt").write_text("nothing")
    with pytest.raises(CodecError, match="cannot start from"):
        start(tmp_path / "text.pt")
    run = PriorRun(Slopes(), dataclasses.replace(TINY, steps=1), tmp_path, pictures(), pictures())
    run.train()
    export(tmp_path, Slopes().codewords(), tmp_path / "prior.safetensors")
    with pytest.raises(CodecError, match="other sizes"):
        start(tmp_path / "state.pt", dataclasses.replace(TINY, channels=24))
    with pytest.raises(CodecError, match="another depth"):
        start(tmp_path / "prior.safetensors", dataclasses.replace(TINY, depth=3))


def test_a_run_keeps_its_photographs_and_its_start(tmp_path: Path) -> None:
    """Or its record would tell of what it never saw."""

    def run(folder: str, *, start: str | None = None, data: str = "a/first.tar") -> PriorRun:
        path = None if start is None else tmp_path / start / "state.pt"
        maps, photographs = Slopes(), pictures()
        return PriorRun(
            maps, TINY, tmp_path / folder, photographs, photographs, start=path, data=[data]
        )

    run("one").train(2)
    run("two").train(3)
    run("again", start="one").train(2)
    assert run("again", start="one", data="b/first.tar").step == TINY.steps
    assert run("again").start is not None
    with pytest.raises(ValueError, match=r"is of first\.tar: give the same --data"):
        run("again", start="one", data="second.tar")
    for folder, start in (("again", "two"), ("one", "two")):
        with pytest.raises(ValueError, match="did not begin from that --start"):
            run(folder, start=start)
    export(tmp_path / "again", Slopes().codewords(), tmp_path / "again.safetensors")
    facts = json.loads((tmp_path / "again.json").read_text())
    assert facts["data"] == ["first.tar"] and "--data first.tar" in facts["commands"][0]
