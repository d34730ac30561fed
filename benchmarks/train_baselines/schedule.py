"""One run, several operating points: how long each lasts, and what keeps it at its rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Moment:
    """Where in a schedule a step lies."""

    target: float
    """Bits per pixel."""
    warming_up: bool
    """Whether the first operating point's own time has not begun."""
    controlled: bool
    """Whether the rate is steered: not before the networks have learned to use it."""
    learning_rate: float
    """As a share of the full one."""


@dataclass(frozen=True)
class Schedule:
    """A warm-up at a higher rate, then targets from high to low for the same time each.

    In the warm-up's first half the rate is free: steered from the start, networks that cannot
    reconstruct anything yet learn to send nothing.

    Within a target's time the learning rate is constant for the first half and falls to a
    twentieth in the second.

    Args:
        steps: of the whole run.
        targets: bits per pixel, each lower than the one before.
        warmup: share of the steps that is spent at ``warmup_factor`` times the first target.
        warmup_factor: at least 1.
    """

    steps: int
    targets: tuple[float, ...]
    warmup: float = 0.4
    warmup_factor: float = 1.5

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is 1 or more, not {self.steps}")
        if not all(0 < target < math.inf for target in self.targets):
            raise ValueError(f"targets are bits per pixel above 0: {self.targets}")
        if len({f"{target:g}" for target in self.targets}) != len(self.targets):
            raise ValueError(f"targets are too close to be told apart by name: {self.targets}")
        if list(self.targets) != sorted(set(self.targets), reverse=True) or not self.targets:
            raise ValueError(f"targets must fall: {self.targets}")
        if len(set(self.ends())) != len(self.targets):
            raise ValueError(f"{self.steps} steps are too few for {len(self.targets)} targets")

    def ends(self) -> list[int]:
        """How many steps have been made when each target's time is over."""
        warmup = int(self.warmup * self.steps)
        left, count = self.steps - warmup, len(self.targets)
        return [warmup + left * n // count for n in range(1, count + 1)]

    def at(self, step: int) -> Moment:
        """What holds for the step of this number, counted from 0."""
        ends = self.ends()
        ramp = min(1.0, (step + 1) / (0.02 * self.steps + 1))
        start = int(self.warmup * self.steps)
        if step < start:
            controlled = 2 * step >= start
            return Moment(self.warmup_factor * self.targets[0], True, controlled, ramp)
        index = next((n for n, end in enumerate(ends) if step < end), len(ends) - 1)
        start = ends[index - 1] if index else start
        left = (ends[index] - step) / (ends[index] - start)
        rate = ramp * max(0.05, min(1.0, 2 * left))
        return Moment(self.targets[index], False, True, rate)


class RateControl:
    """Moves a weight by small factors until the rate is the wanted one.

    Args:
        weight: to start from.
        raises_rate: whether a greater weight makes the rate greater (a weight of the
            distortion) or less (one of the rate).
        limits: of the weight.
    """

    def __init__(self, weight: float, raises_rate: bool, limits: Sequence[float]) -> None:
        self.weight = weight
        self._sign = 1 if raises_rate else -1
        self._limits = limits
        self._smoothed = 0.0  # bits per pixel; 0 before the first

    def update(self, bpp: float, target: float) -> None:
        """Take note of a batch's rate and move the weight by at most 1%."""
        self._smoothed = 0.9 * self._smoothed + 0.1 * bpp if self._smoothed else bpp
        excess = math.log(max(self._smoothed, 1e-6) / target)
        factor = math.exp(-self._sign * max(-0.01, min(0.01, 0.03 * excess)))
        self.weight = max(self._limits[0], min(self._limits[1], self.weight * factor))

    def state(self) -> dict[str, float]:
        """What :meth:`resume` needs."""
        return {"weight": self.weight, "smoothed": self._smoothed}

    def resume(self, state: dict[str, float]) -> None:
        """Go on from what :meth:`state` gave."""
        self.weight, self._smoothed = state["weight"], state["smoothed"]
