"""A lossy link for kernels without ``tc netem``: a process that passes UDP datagrams on.

    python benchmarks/udp_relay.py 10.0.0.2:5000 10.0.1.2:5000 --loss 0.2 --log log.json

What it does to each datagram is what netem does to a packet, drawn for each by itself: it is
lost, or passed on after a delay; some are passed on at once instead and so overtake others; some
are passed on twice; of some a bit is flipped (what is seen here has no checksum of UDP's around
it, so that the receiving program gets the damage to see).  On SIGTERM it writes what it did.

Standard library only: it starts at once.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import json
import random
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

CHANCES = ("loss", "duplicate", "reorder", "corrupt")
_MOST = 0.2  # seconds


class Relay:
    """What happens to datagrams, apart from the sockets.

    Args:
        chances: of each of :data:`CHANCES`, in [0, 1].
        delay: in seconds, of those that are not reordered.
        seed: of chance.
    """

    def __init__(self, chances: dict[str, float], delay: float, seed: int) -> None:
        self._chances, self._delay = chances, delay
        self._rng = random.Random(seed)
        self._waiting: list[tuple[float, int, bytes]] = []
        self._order = 0
        self.log: list[dict[str, Any]] = []

    def take(self, data: bytes, now: float) -> None:
        """Decide what becomes of a datagram."""
        # All are drawn whatever the others gave: settings do not change each other's luck.
        drawn = {name: self._rng.random() < self._chances[name] for name in CHANCES}
        bit = self._rng.randrange(8 * max(len(data), 1))
        copies = 0 if drawn["loss"] else 2 if drawn["duplicate"] else 1
        corrupt = drawn["corrupt"] and copies > 0 and len(data) > 0
        early = drawn["reorder"] and copies > 0
        self.log.append(
            {
                "sha256": hashlib.sha256(data).hexdigest(),
                "copies": copies,
                "corrupted": corrupt,
                "early": early,
            }
        )
        for copy in range(copies):
            passed = bytearray(data)
            if corrupt and copy == 0:
                passed[bit // 8] ^= 1 << bit % 8
            self._order += 1
            due = now if early else now + self._delay
            heapq.heappush(self._waiting, (due, self._order, bytes(passed)))

    def due(self, now: float) -> list[bytes]:
        """The datagrams to pass on by now."""
        found = []
        while self._waiting and self._waiting[0][0] <= now:
            found.append(heapq.heappop(self._waiting)[2])
        return found

    def wait(self, now: float) -> float:
        """Seconds until the next one is due, or until signals are looked for again."""
        return max(0.0001, min(_MOST, self._waiting[0][0] - now)) if self._waiting else _MOST


def address(text: str) -> tuple[str, int]:
    """``HOST:PORT``."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def main(argv: list[str] | None = None) -> int:
    """Pass datagrams on until SIGTERM, then write the log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("listen", type=address, metavar="HOST:PORT")
    parser.add_argument("forward", type=address, metavar="HOST:PORT")
    for name in CHANCES:
        parser.add_argument(f"--{name}", type=float, default=0.0, metavar="P")
    parser.add_argument("--delay", type=float, default=0.02, metavar="S")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, required=True)
    arguments = parser.parse_args(argv)
    relay = Relay(
        {name: getattr(arguments, name) for name in CHANCES}, arguments.delay, arguments.seed
    )
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind(arguments.listen)
        print("ready", flush=True)
        while not stopped:
            link.settimeout(relay.wait(time.monotonic()))
            try:
                relay.take(link.recv(1 << 16), time.monotonic())
            except TimeoutError:
                pass
            except ConnectionError:  # the receiver has gone
                continue
            for data in relay.due(time.monotonic()):
                link.sendto(data, arguments.forward)
    arguments.log.write_text(json.dumps(relay.log, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
