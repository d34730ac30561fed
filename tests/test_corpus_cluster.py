"""A corpus on a Ray cluster of two workers on this machine, which are killed half way."""

from __future__ import annotations

import collections
import functools
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compressai_vq.cli.__main__ import main, parser
from compressai_vq.cli.compress import Compressor
from compressai_vq.cli.jobs import EXPECTED, plan
from compressai_vq.corpus import BEGUN, KEPT, PUBLISHED, Corpus, events
from compressai_vq.picture import ENDINGS, write_picture

from .fixtures import photograph, untrained_weights

FILES = 60


class SlowCompressor(Compressor):
    """The command's own, with time to be killed in."""

    def compress_file(self, source: Path) -> bytes:
        time.sleep(0.1)
        return super().compress_file(source)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, list[Any]]]:
    """A head without cores, and with it two nodes of one core each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    store: dict[str, Any] = {"object_store_memory": 80 << 20, "include_dashboard": False}
    # A killed node shall be missed soon, and a slow one not be taken for dead.
    health = {"health_check_period_ms": 500, "health_check_failure_threshold": 10}
    made = Cluster(True, head_node_args={"num_cpus": 0, **store, "_system_config": health})
    try:
        yield made, [made.add_node(num_cpus=1, **store) for _ in range(2)]
    finally:
        made.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Ray clusters are for POSIX")
def test_killed_workers_lose_nothing_and_do_nothing_twice(
    cluster: tuple[Any, list[Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, nodes = cluster
    sources, out, weights = tmp_path / "in", tmp_path / "out", tmp_path / "made-up.safetensors"
    untrained_weights().save(weights)
    for n in range(FILES):
        picture = photograph(16 + n, 32 + n % 7, n % 2)
        write_picture(sources / f"{n % 4}" / f"{n:03}.png", picture)
    (sources / "bad.png").write_bytes(b"no image")
    command = ["compress", str(sources), "-o", str(out), "-q", "4", "--weights", str(weights)]
    arguments = parser().parse_args(command)
    jobs = plan(arguments, ENDINGS, ".cvq")
    finished: dict[str, tuple[int, int]] = {}
    killed = []

    def stamps() -> dict[str, tuple[int, int]]:
        return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns) for p in out.rglob("*.cvq")}

    def wait_for(count: int) -> None:
        until = time.monotonic() + 600
        while len(stamps()) < count and time.monotonic() < until:
            time.sleep(0.02)
        finished.update(stamps())

    def kill(log: Path) -> None:
        # First a worker's process alone, which is begun anew on its machine; then a machine.
        wait_for(FILES // 5)
        worker = int(next(log.glob("*.jsonl")).stem.split("-")[-2])
        os.kill(worker, signal.SIGKILL)
        killed.append(len(finished))
        wait_for(FILES // 2)
        whole.remove_node(nodes[-1], allow_graceful=False)
        killed.append(len(finished))

    plain = Compressor(arguments)
    make = functools.partial(SlowCompressor, arguments)
    corpus = Corpus(out, make, EXPECTED, plain.settings, address=whole.address)
    killer = threading.Thread(target=kill, args=(corpus.log,))
    killer.start()
    outcomes = list(corpus.compress(jobs))
    killer.join()
    assert capsys.readouterr().out == ""  # Ray tells of killed workers there, on its own

    # Half way: some were finished before each of the two, and some after.
    assert FILES // 5 <= killed[0] < killed[1] < FILES
    # Nothing lost: one result for each file in order, and all files as a plain run writes them.
    assert [outcome.item for outcome in outcomes] == jobs
    assert [str(o.item[0]) for o in outcomes if o.error] == [str(sources / "bad.png")]
    for source, target in jobs:
        if source.name != "bad.png":
            assert target.read_bytes() == plain.compress_file(source)
    # Nothing twice: what was there when a worker was killed is the same file at the end, and
    # by the workers' own logs each file was published once.
    assert {path: stamps()[path] for path in finished} == finished
    log = events(corpus.log)
    published = collections.Counter(e["target"] for e in log if e["event"] == PUBLISHED)
    assert set(published.values()) == {1}
    missing = {str(target) for _, target in jobs} - set(published)
    # A worker that is killed between publishing a file and noting it leaves only the file.
    assert len(missing - {str(out / "bad.cvq")}) <= 2
    assert len(list(corpus.log.glob("*.jsonl"))) >= 3  # two workers, and successors
    # What was begun twice was in the works when its worker was killed.
    begun = collections.Counter(e["target"] for e in log if e["event"] == BEGUN)
    assert sum(count - 1 for count in begun.values()) <= 2 + 1
    assert {p.suffix for p in out.rglob("*") if p.is_file()} == {".cvq", ".json", ".jsonl"}

    # The command itself, over again: everything is found and kept.
    before = stamps()
    capsys.readouterr()
    assert main([*command, "--ray", whole.address, "--json"]) == 2
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert [row.get("status") for row in rows if "error" not in row] == [KEPT] * FILES
    assert captured.err.splitlines() == [
        f"error: {sources / 'bad.png'}: not an image that Pillow can read"
    ]
    assert stamps() == before
    assert json.loads((out / "ray-report.json").read_text())[KEPT] == FILES
