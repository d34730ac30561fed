"""The learning rate that most stages have: a linear warm-up, then a cosine."""

from __future__ import annotations

import math


def warm_cosine(step: int, steps: int, warmup: int, first: float, last: float) -> float:
    """The learning rate of a step.

    Args:
        step: from 0.
        steps: of the whole run; there the rate would be ``last``.
        warmup: steps in which it rises from next to nothing to ``first``.
        first: the highest.
        last: the lowest after the warm-up.
    """
    if step < warmup:
        return first * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return last + (first - last) * (0.5 + 0.5 * math.cos(math.pi * done))
