"""``compressai-vq send``: a ``.cvq`` file over UDP."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..errors import CodecError
from . import quick_start
from .packetize import add_packet_arguments, packets_of
from .standard_streams import show

_LONGEST_PAUSE = 3600


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("send", help="a .cvq file over UDP, in packets")
    add_packet_arguments(parser)
    parser.add_argument("address", metavar="HOST:PORT", help="where 'receive' runs")
    parser.add_argument(
        "--pause", type=float, default=0.001, metavar="S",
        help="seconds between two packets (default: 0.001)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Send one file."""
    if not 0 <= arguments.pause <= _LONGEST_PAUSE:
        raise CodecError(f"--pause must be from 0 to {_LONGEST_PAUSE} seconds")
    quick_start.import_compressai()
    from ..transport.udp import LONGEST_DATAGRAM, parse_address, send

    address = parse_address(arguments.address)
    if arguments.mtu > LONGEST_DATAGRAM:
        raise CodecError(f"--mtu: a UDP datagram has at most {LONGEST_DATAGRAM} bytes")
    packets, _ = packets_of(arguments)
    send(packets, address, arguments.pause)
    total = sum(map(len, packets))
    if arguments.json:
        facts: dict[str, Any] = {"source": str(arguments.input), "target": arguments.address}
        facts |= {"packets": len(packets), "bytes": total}
        show(json.dumps(facts, indent=2))
    else:
        show(f"{arguments.input}: {len(packets)} packets, {total} bytes to {arguments.address}")
    return 0
