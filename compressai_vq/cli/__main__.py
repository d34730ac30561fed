"""``compressai-vq``: every command is a module beside this one."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
import warnings
from pathlib import Path

from .. import __version__
from ..argument_parser import ArgumentParser
from ..errors import CodecWarning
from . import quick_start
from .jobs import EXPECTED, one_line
from .signals import INTERRUPTED, end_anyhow, end_cleanly
from .standard_streams import printing, remark, silence

_MODULES = {
    "compress": "compress",
    "decompress": "decompress",
    "info": "info",
    "eval": "evaluate",
    "packetize": "packetize",
    "depacketize": "depacketize",
    "send": "send",
    "receive": "receive",
    "import": "import_checkpoint",
    "export-onnx": "export_onnx",
    "train": "train",
}
"""Commands and their modules, which are imported when needed."""


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """The command line's grammar, or that of one command alone."""
    top = ArgumentParser(
        prog="compressai-vq", description="Images in a few hundred bytes, by a VQGAN."
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    top.command = command if command in _MODULES else None
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in [command] if command in _MODULES else _MODULES:
        importlib.import_module(f".{_MODULES[name]}", __package__).add_parser(commands)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 when all went well, 2 for bad input (one line a problem on standard error), 130
        when interrupted.
    """
    own = argv is None  # process
    if argv is None:
        argv = sys.argv[1:]
        quick_start.begin()
        end_cleanly()
    if sys.stderr is None:  # some services start programs without
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # file names may be in no encoding at all
            stream.reconfigure(errors="backslashreplace")
    warnings.simplefilter("ignore")  # libraries' warnings; ours are shown below
    warnings.filterwarnings("always", category=CodecWarning)
    warnings.showwarning = lambda message, *_: remark(f"warning: {message}")
    try:
        arguments = parser(argv[0] if argv else None).parse_args(argv)
        code: int = arguments.run(arguments)
        if sys.stdout is not None:
            with printing(sys.stdout):  # what is left, of which Python would complain at exit
                pass
        return code
    except KeyboardInterrupt:
        remark(INTERRUPTED)
        return 130
    except BrokenPipeError:
        silence(sys.stdout)
        return 0
    except (*EXPECTED, ImportError) as error:  # the latter where libraries do not fit in memory
        remark(f"error: {one_line(error)}")
        return 2
    finally:
        if own:
            end_anyhow()


if __name__ == "__main__":
    sys.exit(main())
