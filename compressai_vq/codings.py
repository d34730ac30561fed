"""The ways in which an index map is written as bytes."""

from __future__ import annotations

from .errors import CodecError

FREQUENCIES, PRIOR = "frequencies", "prior"

CODINGS = (FREQUENCIES, PRIOR)
"""``frequencies``: each index by itself, fast; ``prior``: given its neighbours, with fewer bits.

The order gives the numbers in files, so names are only appended.
"""


def check_coding(coding: str) -> None:
    """Raise CodecError for a name that is none of :data:`CODINGS`."""
    if coding not in CODINGS:
        raise CodecError(f"unknown coding {coding}; known: {', '.join(CODINGS)}")
