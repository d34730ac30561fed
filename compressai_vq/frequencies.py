"""Log-frequencies to integer CDFs, in integer arithmetic only.

The encoder and the decoder must agree on every entry of a CDF, and a model may rebuild its
CDFs on another machine than the one that wrote a file.  Floating-point exponentials differ
between machines in the last bit; so logarithms are first rounded to 1/1024 of a bit, which
every machine does alike, and all that follows is on integers::

    log2 frequency --round--> 1/1024 bits --table of 2^(i/1024)--> weight --> frequency --> CDF
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

PRECISION = 16
"""Bits of a CDF: the coder's frequencies sum to 2 ** 16."""

_STEPS = 1024  # per bit
_WEIGHT_BITS = 40


@functools.cache
def _powers_of_two() -> list[int]:
    """floor(2 ** (32 + i / 1024)) for i in [0, 1024), by exact integer square roots."""
    guard = 64
    one = 1 << (32 + guard)
    roots = [one << 1]  # 2^(1/2^k), scaled by `one`
    for _ in range(10):
        roots.append(math.isqrt(roots[-1] * one))
    powers = []
    for i in range(_STEPS):
        power = one
        for bit in range(10):
            if i >> bit & 1:
                power = power * roots[10 - bit] // one
        powers.append(power >> guard)
    return powers


def integer_weights(log2_frequencies: NDArray[np.float32]) -> NDArray[np.int64]:
    """Weights in proportion to 2 ** log2_frequencies, the largest 2 ** 40 or a little less.

    Args:
        log2_frequencies: fp32 (K,), in bits; only differences count.

    Returns:
        int64 (K,), at least 0.

    Raises:
        ValueError: when an entry is not finite.
    """
    if not np.isfinite(log2_frequencies).all():
        raise ValueError("log-frequencies must be finite")
    # Scaling by a power of two is exact, and rounding to even is the same everywhere.
    steps = np.rint(log2_frequencies.astype(np.float64) * _STEPS)
    below = np.clip(steps.max() - steps, 0, 64 * _STEPS).astype(np.int64)
    whole, fraction = -(-below // _STEPS), -below % _STEPS
    table = np.array(_powers_of_two(), dtype=np.int64) << (_WEIGHT_BITS - 32)
    return table[fraction] >> np.minimum(whole, 62)


def quantized_frequencies(weights: NDArray[np.int64]) -> list[int]:
    """Frequencies of at least 1 that sum to 2 ** PRECISION, in proportion to ``weights``.

    Symbols too rare for a share of their own get 1, and the others share what is left, by
    largest remainder; of equal remainders the first symbol is served first.

    Args:
        weights: int64 (K,), not negative, K from 2 to 2 ** PRECISION; all zero stands for all
            equal.

    Raises:
        ValueError: when there are too few or too many symbols.
    """
    total = 1 << PRECISION
    if not 2 <= len(weights) <= total:
        raise ValueError(f"cannot code {len(weights)} symbols with {PRECISION}-bit frequencies")
    values = [int(w) for w in weights] if weights.any() else [1] * len(weights)
    shared = set(range(len(values)))
    while True:
        mass = sum(values[i] for i in shared)
        slots = total - (len(values) - len(shared))
        rare = {i for i in shared if values[i] * slots < mass}
        if not rare:
            break
        shared -= rare
    frequencies = [1] * len(values)
    remainders = []
    for i in shared:
        frequencies[i], remainder = divmod(values[i] * slots, mass)
        remainders.append((-remainder, i))
    for _, i in sorted(remainders)[: total - sum(frequencies)]:
        frequencies[i] += 1
    return frequencies


def cumulative(frequencies: list[int]) -> list[int]:
    """The CDF as the rANS coder wants it: K + 2 entries, the escape bin without mass."""
    cdf = [0]
    for frequency in frequencies:
        cdf.append(cdf[-1] + frequency)
    return [*cdf, cdf[-1]]
