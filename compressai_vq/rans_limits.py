"""What CompressAI's rANS coder relies on and does not check."""

from __future__ import annotations

FEWEST_SYMBOLS = 3
"""To encode at once.  The encoder's buffer has one 32-bit word for each symbol.  It writes two
words and up to one for every second symbol: for fewer symbols it can write outside of the buffer.
"""


def with_room(string: bytes, symbols: int) -> bytes:
    """A stream as the decoder may be given it to take so many symbols out, whatever its bytes.

    No symbol takes more than one 32-bit word, so with this much behind it no stream can lead
    the decoder past the end.
    """
    return string + bytes(4 * symbols)
