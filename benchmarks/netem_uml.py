"""``benchmarks.netem`` on a kernel of its own, where this machine's has no netem.

    sudo .venv/bin/python -m benchmarks.netem_uml [ARGUMENTS OF benchmarks.netem] -o RESULTS

The kernel is User Mode Linux: a program that runs this machine's files, which it sees
read-only, under a second kernel whose modules veth and netem are there (Debian's packages
``user-mode-linux`` and ``kmod``).  Results come back through the one folder that it may write.
Everything in it takes many times longer, so no times are reported.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.environment import ROOT
from compressai_vq.argument_parser import ArgumentParser
from compressai_vq.atomic_file import write_atomically
from compressai_vq.errors import CodecError

KERNEL = "linux.uml"
MODULES = Path("/usr/lib/uml/modules")
PATIENCE = 3600.0  # seconds for the whole run
MAPS = 1 << 20  # of vm.max_map_count: every page of the second kernel's programs is a mapping

_GUEST = """#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /run
mkdir /run/results /run/tmp
mount -t hostfs -o {results} none /run/results
exec > /run/results/printed 2> /run/results/said
export TMPDIR=/run/tmp OMP_NUM_THREADS=1
ip link set lo up
modules={modules}/$(uname -r)/kernel
insmod $modules/drivers/net/veth.ko && insmod $modules/net/sched/sch_netem.ko &&
    cd {root} && {command} -o /run/results/netem.json
echo $? > /run/results/rc
sync
echo o > /proc/sysrq-trigger
sleep 60
"""


def guest_script(results: Path, command: Sequence[str]) -> str:
    """What the second kernel runs as its first and only program.

    Args:
        results: folder, seen as ``/run/results``, where ``netem.json``, ``netem.log``, what was
            ``printed`` and ``said``, and the exit code ``rc`` are left.
        command: that takes ``-o``.
    """
    return _GUEST.format(
        results=shlex.quote(str(results)),
        modules=shlex.quote(str(MODULES)),
        root=shlex.quote(str(ROOT)),
        command=shlex.join(command),
    )


def run_in_guest(command: Sequence[str], folder: Path) -> Path:
    """Boot, run the command, and return the folder of its results.

    Raises:
        CodecError: when the kernel is missing or ends without a result.
    """
    for tool, package in ((KERNEL, "user-mode-linux"), ("insmod", "kmod")):
        if shutil.which(tool, path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin") is None:
            raise CodecError(f"{tool} is missing: install Debian's package {package}")
    maps = int(Path("/proc/sys/vm/max_map_count").read_text())
    if maps < MAPS:
        raise CodecError(f"vm.max_map_count is {maps}: sysctl -w vm.max_map_count={MAPS}")
    results = folder / "results"
    results.mkdir()
    script = folder / "guest"
    script.write_text(guest_script(results, command))
    script.chmod(0o755)
    boot = [KERNEL, "mem=8G", "rootfstype=hostfs", "rootflags=/", "ro", f"init={script}"]
    boot += ["con=null", "con0=null", "quiet"]
    environment = {**os.environ, "TMPDIR": str(folder)}  # its memory is a file there
    try:
        subprocess.run(
            boot,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CodecError(f"the second kernel did not end within {PATIENCE:g} s") from None
    if not (results / "rc").exists():
        raise CodecError(f"the second kernel did not start; {shlex.join(boot[:-2])} tells why")
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and write the results; returns the exit code."""
    parser = ArgumentParser(prog="python -m benchmarks.netem_uml", description=__doc__)
    parser.add_argument("-o", "--output", type=Path)
    arguments, rest = parser.parse_known_args(argv)
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.netem", "--link", "netem", *rest]
    with tempfile.TemporaryDirectory() as folder:
        try:
            results = run_in_guest(command, Path(folder).resolve())
            sys.stdout.write((results / "printed").read_text())
            sys.stderr.write((results / "said").read_text())
            code = int((results / "rc").read_text())
            if arguments.output and not code:
                for suffix in (".json", ".log"):
                    data = (results / "netem").with_suffix(suffix).read_bytes()
                    write_atomically(arguments.output.with_suffix(suffix), data)
        except CodecError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    return code


if __name__ == "__main__":
    sys.exit(main())
