from __future__ import annotations

import functools
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compressai_vq.container import Container
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.prior.prior_weights import PriorWeights
from compressai_vq.transport import assembly
from compressai_vq.transport.assembly import assemble
from compressai_vq.transport.fills import FILLS
from compressai_vq.transport.interleaving import PacketPositions
from compressai_vq.transport.packet import ImageFacts, Packet
from compressai_vq.transport.packets import packetize
from compressai_vq.transport.restoring import depacketize

from ..fixtures import photograph, properties, untrained_codec
from ..prior.made_up import made_up_network
from ..taming_reference import one_thread  # noqa: F401
from .made_up import example_file, prior_codec

CODEC = untrained_codec()
COUNT = 8


@functools.cache
def packets(which: int = 0) -> tuple[bytes, ...]:
    """Eight packets of 70 indices."""
    return tuple(packetize(example_file(which=which), CODEC, at_least=COUNT))


@functools.cache
def truth() -> torch.Tensor:
    return CODEC.indices(Container.from_bytes(example_file()))


@pytest.mark.parametrize("fill", [None, *FILLS])
@pytest.mark.parametrize("mtu", [60, 1200])
def test_without_loss_it_is_the_files_picture(fill: str | None, mtu: int) -> None:
    arrived = packetize(example_file(), CODEC, mtu)
    received = depacketize(arrived, prior_codec(), fill)
    assert torch.equal(received.picture, CODEC.decompress(example_file()))
    assert not received.lost.any() and (received.confidence == 1).all()
    assert received.used == received.expected == len(arrived)
    assert received.rejected == []
    assert received.fill == (fill or "prior")


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (40, 70)])
def test_small_images_and_as_many_packets_as_indices(height: int, width: int) -> None:
    data = example_file(3, height, width)
    indices = -(-height // 16) * -(-width // 16)
    for count in {1, indices}:
        arrived = packetize(data, CODEC, at_least=count)
        received = depacketize(reversed(arrived), CODEC)
        assert torch.equal(received.picture, CODEC.decompress(data))
        assert received.used == received.expected == len(arrived)


@pytest.mark.parametrize("fill", list(FILLS))
def test_every_single_packet_suffices(fill: str) -> None:
    for number, packet in enumerate(packets()):
        received = depacketize([packet], prior_codec(), fill)
        assert received.picture.shape == (3, 100, 150)
        assert (received.used, received.expected) == (1, COUNT)
        kept = ~received.lost
        assert 0 < kept.sum() <= 10
        assembled = assemble([packet], CODEC)
        assert torch.equal(assembled.indices[kept], truth()[kept])
        assert number == Packet.from_bytes(packet).number


def test_maps_of_pixels() -> None:
    received = depacketize(packets()[:5], CODEC)
    lost = received.per_pixel(received.lost)
    assert lost.shape == (100, 150)
    for row, column in ((0, 0), (99, 149), (17, 40), (63, 64)):
        assert lost[row, column] == received.lost[row // 16, column // 16]
    assert received.per_pixel(received.confidence).min() < 1


Mutation = tuple[int, int, int]  # which packet, what becomes of it, a number for that
mutations = st.lists(
    st.tuples(st.integers(0, COUNT - 1), st.integers(0, 4), st.integers(0, 1 << 16)), max_size=20
)


def arrive(chosen: list[Mutation]) -> tuple[list[bytes], set[int], int]:
    """What arrives, the numbers of packets that are whole, and how many are not usable."""
    arrived, whole, bad = [], set(), 0
    for which, kind, number in chosen:
        data = packets()[which]
        if kind <= 1:
            whole.add(which)
        elif kind == 2:  # flipped
            changed = bytearray(data)
            changed[number // 8 % len(data)] ^= 1 << number % 8
            data = bytes(changed)
        elif kind == 3:  # cut
            data = data[: number % len(data)]
        else:
            data = random.Random(number).randbytes(number % 60)
        bad += kind > 1
        arrived.append(data)
    return arrived, whole, bad


@properties
@given(mutations)
def test_any_subset_order_duplication_and_damage(chosen: list[Mutation]) -> None:
    arrived, whole, bad = arrive(chosen)
    if not whole:
        with pytest.raises(CodecError, match=r"no packets|none of") as caught:
            assemble(arrived, CODEC)
        assert "\n" not in str(caught.value)
        return
    assembled = assemble(arrived, CODEC)
    assert assembled.used == len(whole)
    assert len(assembled.rejected) == bad
    expected = torch.ones(70, dtype=torch.bool)
    for number in whole:
        expected &= assemble([packets()[number]], CODEC).lost.flatten()
    assert torch.equal(assembled.lost.flatten(), expected)
    assert torch.equal(assembled.indices[~assembled.lost], truth()[~assembled.lost])


@pytest.mark.parametrize("fill", list(FILLS))
def test_the_order_of_arrival_changes_nothing(fill: str) -> None:
    arrived = [*packets()[:5], *packets(1)[:5]]
    first = depacketize(arrived, prior_codec(), fill)
    random.Random(0).shuffle(arrived)
    again = depacketize(arrived, prior_codec(), fill)
    assert torch.equal(first.picture, again.picture)
    assert torch.equal(first.confidence, again.confidence)
    assert len(first.rejected) == len(again.rejected) == 5


def test_packets_of_others_are_rejected_one_by_one() -> None:
    weights = packetize(untrained_codec(1).compress(photograph(48, 64), 5), untrained_codec(1))
    arrived = [weights[0], packets()[0], packets(1)[2], b"", packets()[3], packets()[3]]
    assembled = assemble(arrived, CODEC)
    assert assembled.used == 2
    reasons = {rejection.at: rejection.reason for rejection in assembled.rejected}
    assert list(reasons) == [0, 2, 3]
    assert reasons[0].startswith("made with weights 5a01")
    assert reasons[2] == "a packet of another image"
    assert reasons[3] == "the packet is empty"


def forged(number: int, payload: bytes, count: int = COUNT, **others: int) -> bytes:
    facts = Packet.from_bytes(packets()[0]).facts
    fields = {**vars(facts), "count": count, **others}
    return Packet(ImageFacts(**fields), number, payload).to_bytes()


def test_forged_packets_with_checksums_that_fit() -> None:
    payload = Packet.from_bytes(packets()[2]).payload
    bad = forged(2, payload[:-1])
    assembled = assemble([bad, packets()[2]], CODEC)
    assert [rejection.at for rejection in assembled.rejected] == [0]
    assert "index stream" in assembled.rejected[0].reason
    with pytest.raises(CodecError, match="none of 1 packets can be used; the first: index stream"):
        assemble([bad], CODEC)
    # Two that both decode: one is taken, whichever came first.
    other = forged(2, Packet.from_bytes(packets(1)[2]).payload)
    maps = []
    for arrived in ([other, packets()[2]], [packets()[2], other]):
        assembled = assemble(arrived, CODEC)
        assert assembled.used == 1
        assert assembled.rejected[0].reason == "contradicts another packet of its number"
        maps.append(assembled.indices)
    alone = [assemble([each], CODEC).indices for each in (other, packets()[2])]
    assert torch.equal(*maps) and not torch.equal(*alone)
    # An image of more packets, none of which decodes, does not hide the good one.
    flood = [forged(n, bytes(3), count=9) for n in range(9)]
    assert assemble([*flood, packets()[1]], CODEC).used == 1


def test_a_packet_that_can_carry_nothing() -> None:
    # Of a map of 4x1 positions in four packets one holds none.
    tall = example_file(3, 64, 1)
    numbers = {Packet.from_bytes(p).number for p in packetize(tall, CODEC, at_least=4)}
    missing = set(range(4)) - numbers
    facts = Packet.from_bytes(packetize(tall, CODEC, at_least=4)[0]).facts
    for number in missing:
        with pytest.raises(CodecError, match="would carry nothing"):
            assemble([Packet(facts, number, bytes(8)).to_bytes()], CODEC)
    assert missing


def test_forgeries_take_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    length = len(Packet.from_bytes(packets()[2]).payload)
    flood = [forged(2, bytes([n + 1]) + bytes(length - 1)) for n in range(30)]
    whole = [*flood, packets()[1]]
    monkeypatch.setattr(assembly, "_MOST_IN_VAIN", 90)  # positions; a packet has 8 or 9 of 70
    assembled = assemble(whole, CODEC)
    assert assembled.used == 1
    reasons = [rejection.reason for rejection in assembled.rejected]
    unread = [reason for reason in reasons if "too many packets before it were forged" in reason]
    assert len(reasons) == 30 and 18 <= len(unread) <= 20
    # Those of one number take nothing from the others'.
    monkeypatch.undo()
    monkeypatch.setattr(assembly, "_MOST_COPIES", 10)
    assembled = assemble([*flood, *packets()], CODEC)
    assert assembled.used >= COUNT - 1
    reasons = [rejection.reason for rejection in assembled.rejected]
    unread = [reason for reason in reasons if "too many packets before it were forged" in reason]
    assert 20 <= len(unread) <= 21
    # What is too short for its positions is seen so at once, and costs nothing but its image.
    monkeypatch.setattr(assembly, "_MOST_IN_VAIN", 2 * assembly._POSITIONS_OF_IMAGE)
    short = [forged(n, bytes([at, *bytes(7)]), 2) for at in range(30) for n in (0, 1)]
    assembled = assemble([*short, packets()[1]], CODEC)
    assert assembled.used == 1 and assembled.facts.count == COUNT


def test_forged_images_take_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []

    class Counting(PacketPositions):
        def __init__(self, number: int, height: int, width: int, count: int) -> None:
            looked_at.append(count)
            super().__init__(number, height, width, count)

    monkeypatch.setattr(assembly, "PacketPositions", Counting)
    # Of the largest images, in as many packets as there can be, each of another number: to find
    # the pattern of one takes longest.
    largest = {"width": 1 << 14, "height": 1 << 13}
    flood = [forged(0, b"", (1 << 14) - n, **largest) for n in range(60)]
    assembled = assemble([*flood, *packets()], CODEC)
    assert assembled.facts.count == assembled.used == COUNT  # it has more packets
    with pytest.raises(CodecError, match="none of 60 packets"):
        looked_at.clear()
        assemble(flood, CODEC)
    assert 25 < len(looked_at) < 35
    # With an image that is whole nothing is in vain.
    whole = [packet for which in range(2) for packet in packets(which)]
    monkeypatch.setattr(assembly, "_MOST_IN_VAIN", 2 * assembly._POSITIONS_OF_IMAGE)
    assert assemble(whole, CODEC).used == COUNT


def test_a_prior_without_the_images_quality() -> None:
    other = PriorWeights(made_up_network((0, 8)), CODEC.weights.fingerprint, bytes(32))
    codec = FileCodec(CODEC.weights, prior=other, coding="frequencies")
    assert depacketize(packets()[:5], codec).fill == "nearest"
    assert depacketize(packetize(example_file(9), CODEC), codec).fill == "prior"
    with pytest.raises(CodecError, match="no index prior has quality 5: use --fill nearest"):
        depacketize(packets()[:5], codec, "prior")


def test_fills_that_cannot_be() -> None:
    with pytest.raises(CodecError, match="unknown fill other; known: prior, nearest, frequent"):
        depacketize(packets(), CODEC, "other")
    with pytest.raises(CodecError, match="no index prior"):
        depacketize(packets(), CODEC, "prior")
    assert depacketize(packets(), CODEC).fill == "nearest"


@pytest.mark.parametrize("seed", [0])
def test_fuzz(seed: int) -> None:
    """Forged headers and payloads: an image and a mask of its size, or one line."""
    rng = random.Random(seed)
    pictures = 0
    for _ in range(300):
        arrived = []
        for _ in range(rng.randint(1, 4)):
            packet = Packet.from_bytes(rng.choice(packets(rng.randint(0, 1))))
            payload = bytearray(packet.payload)
            if rng.random() < 0.5:
                payload[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
            if rng.random() < 0.2:
                payload = bytearray(rng.randbytes(4 * rng.randint(0, 30)))
            fields = dict(vars(packet.facts))
            for name, value in (
                ("width", 1 << rng.randint(0, 12)),
                ("height", 1 << rng.randint(0, 12)),
                ("count", rng.randint(1, 1 << rng.randint(0, 15))),
                ("quality", rng.randint(1, 9)),
                ("fingerprint", rng.choice((b"\x5a\x00", b"\x00\x00"))),
            ):
                if rng.random() < 0.15:
                    fields[name] = value
            try:
                number = rng.choice((packet.number, rng.randrange(fields["count"])))
                arrived.append(Packet(ImageFacts(**fields), number, bytes(payload)).to_bytes())
            except CodecError:
                continue
        try:
            assembled = assemble(arrived, CODEC)
        except CodecError as error:
            assert "\n" not in str(error) and len(str(error)) < 300
            continue
        pictures += 1
        assert assembled.lost.shape == assembled.indices.shape == assembled.facts.shape
        assert assembled.used + len(assembled.rejected) <= len(arrived)
        size = CODEC.codec(assembled.facts.quality).index_coder.size
        assert assembled.indices.min() >= 0 and assembled.indices.max() < size
    assert 50 < pictures < 290
