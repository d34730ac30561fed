"""Stored results to one self-contained page, plots and tables.

::

    results.py     benchmarks/results/*/*.json   to  curves
    published.py   benchmarks/published.json     to  curves and table of the papers
    plots.py       curves                        to  Plotly figures
    bd_table.py, vvc_check.py, times.py
                   curves                        to  tables.py's tables, for the page and Markdown
    stored_images.py, sample_images.py
                   streams, or photographs       to  pictures.py's pictures, for the viewer
    page.py        all of these                  to  report.html
    export.py      figures and tables            to  PNG and Markdown files

Nothing here measures rate or distortion of a codec: what is shown was stored before by
``python -m benchmarks.compare`` and ``compressai-vq eval``. The one exception are the sample
photographs in the viewer, which are compressed on the fly when there are no stored streams.
"""
