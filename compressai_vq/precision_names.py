"""The number formats' names, for what asks for one and needs no network."""

from __future__ import annotations

PRECISIONS = ("auto", "fp32", "bf16")
"""``auto``: bf16 where the device is fast at it."""
