"""``python -m tests.fetched``: what tests compare with goes into the cache, once.

The tests themselves download nothing.  What cannot be had is named here, and the tests that
need it are skipped.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial

from compressai_vq.errors import CodecError
from compressai_vq.metrics.backbones import backbone

from . import calibration_pictures

WANTED: dict[str, Callable[[], object]] = {
    "AlexNet, for LPIPS": partial(backbone, "alexnet"),
    "VGG16, for LPIPS and DISTS": partial(backbone, "vgg16"),
    "pictures with published values of metrics": calibration_pictures.fetch,
}


def main() -> None:
    """Fetch what the cache lacks."""
    for name, fetch in WANTED.items():
        try:
            fetch()
        except (CodecError, OSError, subprocess.CalledProcessError) as error:
            print(f"tests without {name}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
