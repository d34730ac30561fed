from __future__ import annotations

from typing import Any

import pytest

from benchmarks.loss_words import COLUMNS, fuzz_sentence, loss_table, netem_sentence


def loss_report(fills: tuple[str, ...]) -> dict[str, Any]:
    rows = []
    for channel in ("random", "bursts"):
        for rate in (0.0, 0.2):
            for n, fill in enumerate(fills):
                value = 0.1 + rate * (n + 1) / 10
                figures = dict.fromkeys(COLUMNS, value)
                rest = {"lost_indices": rate, "bytes": 900.4, "packet_bytes": 1500.0}
                key = {"channel": channel, "rate": rate, "fill": fill, "packets": 16.0}
                rows.append({**key, **rest, **figures})
    return {
        "fingerprint": "ab" * 32,
        "prior": "cd" * 32,
        "transformer": "ef" * 32 if "transformer" in fills else None,
        "quality": 9,
        "burst": 3.0,
        "dataset": {"folder": "kodak", "images": 24},
        "results": rows,
    }


@pytest.mark.parametrize("more", [(), ("transformer",)])
def test_a_row_for_each_channel_and_rate(more: tuple[str, ...]) -> None:
    head, _, nothing, random, bursts, _, text = loss_table(
        loss_report(("frequent", "prior", "nearest", *more))
    ).splitlines()
    assert all(row.count("|") == 7 for row in (head, nothing, random, bursts))
    assert nothing == "| 0 % | 0.0 % | 0.100 | 0.100 | 0.100 | 0.100 |"
    # In the order that the text below names them in, not that of the file.
    cell = "0.140 / 0.160 / 0.120" + (" / 0.180" if more else "")
    assert random == f"| 20 %, random | 20.0 % | {' | '.join([cell] * 4)} |"
    assert bursts.startswith("| 20 %, bursts |")
    assert ("transformer" in text) == bool(more)
    assert "900 bytes as a file, 1500 in 16 packets" in text
    assert (
        "20.0 % of the indices, LPIPS to the original rises by 0.040" in text
        and "24 images of Kodak" in text
    )
    assert "Weights `abababababababab`, prior `cdcdcdcdcdcdcdcd`" in text


def netem_report(link: str, cpu: str = "a CPU", caught: int = 0) -> dict[str, Any]:
    return {
        "kernel": "6.1",
        "fingerprint": "ab" * 32,
        "prior": "cd" * 32,
        "machine": {"cpu": cpu},
        "link": link,
        "not_netem_because": "Error: Specified qdisc kind is unknown." if link == "relay" else "",
        "chances": {"loss": 0.2, "duplicate": 0.1, "reorder": 0.25, "corrupt": 0.05},
        "photo": "china.jpg",
        "size": "640x427",
        "quality": 9,
        "bytes": 1500,
        "loss_free": {"lpips_to_original": 0.3},
        "totals": {
            "packets_sent": 80,
            "packets_used": 60,
            "packets_rejected": 5,
            "datagrams": {"bad_checksums": caught},
            "lost_share": 0.25,
            "lpips_to_loss_free": 0.08,
            "lpips_to_original": 0.321,
            **({"mask_is_what_the_relay_lost": True} if link == "relay" else {}),
        },
        "rounds": [{}, {}],
    }


def test_the_link_is_named_as_what_it_was() -> None:
    relay, netem = netem_sentence(netem_report("relay")), netem_sentence(netem_report("netem"))
    assert "a relay process (the kernel at hand has no `tc netem`)" in relay
    assert "through `tc netem` that" in netem
    assert netem.endswith("Weights `abababababababab`, prior `cdcdcdcdcdcdcdcd`.")
    assert "relay's log" in relay and "relay" not in netem
    assert "of 80 packets in 2 transmissions" in netem and "25.0 % of the indices" in netem
    assert "0.321 instead of 0.300" in netem
    assert "rejected as damaged." in netem
    own = netem_sentence(netem_report("netem", "UML", 7))
    assert "through `tc netem` in a kernel of its own (User Mode Linux 6.1) that" in own
    assert "rejected as damaged, after UDP's checksum had caught 7." in own


def test_fuzz_figures_are_summed() -> None:
    text = fuzz_sentence(
        {
            "cases": 20_000,
            "pictures": 12_000,
            "pictures_by_the_networks": 120,
            "refused": {"a": 7_000, "b": 1_000},
            "packets_rejected": {"a": 1, "b": 2},
            "indices_compared": 5,
        }
    )
    assert "Of 20,000 sets" in text and "12,000 gave" in text and "8,000, of which" in text
    assert "3 packets were rejected" in text
