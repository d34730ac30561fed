"""Plots as PNG and tables as Markdown, for a README."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import plotly.graph_objects as go
import plotly.io

from compressai_vq.atomic_file import write_atomically
from compressai_vq.errors import CodecError

from .plots import Plot
from .tables import Table

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_browser() -> str | None:
    """A Chromium: ``BROWSER_PATH``, or one that is on the path; None if there is none."""
    named = os.environ.get("BROWSER_PATH")
    if named:
        return named if Path(named).is_file() else None
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def write_plots(plots: list[Plot], folder: Path) -> list[Path]:
    """Draw every plot, 900x600 at twice the density, as ``folder/<dataset>-<metric>.png``.

    Returns:
        The files.

    Raises:
        CodecError: when there is no Chromium to draw with, or it fails; files that are there
            already stay as they are.
    """
    browser = find_browser()
    if browser is None:
        raise CodecError("no Chromium to draw with; install one or set BROWSER_PATH")
    os.environ["BROWSER_PATH"] = browser  # Kaleido looks in fewer places
    paths = [folder / f"{plot.name}.png" for plot in plots]
    with tempfile.TemporaryDirectory() as temporary:
        drawn = [Path(temporary) / path.name for path in paths]
        try:
            plotly.io.write_images(
                [_static(plot.figure) for plot in plots], drawn, width=900, height=600, scale=2
            )
        except Exception as error:  # Kaleido and the browser fail in ways of their own
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise CodecError(f"{browser} did not draw the plots: {reason}") from None
        for source, path in zip(drawn, paths, strict=True):
            write_atomically(path, source.read_bytes())
    return paths


def _static(figure: go.Figure) -> go.Figure:
    # Nobody can ask a file for what waits in the legend.
    shown = [trace for trace in figure.data if trace.visible != "legendonly"]
    return go.Figure(shown, figure.layout)


def write_tables(tables: list[Table], folder: Path) -> list[Path]:
    """Write every table as ``folder/<name>.md``; returns the files."""
    paths = []
    for table in tables:
        path = folder / f"{table.name}.md"
        write_atomically(path, f"{table.markdown()}\n".encode())
        paths.append(path)
    return paths
