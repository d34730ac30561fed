"""Ways to damage bytes, and numbers for headers, that both fuzzers draw from."""

from __future__ import annotations

import random


def flip(rng: random.Random, data: bytes, most: int = 8) -> bytes:
    """Some bits changed."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, most)):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def splice(rng: random.Random, a: bytes, b: bytes) -> bytes:
    """The beginning of one and the end of another."""
    return a[: rng.randint(0, len(a))] + b[rng.randint(0, len(b)) :]


def overwrite(rng: random.Random, data: bytes, end: int) -> bytes:
    """Some of the first ``end`` bytes replaced."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        if changed:
            changed[rng.randrange(min(end, len(changed)))] = rng.randrange(256)
    return bytes(changed)


def number(rng: random.Random) -> int:
    """Of any size up to 40 bits, small ones as often as large ones."""
    return rng.getrandbits(rng.randint(0, 40))
