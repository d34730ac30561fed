"""Where a training command writes weights, and beside them where these come from."""

from __future__ import annotations

from pathlib import Path

from ..atomic_file import check_folder_of, refuse_to_overwrite
from ..errors import CodecError


def check_output(output: Path, force: bool) -> None:
    """Find out before hours of training that weights and their ``.json`` can be written.

    Args:
        output: of the weights.
        force: whether both may be there already.

    Raises:
        CodecError: when one is there or their folder cannot be written to, and for endings that
            would make the two one file.
    """
    facts = output.with_suffix(".json")
    if facts == output:
        raise CodecError(f"{output}: weights go to a .safetensors file, with a .json beside it")
    for path in (output, facts):
        refuse_to_overwrite(path, force)
    check_folder_of(output)
