"""Mutated ``.cvq`` files, and what becomes of them.

``python -m tests.fuzzing --files 20000 --seed 0`` prints the figures of such a run, with the
weights of the package.  Every file must give a CodecError for a known reason or a picture of
exactly the size that its header states; anything else ends the run with its seed and number.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from compressai_vq.atomic_file import write_atomically
from compressai_vq.codec import VQGANCodec
from compressai_vq.codings import CODINGS
from compressai_vq.container import Container
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.machine import describe_machine
from compressai_vq.pretrained import pretrained_weights

from .fixtures import photograph
from .forgery import forge
from .mutations import flip, number, overwrite, splice

REASONS = (
    "not a .cvq file",
    "the file is empty",
    "is truncated",
    "bytes too many",
    "checksum does not fit",
    "number in its header is malformed",
    "is not known to this release",
    "needs a later release",
    "is not between 1 and 9",
    "an image cannot be",
    "megapixels",
    "made with weights",
    "made with mao2024-vqgan",
    "by an index prior",
    "another index prior",
    "index stream of",
    "index stream is damaged",
)
"""Words that tell the reasons apart; the first that fits counts."""


class Original(NamedTuple):
    """A whole file and the fields that forgeries of it start from."""

    data: bytes
    container: Container

    def forged(self, payload: bytes | None = None, **fields: Any) -> bytes:
        """The file with other fields, or another payload, and a checksum that fits."""
        container = self.container
        values: dict[str, Any] = {
            "width": container.width,
            "height": container.height,
            "quality": container.quality,
            "fingerprint": container.fingerprint,
            "payload": container.payload if payload is None else payload,
            "coding": CODINGS.index(container.coding),
        }
        return forge(**{**values, **fields})


@dataclass
class Figures:
    """What a run found."""

    files: int = 0
    seed: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # by reason
    decoded: int = 0
    decoded_by_the_networks: int = 0  # the others by a stand-in
    kinds: Counter[str] = field(default_factory=Counter)  # by kind of mutation
    seconds: float = 0.0
    slowest_seconds: float = 0.0
    peak_memory_mib: float = 0.0


def originals(codec: FileCodec) -> list[Original]:
    """Files of several sizes and qualities."""
    sizes = [(1, 1), (16, 48), (100, 33), (128, 192), (1, 700)]
    files = []
    for n, (height, width) in enumerate(sizes):
        for quality in (1, 4 + n, 9):
            data = codec.compress(photograph(height, width, n % 2), quality)
            files.append(Original(data, Container.from_bytes(data)))
    return files


def mutations(
    files: list[Original], number: int, seed: int, max_pixels: int
) -> Iterator[tuple[str, bytes]]:
    """Mutated files with the kind of mutation; the same for the same seed."""
    rng = random.Random(seed)
    kinds = list(_KINDS)
    for n in range(number):
        kind = kinds[n % len(kinds)]
        yield kind, _KINDS[kind](rng, rng.choice(files), rng.choice(files), max_pixels)


def fuzz(codec: FileCodec, number: int, seed: int, networks_every: int = 4) -> Figures:
    """Decode mutated files.

    Args:
        codec: decodes; its networks are replaced by a stand-in for the time of the run,
            except for one in ``networks_every`` of the pictures.
        number: of files.
        seed: of the mutations.

    Raises:
        AssertionError: for anything but a known refusal or a picture of the right size.
    """
    figures = Figures(number, seed)
    files = originals(codec)
    real = {quality: codec.codec(quality).paint for quality in codec.weights.qualities}

    def paint(quality: int, indices: Tensor, height: int, width: int) -> Tensor:
        figures.decoded += 1
        small = indices.numel() <= 4096
        if small and figures.decoded % networks_every == 0:
            figures.decoded_by_the_networks += 1
            return real[quality](indices, height, width)
        grey = (indices % 251).to(torch.uint8)
        blocks = grey.repeat_interleave(16, 0).repeat_interleave(16, 1)
        return blocks[:height, :width].expand(3, -1, -1)

    def stand_in(quality: int) -> Callable[[Tensor, int, int], Tensor]:
        return lambda indices, height, width: paint(quality, indices, height, width)

    codecs: dict[int, VQGANCodec] = {q: codec.codec(q) for q in codec.weights.qualities}
    for quality, model in codecs.items():
        model.paint = stand_in(quality)  # type: ignore[method-assign,assignment]
    started = time.perf_counter()
    try:
        for n, (kind, data) in enumerate(mutations(files, number, seed, codec.max_pixels)):
            figures.kinds[kind] += 1
            before = time.perf_counter()
            try:
                _decode_one(codec, data, figures)
            except Exception as error:
                raise AssertionError(f"file {n} ({kind}) of seed {seed}: {error!r}") from error
            figures.slowest_seconds = max(figures.slowest_seconds, time.perf_counter() - before)
    finally:
        for model in codecs.values():
            del model.paint
    figures.seconds = time.perf_counter() - started
    figures.peak_memory_mib = peak_memory_mib()
    return figures


def _decode_one(codec: FileCodec, data: bytes, figures: Figures) -> None:
    try:
        picture = codec.decompress(data)
    except CodecError as error:
        message = str(error)
        if "\n" in message or len(message) > 300:
            raise AssertionError(f"not one line: {message}") from error
        figures.refused[reason(message)] += 1
        return
    width, height = stated_size(data)
    if picture.dtype != torch.uint8 or picture.shape != (3, height, width):
        raise AssertionError(f"{picture.shape} instead of {width}x{height}")
    if width * height > codec.max_pixels:
        raise AssertionError(f"{width}x{height} is beyond the limit")


def reason(message: str) -> str:
    """The known words in an error message; AssertionError when there are none."""
    for words in REASONS:
        if words in message:
            return words
    raise AssertionError(f"refused for an unknown reason: {message}")


def stated_size(data: bytes) -> tuple[int, int]:
    """Width and height from a header, read by the format's description."""
    numbers: list[int] = []
    at = 6
    while len(numbers) < 2:
        value, shift = 0, 0
        while True:
            value |= (data[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 0x80:
                break
        numbers.append(value)
    return numbers[0], numbers[1]


def peak_memory_mib() -> float:
    """The most memory that this process has held; 0 where that cannot be asked."""
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / (1 << 20)


# -- kinds of mutation -------------------------------------------------------------------


def _sides(rng: random.Random, max_pixels: int) -> dict[str, int]:
    """Width and height within the limit, and now and then just at or beyond it."""
    width = 1 << rng.randint(0, 20)
    height = max(1, min(max_pixels // width + rng.choice((0, 0, 1)), 1 << rng.randint(0, 20)))
    return {"width": width, "height": height}


_Kind = Callable[[random.Random, Original, Original, int], bytes]
_KINDS: dict[str, _Kind] = {
    # Damage: the checksum does not know of it.
    "bits flipped": lambda r, a, b, n: flip(r, a.data),
    "cut": lambda r, a, b, n: a.data[: r.randrange(len(a.data))],
    "extended": lambda r, a, b, n: a.data + r.randbytes(r.randint(1, 64)),
    "spliced": lambda r, a, b, n: splice(r, a.data, b.data),
    "header overwritten": lambda r, a, b, n: overwrite(r, a.data, 17),
    "noise": lambda r, a, b, n: r.randbytes(r.randint(0, 64)),
    "noise after the magic": lambda r, a, b, n: b"VQ\x11" + r.randbytes(r.randint(0, 64)),
    # Forgery: the checksum fits, and what is wrong goes as far as it can.
    "forged bits": lambda r, a, b, n: a.forged(flip(r, a.container.payload)),
    "forged cut": lambda r, a, b, n: a.forged(
        a.container.payload[: r.randint(0, len(a.container.payload))]
    ),
    "forged extension": lambda r, a, b, n: a.forged(
        a.container.payload + r.randbytes(4 * r.randint(1, 9))
    ),
    "forged splice": lambda r, a, b, n: a.forged(
        splice(r, a.container.payload, b.container.payload)
    ),
    "forged noise": lambda r, a, b, n: a.forged(
        r.randbytes(4 * r.randint(0, 200)), quality=r.randint(1, 9)
    ),
    "forged zeros": lambda r, a, b, n: a.forged(
        bytes(4 * r.randint(0, 200)), quality=r.randint(1, 9)
    ),
    "forged ones": lambda r, a, b, n: a.forged(
        b"\xff" * (4 * r.randint(0, 200)), quality=r.randint(1, 9)
    ),
    "forged quality": lambda r, a, b, n: a.forged(quality=r.randrange(16)),
    "forged size": lambda r, a, b, n: a.forged(
        width=max(1, a.container.width + r.randint(-16, 16)),
        height=max(1, a.container.height + r.randint(-16, 16)),
    ),
    "forged large size": lambda r, a, b, n: a.forged(
        r.choice((None, bytes(8), r.randbytes(8), r.randbytes(4000))), **_sides(r, n)
    ),
    "forged absurd numbers": lambda r, a, b, n: a.forged(
        width=number(r), height=number(r), surplus=r.choice((0, 0, 1, 9))
    ),
    "forged length": lambda r, a, b, n: a.forged(length=number(r)),
    "forged names": lambda r, a, b, n: a.forged(
        version=r.choice((1, r.randrange(16))),
        architecture=r.randrange(16),
        coding=r.choice((0, 1, r.randrange(16))),
        fingerprint=r.choice((a.container.fingerprint, r.randbytes(2))),
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="write the figures here, as JSON")
    arguments = parser.parse_args(argv)
    codec = FileCodec(pretrained_weights("mao2024-vqgan-lite"), coding="frequencies")
    publish(vars(fuzz(codec, arguments.files, arguments.seed)), arguments.output)
    return 0


def publish(figures: dict[str, Any], output: Path | None) -> None:
    """Print a run's figures with the machine, and write them to a file if one is asked for."""
    text = json.dumps({**figures, "machine": describe_machine()}, indent=1)
    print(text)
    if output:
        write_atomically(output, (text + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
