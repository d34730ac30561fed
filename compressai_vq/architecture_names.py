"""The architectures' names, for what works with files and needs no network."""

from __future__ import annotations

ARCHITECTURE_NAMES = ("mao2024-vqgan", "mao2024-vqgan-lite")
"""The order gives the numbers in files, so names are only appended."""
