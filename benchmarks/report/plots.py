"""Rate-distortion plots: what was measured here solid, what was published dashed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import plotly.graph_objects as go

from benchmarks.codecs import BY_PRIOR, OURS, REFINED

from .published import Published, PublishedCurve
from .results import METRICS, Curve, Metric, Points, dataset_title

# Told apart by people with any colour vision, and readable on white and on near-black
# (Okabe and Ito's, without yellow, and four more of the same kind).
_COLOURS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#8a7a00",
    "#9b6fd4",
    "#7f8c8d",
    "#b5651d",
    "#3fa7a0",
)
_OURS_COLOUR = "#d5482b"
_OURS_SYMBOLS = {BY_PRIOR: "circle", OURS: "circle-open", REFINED: "star"}
_SYMBOLS = ("square", "diamond", "triangle-up", "cross", "x", "triangle-down", "hexagon")
_KNOWN = ("vvc", "hevc", "mao2024-vqgan-lite-unfinetuned", "avif", "jpegxl", "hific-lowrate",
          "cheng2020-lowrate", "mao2024-vqgan-lite-uniform", "bpg", "vtm")  # fmt: skip
_TICKS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Plot:
    """One plot of the page.

    Attributes:
        dataset: the data set.
        metric: what is drawn against rate.
        figure: as Plotly has it, with a legend.
    """

    dataset: str
    metric: Metric
    figure: go.Figure

    @property
    def name(self) -> str:
        """A name for a file, without ending."""
        return f"{self.dataset}-{self.metric.key}"

    @property
    def summary(self) -> str:
        """What the plot shows, for those who do not see it."""
        traces = [trace for trace in self.figure.data if trace.visible is not False]
        return (
            f"{self.metric.title} against bits per pixel on {dataset_title(self.dataset)}, "
            f"{self.metric.direction}: " + "; ".join(trace.name for trace in traces)
        )


def rd_plots(dataset: str, curves: dict[str, Curve], published: Published) -> list[Plot]:
    """A plot for each metric that any codec was measured with on a data set."""
    plots = []
    for metric in METRICS:
        if any(curve.points(metric.key).bpp for curve in curves.values()):
            papers = published.curves(dataset)
            plots.append(Plot(dataset, metric, _figure(dataset, metric, curves, papers)))
    return plots


def colour(codec: str) -> str:
    """A codec's colour, the same in every plot."""
    if codec in _OURS_SYMBOLS:
        return _OURS_COLOUR
    position = _KNOWN.index(codec) if codec in _KNOWN else sum(codec.encode())
    return _COLOURS[position % len(_COLOURS)]


def _figure(
    dataset: str, metric: Metric, curves: dict[str, Curve], papers: list[PublishedCurve]
) -> go.Figure:
    figure = go.Figure()
    rates: list[float] = []
    for curve in curves.values():
        points = curve.points(metric.key)
        if points.bpp:
            figure.add_trace(_measured(curve, metric, points))
            rates += points.bpp
    for paper in papers:
        if metric.key in paper.values:
            figure.add_trace(_published(paper, metric))
            rates += paper.bpp if paper.shown else []
    unit = f" [{metric.unit}]" if metric.unit else ""
    figure.update_layout(
        template="plotly_white",
        title={"text": f"{metric.title}, {dataset_title(dataset)}", "font": {"size": 16}},
        font={"family": "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif", "size": 13},
        hovermode="closest",
        hoverlabel={"align": "left", "namelength": -1},
        legend={"orientation": "h", "y": -0.17, "yanchor": "top", "x": 0, "font": {"size": 12}},
        margin={"l": 62, "r": 16, "t": 44, "b": 52},
        dragmode="pan",
    )
    # Rates of codecs made for other purposes lie ten times higher: a linear axis would press
    # the range that matters here into its left end.
    low, high = min(rates) / 1.3, max(rates) * 1.15
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    figure.update_xaxes(
        type="log",
        title="bits per pixel of complete files, logarithmic",
        range=[math.log10(low), math.log10(high)],
        tickvals=ticks,
        ticktext=[f"{tick:g}" for tick in ticks],
        zeroline=False,
    )
    figure.update_yaxes(title=f"{metric.title}{unit}, {metric.direction}", zeroline=False)
    return figure


def _measured(curve: Curve, metric: Metric, points: Points) -> go.Scatter:
    ours = curve.codec in _OURS_SYMBOLS
    position = _KNOWN.index(curve.codec) if curve.codec in _KNOWN else len(curve.codec)
    return go.Scatter(
        x=points.bpp,
        y=points.values,
        name=curve.label,
        mode="lines+markers",
        line={"color": colour(curve.codec), "width": 3 if ours else 1.8},
        marker={
            "symbol": _OURS_SYMBOLS.get(curve.codec, _SYMBOLS[position % len(_SYMBOLS)]),
            "size": 8 if ours else 7,
        },
        customdata=[[f"{quality:g}"] for quality in points.quality],
        hovertemplate=(
            f"%{{fullData.name}}<br>setting %{{customdata[0]}}: %{{x:.5f}} bpp<br>"
            f"{metric.title} %{{y:.{metric.digits + 1}f}}<extra></extra>"
        ),
    )


def _published(paper: PublishedCurve, metric: Metric) -> go.Scatter:
    hue = colour(paper.codec) if paper.codec else "#8c8c8c"
    return go.Scatter(
        x=paper.bpp,
        y=paper.values[metric.key],
        name=paper.label,
        mode="lines+markers",
        visible=True if paper.shown else "legendonly",
        line={"color": hue, "width": 1.6, "dash": "dash"},
        marker={"symbol": "circle-open", "size": 7},
        hovertemplate=(
            f"%{{fullData.name}}<br>%{{x:.4f}} bpp<br>{metric.title} %{{y:.3f}}"
            f"<br>not measured here<extra></extra>"
        ),
    )
