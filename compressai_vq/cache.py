"""Where downloaded and derived weights are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """``$COMPRESSAI_VQ_CACHE``, else ``$XDG_CACHE_HOME/compressai_vq``, else in ``~/.cache``."""
    if own := os.environ.get("COMPRESSAI_VQ_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "compressai_vq"
