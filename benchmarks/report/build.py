"""From a folder of results to a report, as yet without pictures."""

from __future__ import annotations

from pathlib import Path

from .baselines import training_notes
from .bd_table import bd_table
from .page import DatasetSection, Report
from .plots import rd_plots
from .published import Published
from .quality_table import quality_table
from .results import dataset_title, load_results
from .times import provenance, summary, times
from .vvc_check import vvc_check


def build_report(folder: Path) -> Report:
    """Plots and tables of the results in ``folder/<dataset>/<codec>.json``.

    Raises:
        CodecError: when there are no results, or one of the files is not a result file.
    """
    published = Published()
    results, trained = load_results(folder), training_notes(folder)
    sections = [
        DatasetSection(
            key=dataset,
            title=dataset_title(dataset),
            plots=rd_plots(dataset, curves, published),
            bd_table=bd_table(dataset, curves, published, trained),
            times=times(dataset, curves, folder),
            qualities=quality_table(dataset, curves, published),
        )
        for dataset, curves in results.items()
    ]
    return Report(
        results=results,
        summary=summary(results),
        sections=sections,
        vvc_check=vvc_check(results, published),
        provenance=provenance(results),
        paper=published.paper,
        sources=published.sources,
        labels={k: c.label for curves in results.values() for k, c in curves.items()},
    )
