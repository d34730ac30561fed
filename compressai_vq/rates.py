"""The ladder of rates: one codebook size for each quality, and one index for each block."""

from __future__ import annotations

LADDER = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
"""Codewords K of qualities 1 to 9: log2(K) / 256 bits per pixel at most."""

STRIDE = 16
"""Side in pixels of the block that one index stands for."""
