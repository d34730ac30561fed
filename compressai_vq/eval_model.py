"""``python -m compressai_vq.eval_model``: CompressAI's evaluation, with or without the hook.

Takes the arguments of ``python -m compressai.utils.eval_model`` and gives the same output;
the only difference is that the architectures are registered here, not by the start-up hook.
"""

from __future__ import annotations

import sys

from .errors import CodecError
from .zoo import register


def main(argv: list[str] | None = None) -> int:
    """Register and evaluate."""
    register()
    from compressai.utils.eval_model.__main__ import main as eval_model

    try:
        eval_model(sys.argv[1:] if argv is None else argv)
    except CodecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
