"""A ``.cvq`` file to packets.

::

    file ──► index map ──► P interleaved parts, each coded by itself ──► P packets
"""

from __future__ import annotations

from torch import Tensor

from ..codings import FREQUENCIES
from ..container import Container
from ..errors import CodecError
from ..file_codec import FileCodec
from .interleaving import split_positions
from .packet import MAX_PACKETS, ImageFacts, Packet, image_id

DEFAULT_MTU = 1200
"""Bytes that practically every path on the internet carries in one UDP datagram."""


def packetize(
    stream: bytes, codec: FileCodec, mtu: int = DEFAULT_MTU, at_least: int = 1
) -> list[bytes]:
    """Split a file into packets that can be decoded without each other.

    Args:
        stream: the contents of a ``.cvq`` file, of either coding.
        codec: of the weights that the file was made with.
        mtu: no packet has more bytes; as few packets are made as that allows,
            to within 3%.
        at_least: or so many, so that a lost one leaves smaller holes; at most one for each
            index.

    Returns:
        The packets in the order in which to send them: neighbours in it lie far apart in the
        image, so that bursts of loss do little more harm than single losses.

    Raises:
        CodecError: when the file is damaged or made with other weights, or the mtu is too
            small for any packets or for as many as one image may have.
    """
    container = Container.from_bytes(stream)
    indices = codec.indices(container).cpu()
    width, height = container.width, container.height
    architecture, quality = container.architecture, container.quality
    fingerprint = codec.weights.image_fingerprint[:2]
    identity = image_id(architecture, quality, fingerprint, width, height, indices)
    most = min(MAX_PACKETS, indices.numel())
    if not 1 <= at_least <= most:
        raise CodecError(f"this image can be in 1 to {most} packets, not {at_least}")

    count = at_least
    while True:
        facts = ImageFacts(architecture, quality, fingerprint, identity, width, height, count)
        packets = _packets(facts, indices, codec)
        largest = max(map(len, packets))
        if largest <= mtu:
            return packets
        if count == most:
            raise CodecError(
                f"an mtu of {mtu} bytes is too small for this image: give at least {largest}"
            )
        # More packets have no fewer bytes together: so many are needed at least.  Close to
        # what headers alone take, steps of one would be thousands.
        needed = sum(map(len, packets)) // max(mtu, 1)
        count = min(most, max(needed, count + 1 + count // 32))


def _packets(facts: ImageFacts, indices: Tensor, codec: FileCodec) -> list[bytes]:
    model = codec.codec(facts.quality)
    flat = indices.flatten()
    packets = []
    for number, positions in enumerate(split_positions(*facts.shape, facts.count)):
        if len(positions):
            (payload,) = model.write(flat[positions].view(1, 1, -1), FREQUENCIES)
            packets.append(Packet(facts, number, payload).to_bytes())
    return packets
