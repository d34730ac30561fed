"""Values that must not change from release to release, kept in ``tests/golden``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "golden"


def check_golden(name: str, values: dict[str, Any]) -> None:
    """Compare with what is kept; with COMPRESSAI_VQ_REGENERATE=1, keep these instead.

    A difference means that files written by earlier releases may not decode any more.
    """
    path = FOLDER / f"{name}.json"
    if os.environ.get("COMPRESSAI_VQ_REGENERATE") == "1":
        path.write_text(json.dumps(values, indent=1) + "\n")
    assert json.loads(path.read_text()) == values
