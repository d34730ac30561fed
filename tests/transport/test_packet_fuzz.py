from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.pretrained import pretrained_weights
from compressai_vq.transport.assembly import Assembled, assemble

from .. import packet_fuzzing
from ..fixtures import untrained_codec, untrained_weights
from ..packet_fuzzing import Figures, fuzz, image_of, reason, stated_size
from ..packet_mutations import Material, cases, material
from ..taming_reference import one_thread  # noqa: F401
from .made_up import prior_codec


def check(figures: Figures, number: int) -> None:
    assert figures.cases == number == figures.pictures + sum(figures.refused.values())
    assert sum(figures.kinds.values()) == number
    assert len(set(figures.kinds.values())) <= 2  # every kind as often as the others
    assert 0.3 * number < figures.pictures < 0.9 * number
    assert figures.pictures_by_the_networks > 0
    assert figures.indices_compared > 10 * number
    assert figures.packets_used + sum(figures.packets_rejected.values()) <= figures.packets
    # A hang or a runaway allocation, on any machine however busy.
    assert figures.slowest_seconds < 20
    assert figures.peak_memory_mib < 8192


def test_packets() -> None:
    figures = fuzz(prior_codec(), 210, seed=0)
    check(figures, 210)
    assert figures.restored_by_the_prior > 0
    assert len(figures.packets_rejected) >= 12


@pytest.mark.slow
def test_many_packets() -> None:
    codec = FileCodec(pretrained_weights("mao2024-vqgan-lite"), coding="frequencies")
    figures = fuzz(codec, 20_000, seed=1)
    check(figures, 20_000)
    seen = figures.refused.keys() | figures.packets_rejected.keys()
    assert seen == set(packet_fuzzing.REASONS)


@functools.cache
def made_of() -> Material:
    return material(untrained_codec(), untrained_weights(1))


def test_the_same_seed_gives_the_same_cases() -> None:
    first, again, other = (list(cases(made_of(), 50, seed)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def lying(change: Callable[[Assembled], Any]) -> Callable[..., Any]:
    """An ``assemble`` whose results are tampered with."""
    return lambda packets, codec: change(assemble(packets, codec))


def a_wrong_index(assembled: Assembled) -> Assembled:
    wrong = (assembled.indices + 1) % 8
    return dataclasses.replace(assembled, indices=wrong)


def a_packet_ignored(assembled: Assembled) -> Assembled:
    lost = assembled.lost.clone()
    lost.view(-1)[(~lost).flatten().nonzero()[0]] = True
    return dataclasses.replace(assembled, lost=lost)


def a_gap_not_marked(assembled: Assembled) -> Assembled:
    return dataclasses.replace(assembled, lost=torch.zeros_like(assembled.lost))


def refusing(assembled: Assembled) -> Assembled:
    raise CodecError("not a packet")


@pytest.mark.parametrize("change", [a_wrong_index, a_packet_ignored, a_gap_not_marked, refusing])
def test_the_run_notices_what_is_wrong(
    change: Callable[[Assembled], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packet_fuzzing, "assemble", lying(change))
    with pytest.raises(AssertionError, match=r"case \d+ \((?!forged)[\w ]+\) of seed 0"):
        fuzz(untrained_codec(), 100, 0)


def test_reasons_and_headers() -> None:
    with pytest.raises(AssertionError, match="unknown reason"):
        reason("anything")
    (packet,) = made_of().originals[6].packets
    assert stated_size(packet) == (33, 100)
    assert stated_size(packet[:11]) is None
    assert image_of(packet) == packet[6:10]
