"""What stands for bad input, and for what is lost of it: messages are all that a user needs."""

from __future__ import annotations


class CodecError(ValueError):
    """Input that cannot be used; the message says what was wrong and what to do."""


class CodecWarning(UserWarning):
    """Input of which something is left out or changed; the message says what."""
