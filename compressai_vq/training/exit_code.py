"""How a training command of its own ends: well, interrupted, or with one line of what was bad."""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..errors import CodecError


def exit_code(train: Callable[[], object]) -> int:
    """Run it: 0 when it has trained, 130 when it was interrupted, 2 for bad input."""
    try:
        train()
    except KeyboardInterrupt:
        print("interrupted: the same command goes on", file=sys.stderr)
        return 130
    except (CodecError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
