"""The one exception that stands for bad input: its message is all that a user needs."""

from __future__ import annotations


class CodecError(ValueError):
    """Input that cannot be used; the message says what was wrong and what to do."""
