"""``python -m tests [pytest arguments]``: set up what is needed, then lint, types and tests.

Three arguments are ours: ``--quick`` leaves out tests of whole programs, ``--slow`` runs the slow
tests too, ``--lint`` runs no tests at all.
"""

from __future__ import annotations

import os
import sys

from benchmarks.environment import ensure_environment, run_in_environment

CHECKS = {
    "ruff check": ("-m", "ruff", "check", "."),
    "ruff format": ("-m", "ruff", "format", "--check", "."),
    "mypy": ("-m", "mypy"),
}

MARKED = {
    "--quick": ("-m", "not slow and not whole"),
    # An empty expression undoes the "not slow" in pyproject.toml.  Where a test takes longer than
    # the time there, what tells where it is reads its frames while they change: that has ended
    # the process.
    "--slow": ("-m", "", "-o", "faulthandler_timeout=3600"),
}


def main(arguments: list[str]) -> int:
    """Run every check, whether or not another failed; returns 0 if none did."""
    commands = dict(CHECKS)
    if "--lint" in arguments:
        arguments = [argument for argument in arguments if argument != "--lint"]
    else:
        options = [part for a in arguments for part in MARKED.get(a, (a,))]
        # Two processes; tests of one file share fixtures, and so a process.  The order is
        # conftest.py's.  -n in the arguments comes later and counts.
        options = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", *options]
        # Last, so that its closing line is the last thing that is printed when all is well.
        commands["pytest"] = ("-m", "pytest", *options)

    ensure_environment()
    if "pytest" in commands:
        run_in_environment("-m", "tests.fetched")
        # A core each: where both processes have threads on both cores, these wait for one
        # another at full speed, and tests that train take three times as long.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    failed = []
    for name, command in commands.items():
        print(f"== {name}", flush=True)
        if run_in_environment(*command) != 0:
            failed.append(name)
    if failed:
        print(f"== failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
