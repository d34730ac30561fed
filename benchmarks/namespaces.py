"""Two network namespaces joined by a bad link, for programs that do not know of it.

::

    with netem      sender ──veth, tc netem── receiver
    with a relay    sender ──veth── relay's namespace, a process ──veth── receiver

Needs root and the ``ip`` and ``tc`` of iproute2.  The namespaces go when the link is closed,
whatever happened.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from compressai_vq.errors import CodecError

PORT = 5004


class BadLink:
    """Namespaces ``sender`` and ``receiver``; a context manager.

    Args:
        netem: netem's arguments, such as ``["loss", "20%"]``; ``None`` puts a namespace for
            a relay between the two instead.

    Raises:
        CodecError: when this is not Linux or not run by root, a program is missing, or the
            kernel refuses.
    """

    def __init__(self, netem: Sequence[str] | None) -> None:
        self._netem = netem
        self._names: dict[str, str] = {}
        self.target = f"10.77.0.2:{PORT}"  # where the sender sends to
        self.receiver = f"10.77.0.2:{PORT}" if netem is not None else f"10.77.1.2:{PORT}"

    def __enter__(self) -> Self:
        check_tools()
        try:
            if self._netem is not None:
                self._add("sender", "receiver")
                self._join("sender", "receiver", 0)
                device = ["dev", "cvq0", "root", "netem", *self._netem]
                self.run("sender", "tc", "qdisc", "add", *device)
            else:
                self._add("sender", "relay", "receiver")
                self._join("sender", "relay", 0)
                self._join("relay", "receiver", 1)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    @property
    def roles(self) -> list[str]:
        """Names of the namespaces."""
        return list(self._names)

    def command(self, where: str, *command: str) -> list[str]:
        """The command line that runs a command in a namespace."""
        return ["ip", "netns", "exec", self._names[where], *command]

    def run(self, where: str, *command: str) -> str:
        """Run a command in a namespace; returns what it printed.

        Raises:
            CodecError: with what it said, when it fails.
        """
        return _run(self.command(where, *command))

    def udp_counters(self, where: str) -> dict[str, int]:
        """The kernel's own counts of a namespace's UDP, such as ``OutDatagrams``."""
        lines = self.run(where, "cat", "/proc/net/snmp").splitlines()
        names, values = (line.split()[1:] for line in lines if line.startswith("Udp:"))
        return dict(zip(names, map(int, values), strict=True))

    def netem_statistics(self) -> str:
        """What ``tc -s qdisc`` says of the link; empty with a relay."""
        if self._netem is None:
            return ""
        return self.run("sender", "tc", "-s", "qdisc", "show", "dev", "cvq0").strip()

    def _add(self, *roles: str) -> None:
        for role in roles:
            name = f"cvq-{role}-{os.getpid()}"
            _run(["ip", "netns", "add", name])
            self._names[role] = name
            self.run(role, "ip", "link", "set", "lo", "up")

    def _join(self, one: str, other: str, number: int) -> None:
        """A pair of devices ``cvq{number}`` with addresses .1 and .2 of a net of their own."""
        device = f"cvq{number}"
        peer = ["peer", "name", device, "netns", self._names[other]]
        self.run(one, "ip", "link", "add", device, "type", "veth", *peer)
        ends = ((one, f"10.77.{number}.1"), (other, f"10.77.{number}.2"))
        for role, address in ends:
            self.run(role, "ip", "address", "add", f"{address}/24", "dev", device)
            self.run(role, "ip", "link", "set", device, "up")
        # Known beforehand: the link shall lose packets, not questions for addresses.
        for (role, _), (peer_role, address) in (ends, ends[::-1]):
            hardware = self.run(peer_role, "cat", f"/sys/class/net/{device}/address").strip()
            neighbour = [address, "lladdr", hardware, "dev", device, "nud", "permanent"]
            self.run(role, "ip", "neighbour", "replace", *neighbour)

    def _remove(self) -> None:
        for name in self._names.values():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        self._names.clear()


def check_tools() -> None:
    """Raise CodecError unless namespaces can be made here."""
    if not sys.platform.startswith("linux"):
        raise CodecError("network namespaces are Linux's: run this on Linux")
    if os.geteuid() != 0:
        raise CodecError("network namespaces need root: run this with sudo")
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            raise CodecError(f"{tool} is missing: install iproute2")


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
        raise CodecError(f"{' '.join(command)}: {said}")
    return done.stdout
