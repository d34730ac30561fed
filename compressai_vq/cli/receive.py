"""``compressai-vq receive``: one image from UDP to an image file."""

from __future__ import annotations

import argparse
import math
import shlex
from typing import Any

from ..errors import CodecError
from . import jobs, received
from .kept_packets import keep_packets
from .standard_streams import remark
from .weights import file_codec

_SILENCE = 15.0
"""Seconds: of a packet's 1200 bytes, a link of a hundred a second takes 12."""


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("receive", help="one image that 'send' sends, to an image file")
    parser.add_argument(
        "address", metavar="HOST:PORT", help="of this machine; :PORT for all its IPv4 addresses"
    )
    received.add_arguments(parser)
    parser.add_argument(
        "--timeout", type=float, default=_SILENCE, metavar="S",
        help="write the image when nothing new came for S seconds: longer than the link takes for "
        f"a packet (default: {_SILENCE:g})",
    )  # fmt: skip
    parser.add_argument(
        "--wait", type=float, default=60.0, metavar="S",
        help="seconds to wait for the first packet (default: 60)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write one picture."""
    for name in ("timeout", "wait"):
        if not 0 < getattr(arguments, name) < math.inf:
            raise CodecError(f"--{name} must be above 0 and finite")
    received.check_outputs(arguments)
    codec = file_codec(arguments)
    from ..transport.assembly import assemble
    from ..transport.restoring import check_fill
    from ..transport.udp import format_address, open_socket, parse_address, receive

    check_fill(arguments.fill, codec)
    with open_socket(parse_address(arguments.address)) as opened:
        remark(f"receiving at {format_address(opened.getsockname())}")
        packets = receive(opened, codec, arguments.timeout, arguments.wait)
    assembled = assemble(packets, codec)
    try:
        return received.write(assembled, arguments, codec, lambda at: f"packet {at + 1}")
    except jobs.EXPECTED as error:  # a full disk, too little memory
        kept = keep_packets(packets, arguments.output)
        if kept is None:
            raise
        raise CodecError(
            f"{jobs.one_line(error)}; what arrived is kept: compressai-vq depacketize "
            f"{shlex.quote(str(kept))} -o FILE.png"
        ) from error
