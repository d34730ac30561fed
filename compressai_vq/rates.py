"""The ladder of rates: one codebook size for each quality."""

from __future__ import annotations

LADDER = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
"""Codewords K of qualities 1 to 9: log2(K) / 256 bits per pixel at most."""
