"""Packets as a hostile link delivers them, and what becomes of them.

``python -m tests.packet_fuzzing --cases 20000 --seed 0`` prints the figures of such a run, with
the weights of the package.  A case is what arrives of one image: packets are lost in all of
them, and in most something else happens too.  Every case must give a picture of exactly the
size that a header states, with a mask and confidences, or one CodecError for a known reason;
anything else ends the run with its seed and number.  Where no packet was forged, exactly those
indices must be there whose packets came whole, each as it was sent.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from compressai_vq.codec import VQGANCodec
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.pretrained import pretrained_weights
from compressai_vq.rates import STRIDE
from compressai_vq.transport.assembly import Assembled, assemble
from compressai_vq.transport.interleaving import split_positions
from compressai_vq.transport.packet import Packet
from compressai_vq.transport.restoring import Received, restore

from .fixtures import untrained_weights
from .fuzzing import peak_memory_mib, publish
from .packet_mutations import Case, Original, cases, material

REASONS = (
    "the packet is empty",
    "not a packet",
    "is truncated",
    "checksum does not fit",
    "number in its header is malformed",
    "needs a later release",
    "is not known to this release",
    "is not between 1 and 9",
    "an image cannot be",
    "megapixels",
    "packets cannot be of one",
    "cannot be",
    "made with weights",
    "made with mao2024",
    "would carry nothing",
    "index stream",
    "contradicts another packet",
    "a packet of another image",
    "there are no packets",
)
"""Words that tell the reasons apart; the first that fits counts."""


@dataclass
class Figures:
    """What a run found."""

    cases: int = 0
    seed: int = 0
    pictures: int = 0
    pictures_by_the_networks: int = 0  # the others by a stand-in
    restored_by_the_prior: int = 0  # the others by the other fills
    refused: Counter[str] = field(default_factory=Counter)  # whole cases, by reason
    packets: int = 0
    packets_used: int = 0
    packets_rejected: Counter[str] = field(default_factory=Counter)  # one by one, in pictures
    indices_compared: int = 0  # with those that were sent
    kinds: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest_seconds: float = 0.0
    peak_memory_mib: float = 0.0


def fuzz(
    codec: FileCodec,
    number: int,
    seed: int,
    strange: LadderWeights | None = None,
    networks_every: int = 100,
) -> Figures:
    """Put together and paint what arrives.

    Args:
        codec: paints; its networks are replaced by a stand-in for the time of the run, except
            for one in ``networks_every`` of the pictures, which are also restored by the prior
            if there is one.
        number: of cases.
        seed: of the cases.
        strange: other weights than the codec's; by default untrained ones.

    Raises:
        AssertionError: for anything but a known refusal or a picture as it has to be.
    """
    figures = Figures(number, seed)
    made_of = material(codec, strange or untrained_weights(1))
    truths = {image_of(original.packets[0]): original for original in made_of.originals}
    real = {quality: codec.codec(quality).paint for quality in codec.weights.qualities}
    by_networks = False

    def stand_in(quality: int) -> Callable[[Tensor, int, int], Tensor]:
        def paint(indices: Tensor, height: int, width: int) -> Tensor:
            if by_networks:
                return real[quality](indices, height, width)
            grey = (indices % 251).to(torch.uint8)
            blocks = grey.repeat_interleave(STRIDE, 0).repeat_interleave(STRIDE, 1)
            return blocks[:height, :width].expand(3, -1, -1)

        return paint

    codecs: dict[int, VQGANCodec] = {q: codec.codec(q) for q in codec.weights.qualities}
    for quality, model in codecs.items():
        model.paint = stand_in(quality)  # type: ignore[method-assign,assignment]
    started = time.perf_counter()
    try:
        for n, case in enumerate(cases(made_of, number, seed)):
            figures.kinds[case.kind] += 1
            figures.packets += len(case.arrived)
            before = time.perf_counter()
            try:
                assembled = _assemble(case, codec, truths, figures)
                if assembled is not None:
                    _check_assembled(assembled, case, truths, figures)
                    small = assembled.lost.numel() <= 1024
                    by_networks = small and figures.pictures % networks_every == 0
                    fill = ("nearest", "frequent")[figures.pictures % 2]
                    if by_networks and codec.prior is not None:
                        fill = "prior"
                    received = restore(assembled, codec, fill)
                    _check_received(received, assembled, case)
                    figures.pictures += 1
                    figures.pictures_by_the_networks += by_networks
                    figures.restored_by_the_prior += fill == "prior"
            except Exception as error:
                raise AssertionError(
                    f"case {n} ({case.kind}) of seed {seed}: {error!r}"
                ) from error
            figures.slowest_seconds = max(figures.slowest_seconds, time.perf_counter() - before)
    finally:
        for model in codecs.values():
            del model.paint
    figures.seconds = time.perf_counter() - started
    figures.peak_memory_mib = peak_memory_mib()
    return figures


def _assemble(
    case: Case, codec: FileCodec, truths: dict[bytes, Original], figures: Figures
) -> Assembled | None:
    try:
        return assemble(case.arrived, codec)
    except CodecError as error:
        message = str(error)
        if "\n" in message or len(message) > 300:
            raise AssertionError(f"not one line: {message}") from error
        if not case.forged and any(_whole(case, original) for original in truths.values()):
            raise AssertionError(f"packets came whole: {message}") from error
        figures.refused[reason(message)] += 1
        return None


def _whole(case: Case, original: Original) -> set[bytes]:
    """The packets of an image that came as they were sent."""
    return set(case.arrived) & set(original.packets)


def _check_assembled(
    assembled: Assembled, case: Case, truths: dict[bytes, Original], figures: Figures
) -> None:
    facts, kept = assembled.facts, ~assembled.lost
    places = [rejection.at for rejection in assembled.rejected]
    assert places == sorted(set(places)) and set(places) <= set(range(len(case.arrived)))
    for rejection in assembled.rejected:
        assert "\n" not in rejection.reason
        figures.packets_rejected[reason(rejection.reason)] += 1
    assert 1 <= assembled.used <= assembled.expected <= facts.count
    assert assembled.used + len(places) <= len(case.arrived)
    figures.packets_used += assembled.used
    assert list(assembled.indices.shape) == list(assembled.lost.shape) == list(facts.shape)
    assert kept.any()
    if case.forged:
        return
    truth = truths[facts.image_id]
    whole = _whole(case, truth)
    assert all(len(_whole(case, other)) <= len(whole) for other in truths.values())
    assert assembled.used == len(whole)
    parts = split_positions(*facts.shape, facts.count)
    arrived = torch.zeros(kept.numel(), dtype=torch.bool)
    for packet in whole:
        arrived[parts[Packet.from_bytes(packet).number]] = True
    assert torch.equal(kept, arrived.view(facts.shape))
    assert torch.equal(assembled.indices[kept], truth.indices[kept])
    assert not any(case.arrived[at] in whole for at in places)
    figures.indices_compared += int(kept.sum())


def _check_received(received: Received, assembled: Assembled, case: Case) -> None:
    picture, facts = received.picture, assembled.facts
    assert picture.dtype == torch.uint8 and picture.shape == (3, facts.height, facts.width)
    sizes = {stated_size(data) for at, data in enumerate(case.arrived) if data[:2] == b"VP"}
    assert (facts.width, facts.height) in sizes
    assert torch.equal(received.lost, assembled.lost)
    confidence = received.confidence
    assert confidence.shape == facts.shape
    assert bool(((confidence > 0) & (confidence <= 1)).all())
    assert bool((confidence[~received.lost] == 1).all())


def reason(message: str) -> str:
    """The known words in an error message; AssertionError when there are none."""
    for words in REASONS:
        if words in message:
            return words
    raise AssertionError(f"refused for an unknown reason: {message}")


def image_of(data: bytes) -> bytes:
    """A packet's image id, read by the format's description."""
    return data[6:10]


def stated_size(data: bytes) -> tuple[int, int] | None:
    """Width and height from a packet's header, read by the format's description."""
    numbers: list[int] = []
    at = 10
    while len(numbers) < 2:
        value, shift = 0, 0
        while True:
            if at >= len(data):
                return None
            value |= (data[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 0x80:
                break
        numbers.append(value)
    return numbers[0], numbers[1]


def main(argv: list[str] | None = None) -> int:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.packet_fuzzing", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="write the figures here, as JSON")
    arguments = parser.parse_args(argv)
    codec = FileCodec(pretrained_weights("mao2024-vqgan-lite"), coding="frequencies")
    publish(vars(fuzz(codec, arguments.cases, arguments.seed)), arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
