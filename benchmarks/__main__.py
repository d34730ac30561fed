"""``python -m benchmarks [arguments]``: set up what is needed, then run the demonstration."""

from __future__ import annotations

import sys

from benchmarks.environment import run_in_environment

if __name__ == "__main__":
    sys.exit(run_in_environment("-m", "benchmarks.demo", *sys.argv[1:]))
