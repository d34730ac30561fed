"""Which version of the source trains: provenance names it."""

from __future__ import annotations

import subprocess
from pathlib import Path


def source_commit() -> str:
    """The git commit of this package's source, ``-dirty`` when files differ from it.

    Returns ``"unknown"`` where the package does not lie in a git work tree or git is missing.
    """
    folder = Path(__file__).parents[1]
    commands = (["rev-parse", "HEAD"], ["status", "--porcelain", "--", "."])
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", str(folder), *command], check=True, capture_output=True, text=True
            ).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}-dirty" if changes else commit


def note_commit(commits: list[str]) -> None:
    """Add the commit that trains now to those of a run, unless it is among them."""
    commit = source_commit()
    if commit not in commits:
        commits.append(commit)
