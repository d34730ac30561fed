"""Everything on one page that needs nothing but itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from .pictures import TARGETS, ViewerImage
from .plots import Plot
from .results import Curve
from .tables import Table

_FOLDER = Path(__file__).resolve().parent / "page"


@dataclass
class DatasetSection:
    """What the page has for one data set.

    Attributes:
        key: the data set.
        title: its name for people.
        plots: quality against rate, the most telling first.
        bd_table: against the baselines.
        times: encoding and decoding.
        qualities: ours one by one; None where ours was not run.
    """

    key: str
    title: str
    plots: list[Plot]
    bd_table: Table
    times: Table
    qualities: Table | None = None


@dataclass
class Report:
    """What the page shows.

    Attributes:
        results: data set to codec to curve.
        summary: a sentence on what was measured.
        sections: one for each data set.
        vvc_check: VVC here against VVC in the paper.
        provenance: what was measured with what.
        paper: of ``published.json``.
        sources: of the published figures.
        labels: codec to its name for people, for the viewer.
        images: the viewer's.
        images_remark: where the viewer's pictures come from.
    """

    results: dict[str, dict[str, Curve]]
    summary: str
    sections: list[DatasetSection]
    vvc_check: Table
    provenance: Table
    paper: dict[str, str]
    sources: dict[str, str]
    labels: dict[str, str]
    images: list[ViewerImage] = field(default_factory=list)
    images_remark: str = ""

    @property
    def plots(self) -> list[Plot]:
        """Of all data sets."""
        return [plot for section in self.sections for plot in section.plots]

    @property
    def tables(self) -> list[Table]:
        """Of all data sets."""
        by_dataset = [t for s in self.sections for t in (s.bd_table, s.times, s.qualities) if t]
        return [*by_dataset, self.vvc_check, self.provenance]


def render(report: Report) -> str:
    """The page as HTML: plotly.js, style, scripts and pictures are in it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    viewer = {
        "labels": report.labels,
        "targets": TARGETS,
        "images": [image.as_json() for image in report.images],
    }
    return environment.get_template("report.html.jinja").render(
        report=report,
        targets=TARGETS,
        figures=_script_json({plot.name: json.loads(_figure(plot)) for plot in report.plots}),
        viewer=_script_json(viewer),
        plotly=Markup(get_plotlyjs()),
        style=Markup((_FOLDER / "report.css").read_text(encoding="utf-8")),
        plots_script=Markup((_FOLDER / "plots.js").read_text(encoding="utf-8")),
        viewer_script=Markup((_FOLDER / "viewer.js").read_text(encoding="utf-8")),
    )


def _figure(plot: Plot) -> str:
    # The page has its own headings, colours for day and night, and a legend for all plots.
    figure = plot.figure.to_dict()
    layout = {k: v for k, v in figure["layout"].items() if k not in ("template", "title")}
    layout["margin"] = {"l": 56, "r": 10, "t": 10, "b": 44}
    return json.dumps({"data": figure["data"], "layout": layout})


def _script_json(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in."""
    return Markup(json.dumps(value, allow_nan=False).replace("<", "\\u003c"))
