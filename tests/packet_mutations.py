"""What a hostile link can do to the packets of an image.

Forged packets are written from the format's description, not with the package's own code.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torch import Tensor

from compressai_vq.container import Container
from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.rates import STRIDE
from compressai_vq.transport.packet import Packet
from compressai_vq.transport.packets import packetize

from .fixtures import photograph
from .forgery import leb128, with_checksum
from .mutations import flip, number, overwrite, splice


class Original(NamedTuple):
    """An image's packets and its index map, which is the truth about them."""

    packets: list[bytes]
    indices: Tensor  # int64 (h, w)


class Material(NamedTuple):
    """What cases are made of."""

    originals: list[Original]
    strangers: list[bytes]  # packets made with other weights


class Case(NamedTuple):
    """What arrives of one image."""

    kind: str
    arrived: list[bytes]
    forged: bool  # whether some have false facts under a checksum that fits


def material(codec: FileCodec, strange: LadderWeights) -> Material:
    """Images of several sizes and qualities, in few packets and in as many as there can be."""
    sizes = [(1, 1), (16, 48), (100, 33), (100, 150), (1, 700), (128, 192)]
    originals = []
    for n, (height, width) in enumerate(sizes):
        most = -(-height // STRIDE) * -(-width // STRIDE)
        for quality, count in ((1, 1), (3 + n, min(8, most)), (9, most)):
            data = codec.compress(photograph(height, width, n % 2), quality)
            indices = codec.indices(Container.from_bytes(data)).cpu()
            originals.append(Original(packetize(data, codec, at_least=count), indices))
    other = FileCodec(strange, coding="frequencies")
    strangers = packetize(other.compress(photograph(100, 150), 5), other, at_least=8)
    return Material(originals, strangers)


def cases(made_of: Material, number: int, seed: int) -> Iterator[Case]:
    """Cases; the same for the same seed and material."""
    rng = random.Random(seed)
    kinds = list(_KINDS)
    for n in range(number):
        kind = kinds[n % len(kinds)]
        original = rng.choice(made_of.originals)
        rate = rng.choice((0, 0.05, 0.2, 0.5, 0.9))
        left = [packet for packet in original.packets if rng.random() >= rate]
        arrived = _KINDS[kind](rng, left, made_of)
        if rng.random() < 0.5:
            rng.shuffle(arrived)
        yield Case(kind, arrived, kind.startswith("forged"))


# -- what happens on the way --------------------------------------------------------------


def _forge(data: bytes, payload: bytes | None = None, surplus: int = 0, **fields: int) -> bytes:
    """A packet with other fields, sensible or not, and a checksum that fits."""
    packet = Packet.from_bytes(data)
    facts = packet.facts
    first = fields.get("version", data[2] >> 4) << 4 | fields.get("architecture", data[2] & 15)
    second = fields.get("quality", facts.quality) << 4 | fields.get("reserved", 0)
    print_, identity = facts.fingerprint, facts.image_id
    if "fingerprint" in fields:
        print_ = fields["fingerprint"].to_bytes(2, "big")
    if "identity" in fields:
        identity = fields["identity"].to_bytes(4, "big")
    numbers = (
        fields.get("width", facts.width),
        fields.get("height", facts.height),
        fields.get("number", packet.number),
        fields.get("count", facts.count),
    )
    head = b"VP" + bytes([first, second]) + print_ + identity
    head += b"".join(leb128(number, surplus) for number in numbers)
    return with_checksum(head, packet.payload if payload is None else payload)


def _payload(rng: random.Random, data: bytes) -> bytes:
    """Another payload: the packet's own with damage, or noise, zeros or ones."""
    own = Packet.from_bytes(data).payload
    changes = (
        lambda: flip(rng, own),
        lambda: own[: rng.randint(0, len(own))],
        lambda: own + rng.randbytes(4 * rng.randint(1, 9)),
        lambda: rng.randbytes(4 * rng.randint(0, 50)),
        lambda: bytes(4 * rng.randint(0, 50)),
        lambda: b"\xff" * (4 * rng.randint(0, 50)),
    )
    return rng.choice(changes)()


def _size(rng: random.Random, data: bytes) -> dict[str, Any]:
    """Another size: close by, or, seldom for it takes long, large."""
    facts = Packet.from_bytes(data).facts
    if rng.random() < 0.9:
        return {
            "width": max(0, facts.width + rng.randint(-32, 32)),
            "height": max(0, facts.height + rng.randint(-32, 32)),
        }
    return {
        "width": 1 << rng.randint(0, 20),
        "height": 1 << rng.randint(0, 20),
        "count": rng.choice((facts.count, 1 << rng.randint(0, 15))),
    }


_Change = Callable[[random.Random, bytes], bytes]
_Kind = Callable[[random.Random, list[bytes], Material], list[bytes]]


def _some(change: _Change, keep: bool = False) -> _Kind:
    """Change one or several of the packets; with ``keep`` they arrive unchanged as well."""

    def kind(rng: random.Random, left: list[bytes], made_of: Material) -> list[bytes]:
        chosen = (
            {rng.randrange(len(left)) for _ in range(rng.choice((1, 1, 3, 9)))} if left else ()
        )
        changed = [change(rng, left[at]) for at in sorted(chosen)]
        kept = [data for at, data in enumerate(left) if keep or at not in chosen]
        return kept + changed

    return kind


def _mixed(rng: random.Random, left: list[bytes], made_of: Material) -> list[bytes]:
    """With packets of another image, fewer or more of them."""
    others = rng.choice(made_of.originals).packets
    return left + rng.sample(others, rng.randint(1, len(others)))


def _strange(rng: random.Random, left: list[bytes], made_of: Material) -> list[bytes]:
    return left + rng.sample(made_of.strangers, rng.randint(1, len(made_of.strangers)))


def _repeated(rng: random.Random, left: list[bytes], made_of: Material) -> list[bytes]:
    return [data for data in left for _ in range(rng.choice((1, 1, 2, 5)))]


def _everything(rng: random.Random, left: list[bytes], made_of: Material) -> list[bytes]:
    """Several of the kinds that leave checksums alone, one after the other."""
    for name in rng.sample(_HONEST, rng.randint(2, 5)):
        left = _KINDS[name](rng, left, made_of)
    return left


_KINDS: dict[str, _Kind] = {
    # The link's and other senders' doing: the checksum tells.
    "lost": lambda r, left, m: left,
    "repeated": _repeated,
    "bits flipped": _some(flip),
    "cut": _some(lambda r, data: data[: r.randint(0, max(len(data) - 1, 0))]),
    "extended": _some(lambda r, data: data + r.randbytes(r.randint(1, 64))),
    "spliced": lambda r, left, m: _some(
        lambda r, data: splice(r, data, r.choice(r.choice(m.originals).packets)), keep=True
    )(r, left, m),
    "header overwritten": _some(lambda r, data: overwrite(r, data, 24)),
    "noise": lambda r, left, m: [*left, r.randbytes(r.randint(0, 64))],
    "noise after the magic": lambda r, left, m: [*left, b"VP\x11" + r.randbytes(r.randint(0, 64))],
    "another image's": _mixed,
    "other weights'": _strange,
    "everything": _everything,
    # Forgery: the checksum fits, and what is wrong goes as far as it can.
    "forged payload": _some(lambda r, data: _forge(data, _payload(r, data))),
    "forged beside the true one": _some(
        lambda r, data: _forge(data, _payload(r, data)), keep=True
    ),
    "forged number": _some(
        lambda r, data: _forge(data, number=r.choice((r.randrange(64), number(r))))
    ),
    "forged count": _some(
        lambda r, data: _forge(data, count=r.choice((r.randrange(64), 1 << r.randrange(16))))
    ),
    "forged size": _some(lambda r, data: _forge(data, **_size(r, data))),
    "forged quality": _some(lambda r, data: _forge(data, quality=r.randrange(16))),
    "forged identity": _some(lambda r, data: _forge(data, identity=r.getrandbits(32))),
    "forged names": _some(
        lambda r, data: _forge(
            data,
            version=r.choice((1, r.randrange(16))),
            architecture=r.randrange(16),
            reserved=r.choice((0, 0, r.randrange(16))),
            fingerprint=r.getrandbits(16),
        )
    ),
    "forged absurd numbers": _some(
        lambda r, data: _forge(
            data,
            surplus=r.choice((0, 0, 1, 9)),
            width=number(r),
            height=number(r),
            count=number(r),
            number=number(r),
        )
    ),
}
_HONEST = [name for name in _KINDS if not name.startswith(("forged", "everything"))]
