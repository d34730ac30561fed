"""What docs/figures.md says of large pictures and of folders, from the results of two commands."""

from __future__ import annotations

from typing import Any


def large_table(report: dict[str, Any]) -> str:
    """Time and memory by the number of pixels, of ``benchmarks.large``."""
    lines = [
        "| megapixels | coding | compress s | decompress s | per pixel, against 0.4 megapixels "
        "| peak MiB |",
        "|--:|---|--:|--:|--:|--:|",
    ]
    for row in report["rows"]:
        there, back = row["compress"], row["decompress"]
        lines.append(
            f"| {row['width'] * row['height'] / 1e6:.1f} | {row['coding']} "
            f"| {there['seconds']:.1f} | {back['seconds']:.1f} "
            f"| {there['ratio']:.2f} and {back['ratio']:.2f} "
            f"({there['coding_ratio']:.2f} and {back['coding_ratio']:.2f}) "
            f"| {there['peak_mib']:.0f} and {back['peak_mib']:.0f} |"
        )
    machine = report["machine"]
    lines += [
        "",
        "Whole processes of the command line, start and reading and writing of image files among "
        "it; in brackets networks and index coder alone. Compressing and decompressing, quality "
        f"{report['quality']}, {machine['threads']} threads of {machine['cpu']}. Weights "
        f"`{report['fingerprint'][:16]}`.",
    ]
    return "\n".join(lines)


def folders_sentence(report: dict[str, Any]) -> str:
    """What several workers gain, of ``benchmarks.folders``."""
    jobs = str(report["default_jobs"])
    ratio = report["jobs"][jobs]["times_faster"]["both"]
    return (
        f"On a folder of {report['pictures']} pictures of {report['size']}, `--jobs {jobs}` is "
        f"{ratio['median']:.2f} times as fast as `--jobs 1`, there and back "
        f"({ratio['min']:.2f} to {ratio['max']:.2f} over {report['repeats']} paired runs, "
        f"{report['machine']['cores']} cores); the files are the same."
    )
