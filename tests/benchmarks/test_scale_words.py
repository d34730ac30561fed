"""The words on large pictures and on folders."""

from __future__ import annotations

from benchmarks.scale_words import folders_sentence, large_table


def test_large_table() -> None:
    part = {"seconds": 2.04, "peak_mib": 812.3, "ratio": 1.127, "coding_ratio": 0.951}
    row = {"width": 1000, "height": 2000, "coding": "prior", "compress": part, "decompress": part}
    report = {
        "rows": [row],
        "quality": 9,
        "machine": {"threads": 2, "cpu": "a CPU"},
        "fingerprint": "ab" * 32,
    }
    text = large_table(report)
    cells = "| 2.0 | prior | 2.0 | 2.0 | 1.13 and 1.13 (0.95 and 0.95) | 812 and 812 |"
    assert cells in text.splitlines()
    assert "2 threads of a CPU" in text and "`abababababababab`" in text


def test_folders_sentence() -> None:
    jobs = {"2": {"times_faster": {"both": {"median": 1.5, "min": 1.4, "max": 1.61}}}}
    report = {"pictures": 8, "size": "768x512", "default_jobs": 2, "jobs": jobs, "repeats": 3}
    text = folders_sentence({**report, "machine": {"cores": 2}})
    assert "`--jobs 2` is 1.50 times as fast as `--jobs 1`" in text
    assert "(1.40 to 1.61 over 3 paired runs, 2 cores)" in text
