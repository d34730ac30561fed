"""What docs/figures.md says of lossy links, from the results of three commands."""

from __future__ import annotations

from typing import Any

FILLS = {
    "prior": "the index prior",
    "nearest": "the nearest index that arrived",
    "frequent": "the most frequent codeword",
    "transformer": "the paper's transformer",
}
COLUMNS = {
    "lpips_to_loss_free": "LPIPS to the loss-free picture",
    "lpips_to_original": "LPIPS to the original",
    "dists_to_loss_free": "DISTS to the loss-free picture",
    "dists_to_original": "DISTS to the original",
}


def loss_table(report: dict[str, Any]) -> str:
    """A row for each channel and rate of ``benchmarks.loss``, a figure for each fill."""
    rows = {(row["channel"], row["rate"], row["fill"]): row for row in report["results"]}
    fills = [fill for fill in FILLS if any(key[2] == fill for key in rows)]
    lines = [
        f"| packets lost | indices lost | {' | '.join(COLUMNS.values())} |",
        "|" + "---|" * (2 + len(COLUMNS)),
    ]
    for channel, rate in dict.fromkeys((row["channel"], row["rate"]) for row in report["results"]):
        found = [rows[channel, rate, fill] for fill in fills]
        if rate == 0 and channel != "random":
            continue  # without loss channels do not differ, nor do fills
        cells = [
            " / ".join(f"{row[name]:.3f}" for row in (found[:1] if rate == 0 else found))
            for name in COLUMNS
        ]
        name = f"{100 * rate:.0f} %" + (f", {channel}" if rate else "")
        lost = f"{100 * found[0]['lost_indices']:.1f} %"
        lines.append(f"| {name} | {lost} | {' | '.join(cells)} |")
    first, names = report["results"][0], ["weights", "prior", "transformer"]
    prints = [report["fingerprint"], report["prior"], report.get("transformer")]
    identities = [f"{n} `{p[:16]}`" for n, p in zip(names, prints, strict=True) if p]
    lines += [
        "",
        f"Gaps filled by {' / '.join(FILLS[fill] for fill in fills)}. Quality "
        f"{report['quality']}, means over {report['dataset']['images']} images of "
        f"{report['dataset']['folder'].capitalize()}: {first['bytes']:.0f} bytes as a file, "
        f"{first['packet_bytes']:.0f} in {first['packets']:.0f} packets. Bursts last "
        f"{report['burst']:g} packets in the mean. {_rise(rows, fills[0])}"
        f"{', '.join(identities).capitalize()}.",
    ]
    return "\n".join(lines)


def _rise(rows: dict[tuple[str, float, str], dict[str, Any]], fill: str) -> str:
    lost, whole = rows.get(("random", 0.2, fill)), rows.get(("random", 0.0, fill))
    if lost is None or whole is None:
        return ""
    rise = lost["lpips_to_original"] - whole["lpips_to_original"]
    return (
        f"With 20 % of packets lost at random, here {100 * lost['lost_indices']:.1f} % of the "
        f"indices, LPIPS to the original rises by {rise:.3f}. "
    )


def netem_sentence(report: dict[str, Any]) -> str:
    """What ``benchmarks.netem`` found."""
    chances, sums = report["chances"], report["totals"]
    share = {name: f"{100 * chance:g} %" for name, chance in chances.items()}
    link = "`tc netem`"
    if report["machine"]["cpu"] == "UML":
        link += f" in a kernel of its own (User Mode Linux {report['kernel']})"
    if report["link"] == "relay":
        link = "a relay process"
        if report["not_netem_because"] != "asked for":
            link += " (the kernel at hand has no `tc netem`)"
    caught = ""
    if sums["datagrams"]["bad_checksums"]:
        caught = f", after UDP's checksum had caught {sums['datagrams']['bad_checksums']}"
    agrees = ""
    if sums.get("mask_is_what_the_relay_lost"):
        agrees = " In all rounds the mask of lost indices was what the relay's log says."
    return (
        f"For real, over UDP from one network namespace to another through {link} that loses "
        f"{share['loss']} of the packets, repeats {share['duplicate']}, lets {share['reorder']} "
        f"overtake the others and flips a bit in {share['corrupt']}: of "
        f"{sums['packets_sent']} packets in {len(report['rounds'])} transmissions of "
        f"{report['photo']} ({report['size']}, quality {report['quality']}, {report['bytes']} "
        f"bytes) {sums['packets_used']} were used and {sums['packets_rejected']} rejected as "
        f"damaged{caught}. The pictures, with {100 * sums['lost_share']:.1f} % of the indices "
        f"restored, have LPIPS {sums['lpips_to_loss_free']:.3f} to the loss-free one, and to the "
        f"photograph {sums['lpips_to_original']:.3f} instead of "
        f"{report['loss_free']['lpips_to_original']:.3f}.{agrees} Weights "
        f"`{report['fingerprint'][:16]}`, prior `{report['prior'][:16]}`."
    )


def fuzz_sentence(report: dict[str, Any]) -> str:
    """What ``tests.packet_fuzzing`` found."""
    refused = sum(report["refused"].values())
    return (
        f"Of {report['cases']:,} sets of packets, lost, repeated, damaged, mixed with others' "
        f"and forged, {report['pictures']:,} gave a picture of the size in their header with a "
        f"mask ({report['pictures_by_the_networks']:,} of these went through the networks, for "
        f"the others a stand-in was used to save time) and {refused:,}, of which nothing could "
        f"be used, one line; none did anything else. "
        f"{sum(report['packets_rejected'].values()):,} packets were rejected one by one. Where "
        f"none was forged, all {report['indices_compared']:,} indices not marked as lost were "
        f"those that were sent."
    )
