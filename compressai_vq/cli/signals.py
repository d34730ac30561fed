"""Signals that end a command: as exceptions, so that nothing half-written stays.

While a module is being imported an exception would do harm: libraries make other errors of it, go
on without what they could not import, or, where compiled code imports, end the process with a
trace.  Where nothing else is at work the process is ended then and there, for nothing can be
half-written; else the signal comes again when the import is over.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from .standard_streams import remark

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
"""Not all systems have all of them."""

INTERRUPTED = "interrupted"
_AGAIN = 0.05  # seconds
_IMPORT = "<frozen importlib._bootstrap>"


def end_cleanly() -> None:
    """From now on have the signals of ``ENDING`` end this process cleanly.

    SIGINT is a KeyboardInterrupt, as it is by default, the others a SystemExit whose code is a
    shell's, 128 and the signal's number.  Those that are ignored, as SIGHUP is under nohup, stay
    so.  To be called in the main thread.
    """
    for name in ENDING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def end_anyhow() -> None:
    """Undo :func:`end_cleanly`: the work is done, and while Python ends exceptions are printed."""
    for name in ENDING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is _end:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:
    if _importing(frame):
        if threading.active_count() == 1:
            if number == signal.SIGINT:
                remark(INTERRUPTED)
            os._exit(128 + number)
        again = threading.Timer(_AGAIN, _send, [number])
        again.daemon = True
        again.start()
        return
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _send(number: int) -> None:
    """Have the main thread get a signal; where it waits for something, it waits no longer."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)


def _importing(frame: FrameType | None) -> bool:
    """Whether a frame, or one that it was called from, is Python's own that import a module."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT:
            return True
        frame = frame.f_back
    return False
