from __future__ import annotations

import dataclasses

import pytest
import torch

from compressai_vq.container import Container
from compressai_vq.errors import CodecError
from compressai_vq.transport.packet import Packet
from compressai_vq.transport.packets import _packets, packetize

from ..fixtures import photograph, untrained_codec
from ..taming_reference import one_thread  # noqa: F401
from .made_up import example_file, prior_codec

CODEC = untrained_codec()


def test_packets_are_at_most_as_large_as_allowed_and_as_few_as_that_needs() -> None:
    data = CODEC.compress(photograph(256, 384), 9)
    indices = CODEC.indices(Container.from_bytes(data))
    one = packetize(data, CODEC, 65507)
    assert len(one) == 1
    for mtu in (60, 100, 333, len(one[0]) - 1, len(one[0])):
        packets = packetize(data, CODEC, mtu)
        assert max(map(len, packets)) <= mtu
        read = [Packet.from_bytes(packet) for packet in packets]
        assert [packet.number for packet in read] == list(range(len(packets)))
        assert {packet.facts for packet in read} == {read[0].facts}
        # Fewer by three in a hundred are too large.
        fewer = len(packets) - 1 - len(packets) // 32
        if fewer:
            facts = dataclasses.replace(read[0].facts, count=fewer)
            assert max(map(len, _packets(facts, indices, CODEC))) > mtu


def test_at_least_so_many() -> None:
    assert len(packetize(example_file(), CODEC, at_least=7)) == 7
    assert len(packetize(example_file(), CODEC, at_least=70)) <= 70
    for wrong in (0, 71):
        with pytest.raises(CodecError, match=f"1 to 70 packets, not {wrong}"):
            packetize(example_file(), CODEC, at_least=wrong)


def test_too_small_packets() -> None:
    with pytest.raises(CodecError, match=r"mtu of 20 bytes is too small .* give at least (\d+)"):
        packetize(example_file(), CODEC, 20)
    with pytest.raises(CodecError) as caught:
        packetize(example_file(), CODEC, -5)
    least = int(str(caught.value).split()[-1])
    assert max(map(len, packetize(example_file(), CODEC, least))) <= least


def test_files_of_both_codings_give_the_same_packets() -> None:
    codec, picture = prior_codec(), photograph(100, 150)
    by_prior = codec.compress(picture, 5)
    assert Container.from_bytes(by_prior).coding == "prior"
    assert torch.equal(codec.decompress(by_prior), CODEC.decompress(example_file()))
    assert packetize(by_prior, codec, 70) == packetize(example_file(), CODEC, 70)


def test_bad_files() -> None:
    with pytest.raises(CodecError, match=r"not a \.cvq file"):
        packetize(b"text", CODEC)
    with pytest.raises(CodecError, match="made with weights 5a01"):
        packetize(untrained_codec(1).compress(photograph(16, 16), 1), CODEC)
