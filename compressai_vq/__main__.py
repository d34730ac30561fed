"""``python -m compressai_vq`` is the ``compressai-vq`` command."""

import sys

from .cli.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
