"""Packets that came over a link and of which nothing could be made: they cannot be sent again."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

from ..atomic_file import write_together
from ..errors import CodecError
from .packetize import ENDING


def keep_packets(packets: list[bytes], output: Path) -> Path | None:
    """Put packets that cannot be sent again into a new folder, for ``depacketize``.

    Args:
        packets: that arrived.
        output: what was to be made of them; the folder is beside it, or else among the system's
            temporary files.

    Returns:
        The folder; None where it cannot be made.
    """
    prefix = f"{output.stem[:16]}-packets-".lstrip("-")  # no option's
    for parent in (output.parent.absolute(), Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError, CodecError), contextlib.ExitStack() as undone:
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            undone.callback(shutil.rmtree, folder, ignore_errors=True)
            named = enumerate(dict.fromkeys(packets))
            write_together({folder / f"{n:05}{ENDING}": packet for n, packet in named})
            undone.pop_all()
            return folder
    return None
