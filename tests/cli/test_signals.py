"""Signals to a process: while it imports, with and without other threads, and afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.whole,
    pytest.mark.skipif(os.name != "posix", reason="signals of POSIX"),
]

ROOT = Path(__file__).resolve().parents[2]
STARTED = """
import signal, sys, threading, time
from compressai_vq.cli.signals import end_anyhow, end_cleanly
end_cleanly()
if "done" in sys.argv:
    end_anyhow()
if "busy" in sys.argv:
    threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
if "imports" in sys.argv:
    import slow
    print("imported", flush=True)
else:
    print("ready", flush=True)
time.sleep(20)
"""
SLOW = """
import time
print("ready", flush=True)
try:
    time.sleep(0.5)
except BaseException:  # as libraries do that can go on without a module
    print("swallowed", flush=True)
"""
ENDED = {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: 143, signal.SIGHUP: 129}
"""By an exception that nothing catches; of KeyboardInterrupt Python makes the signal again."""


def ended(
    folder: Path, number: signal.Signals, *words: str, ignored: bool = False
) -> tuple[int, str, str]:
    """The exit code and what was printed by a process that got a signal when it was ready."""
    (folder / "slow.py").write_text(SLOW)
    (folder / "started.py").write_text(STARTED)

    def prepare() -> None:  # whatever these tests were started with, as by nohup
        signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(folder)))}
    with subprocess.Popen(
        [sys.executable, str(folder / "started.py"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=prepare,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(number)
        if ignored:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            process.kill()
        out, err = process.communicate(timeout=10)  # it would sleep for twice as long
    return process.returncode, line + out, err


@pytest.mark.parametrize("number", ENDED)
def test_an_import_is_ended_at_once(tmp_path: Path, number: signal.Signals) -> None:
    code, out, err = ended(tmp_path, number, "imports")
    assert (code, out) == (128 + number, "ready\n")
    assert err == ("interrupted\n" if number == signal.SIGINT else "")


@pytest.mark.parametrize("number", ENDED)
def test_beside_other_threads_after_the_import(tmp_path: Path, number: signal.Signals) -> None:
    code, out, err = ended(tmp_path, number, "imports", "busy")
    assert (code, out) == (ENDED[number], "ready\nimported\n")
    assert ("KeyboardInterrupt" in err) == (number == signal.SIGINT)


@pytest.mark.parametrize("number", ENDED)
def test_at_work_it_is_an_exception(tmp_path: Path, number: signal.Signals) -> None:
    code, out, err = ended(tmp_path, number)
    assert (code, out) == (ENDED[number], "ready\n")
    assert ("KeyboardInterrupt" in err) == (number == signal.SIGINT)


@pytest.mark.parametrize("number", ENDED)
def test_when_all_is_done_nothing_is_printed(tmp_path: Path, number: signal.Signals) -> None:
    code, out, err = ended(tmp_path, number, "done")
    assert (code, out, err) == (-number, "ready\n", "")


def test_what_is_ignored_stays_so(tmp_path: Path) -> None:
    code, out, _ = ended(tmp_path, signal.SIGHUP, ignored=True)
    assert (code, out) == (-signal.SIGKILL, "ready\n")
