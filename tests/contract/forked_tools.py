"""Runs CompressAI's tools in children of one Python that has imported the zoo already.

Importing torch and CompressAI takes several times longer than most of what the tests do with
them. The parent is a Python as a user starts it, which has imported ``compressai.zoo`` and so run
the installed hook, and nothing else; its children go on as ``python -m TOOL`` does.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType

# A child leaves the loop, becomes the program that was asked for, and ends as programs do.
_PARENT = """
import gc, json, os, runpy, sys
import compressai.zoo
gc.freeze()  # children need not take apart at their end what they did not make
for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
for number, name in enumerate((os.devnull, request["out"], request["err"])):
    os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
os.chdir(request["cwd"])
kind, what, *arguments = request["arguments"]
sys.argv = [kind, *arguments]
if kind == "-m":
    sys.path[0] = os.getcwd()
    runpy.run_module(what, run_name="__main__", alter_sys=True)
else:
    exec(what, {"__name__": "__main__"})
"""


class ForkedTools:
    """A parent that waits for work; a context manager, which ends it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-c", _PARENT],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, arguments: list[str], cwd: Path, files: Path, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python ARGUMENTS``, which begin with ``-m`` or ``-c``.

        Args:
            arguments: of Python.
            cwd: the folder to run in.
            files: a folder for what is printed.
            timeout: in seconds.

        Raises:
            TimeoutError: when it has not ended by then; nothing more can be run afterwards.
        """
        out, err = files / "out", files / "err"
        for path in (out, err):
            path.write_bytes(b"")
        request = {"arguments": arguments, "cwd": str(cwd), "out": str(out), "err": str(err)}
        assert self._parent.stdin and self._parent.stdout
        print(json.dumps(request), file=self._parent.stdin, flush=True)
        if not select.select([self._parent.stdout], [], [], timeout)[0]:
            raise TimeoutError(f"{arguments} has not ended after {timeout} seconds")
        code = int(self._parent.stdout.readline() or -1)
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())

    def __enter__(self) -> ForkedTools:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._parent.kill()
        self._parent.communicate()


def can_fork() -> bool:
    """Whether this system can copy a process."""
    return hasattr(os, "fork")
