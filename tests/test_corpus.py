"""The logic of a corpus, without a cluster; test_corpus_cluster.py has one."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from compressai_vq import corpus as module
from compressai_vq.corpus import BEGUN, FAILED, KEPT, PUBLISHED, Corpus, Worker, events
from compressai_vq.errors import CodecError, CodecWarning

EXPECTED = (CodecError, OSError, MemoryError)


class Copying:
    """A stand-in for a codec: what is written is the source, backwards."""

    def compress_file(self, source: Path) -> bytes:
        data = source.read_bytes()
        if data == b"large":
            raise MemoryError
        if data == b"bad":
            raise CodecError(f"{source}: not an image")
        return data[::-1]

    def check_finished(self, data: bytes) -> None:
        if data == b"other":
            raise CodecError("of quality 3, not 5")

    def describe(self, source: Path, target: Path, data: bytes) -> dict[str, Any]:
        return {"source": str(source), "target": str(target), "bytes": len(data)}


class FakeRay:
    """As much of Ray as is used, in this process: blocks may be given to two workers."""

    class exceptions:
        RayError = ConnectionError

    def __init__(self, again: bool = False) -> None:
        self.data = self
        self._again = again

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def from_items(self, rows: list[dict[str, Any]], **_: Any) -> FakeRay:
        self._rows = rows
        return self

    def map(self, worker: type[Worker], fn_constructor_args: Any, **_: Any) -> FakeRay:
        workers = [worker(*fn_constructor_args) for _ in range(2)]
        self._done = [one(row) for row in self._rows for one in workers[: 1 + self._again]]
        self._done = self._done[:: 1 + self._again]
        return self

    def iter_rows(self) -> Iterator[dict[str, Any]]:
        return iter(self._done)


@pytest.fixture
def on_fake_ray(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Does jobs with a corpus, without Ray."""

    def compress(
        out: Path, jobs: list[tuple[Path, Path]], again: bool = False, **settings: int
    ) -> list[Any]:
        @contextmanager
        def ray(address: str | None) -> Iterator[FakeRay]:
            yield FakeRay(again)

        monkeypatch.setattr(module, "_ray", ray)
        return list(Corpus(out, Copying, EXPECTED, settings).compress(jobs))

    return compress


def make_jobs(folder: Path, count: int) -> list[tuple[Path, Path]]:
    """Sources of some bytes each, and where to put what is made of them."""
    (folder / "in").mkdir()
    jobs = []
    for n in range(count):
        source = folder / "in" / f"{n:03}.png"
        source.write_bytes(f"source {n}".encode())
        jobs.append((source, folder / "out" / f"{n % 3}" / f"{n:03}.cvq"))
    return jobs


def stamps(out: Path) -> dict[Path, tuple[int, int]]:
    """Of each finished file, what changes when it is made anew."""
    return {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in out.rglob("*.cvq")}


@pytest.mark.parametrize("again", [False, True])
def test_results_report_and_log(
    tmp_path: Path, on_fake_ray: Callable[..., list[Any]], again: bool
) -> None:
    jobs, out = make_jobs(tmp_path, 10), tmp_path / "out"
    jobs[2][0].write_bytes(b"bad")
    jobs[4][0].write_bytes(b"large")
    jobs[6][0].unlink()
    outcomes = on_fake_ray(out, jobs, again)
    assert [outcome.item for outcome in outcomes] == jobs
    for n, outcome in enumerate(outcomes):
        if n in (2, 4, 6):
            assert isinstance(outcome.error, MemoryError if n == 4 else CodecError)
            assert not jobs[n][1].exists()
        else:
            assert outcome.result["status"] == PUBLISHED
            assert jobs[n][1].read_bytes() == f"source {n}".encode()[::-1]
    report = json.loads((out / "ray-report.json").read_text())
    assert {k: report[k] for k in ("files", PUBLISHED, KEPT, FAILED, "not_reached")} == {
        "files": 10, PUBLISHED: 7, KEPT: 0, FAILED: 3, "not_reached": 0,
    }  # fmt: skip
    assert [row["source"] for row in report["failures"]] == [str(jobs[n][0]) for n in (2, 4, 6)]
    assert "not an image" in report["failures"][0]["error"]
    told = events(Path(report["log"]))
    published = [entry["target"] for entry in told if entry["event"] == PUBLISHED]
    # Given to two workers, too, each file is published once.
    assert sorted(published) == sorted(str(jobs[n][1]) for n in range(10) if n not in (2, 4, 6))
    assert sum(entry["event"] == KEPT for entry in told) == (7 if again else 0)


def test_what_is_there_is_kept(tmp_path: Path, on_fake_ray: Callable[..., list[Any]]) -> None:
    jobs, out = make_jobs(tmp_path, 9), tmp_path / "out"
    assert all(outcome.result for outcome in on_fake_ray(out, jobs[:5]))
    before = stamps(out)
    assert len(before) == 5
    jobs[7][1].parent.mkdir(exist_ok=True)
    jobs[7][1].write_bytes(b"other")
    jobs[8][1].mkdir(parents=True)
    outcomes = on_fake_ray(out, jobs)
    states = [outcome.result["status"] for outcome in outcomes[:7]]
    assert states == [KEPT] * 5 + [PUBLISHED] * 2
    assert "of quality 3, not 5" in str(outcomes[7].error)
    assert "remove it, or choose another folder" in str(outcomes[7].error)
    assert str(jobs[8][1]) in str(outcomes[8].error)
    assert {path: stamps(out)[path] for path in before} == before
    assert jobs[7][1].read_bytes() == b"other"


def test_what_was_written_with_other_settings_is_not_kept(
    tmp_path: Path, on_fake_ray: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, out = make_jobs(tmp_path, 4), tmp_path / "out"
    names = iter(f"20261128-00000{n}-abcdef" for n in range(9))
    monkeypatch.setattr(module.time, "strftime", lambda *_: next(names))  # runs of one second
    on_fake_ray(out, jobs[:2], refine=4)
    on_fake_ray(out, jobs[2:3], refine=8)  # other files: no matter
    before = stamps(out)
    outcomes = on_fake_ray(out, jobs, refine=8)
    for outcome in outcomes[:2]:
        assert "exists and would be written otherwise (refine was 4, is 8)" in str(outcome.error)
    assert [outcome.result["status"] for outcome in outcomes[2:]] == [KEPT, PUBLISHED]
    # Made anew with these settings, they are as any others.
    jobs[0][1].unlink()
    assert on_fake_ray(out, jobs[:1], refine=8)[0].result["status"] == PUBLISHED
    assert on_fake_ray(out, jobs[:1], refine=8)[0].result["status"] == KEPT
    assert on_fake_ray(out, jobs[:2], refine=4)[1].result["status"] == KEPT
    kept = [jobs[n][1] for n in (1, 2)]
    assert {path: stamps(out)[path] for path in kept} == {path: before[path] for path in kept}


def test_a_file_that_ends_its_workers_is_given_up(tmp_path: Path) -> None:
    class Fatal(Copying):
        def compress_file(self, source: Path) -> bytes:
            raise SystemExit  # as close to being killed as a test can be

    ((source, target), *_) = make_jobs(tmp_path, 1)
    row = {"job": json.dumps([str(source), str(target)])}
    log = tmp_path / "log"
    log.mkdir()
    for _ in range(3):
        with pytest.raises(SystemExit):
            Worker(Fatal, log, EXPECTED)(row)
    done = json.loads(Worker(Fatal, log, EXPECTED)(row)["done"])
    assert done["status"] == FAILED
    assert "3 workers ended while they worked on it" in done["text"]
    assert [entry["event"] for entry in events(log)] == [BEGUN] * 3 + [FAILED]


def test_all_warnings_of_ours_are_told_and_no_others(tmp_path: Path) -> None:
    class Doubtful(Copying):
        def compress_file(self, source: Path) -> bytes:
            warnings.warn(f"{source}: its colour profile is no good", CodecWarning, stacklevel=2)
            warnings.warn("of a library", UserWarning, stacklevel=2)
            return super().compress_file(source)

    (tmp_path / "log").mkdir()
    source = tmp_path / "a"
    source.write_bytes(b"a")
    row = {"job": json.dumps([str(source), str(tmp_path / "a.out")])}
    done = json.loads(Worker(Doubtful, tmp_path / "log", EXPECTED)(row)["done"])
    assert done["warnings"] == [f"{source}: its colour profile is no good"]


def test_relative_names_are_reported_as_given(
    tmp_path: Path, on_fake_ray: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.png").write_bytes(b"data")
    Path("bad.png").write_bytes(b"bad")
    jobs = [(Path(name), Path("out", name)) for name in ("good.png", "bad.png")]
    good, bad = on_fake_ray(tmp_path / "out", jobs)
    assert (good.result["source"], good.result["target"]) == ("good.png", "out/good.png")
    assert str(bad.error) == "bad.png: not an image"
    (log,) = (tmp_path / "out" / "ray-log").iterdir()  # of other machines: with whole names
    assert all(Path(entry["target"]).is_relative_to(tmp_path) for entry in events(log))


def test_names_in_no_encoding(tmp_path: Path, on_fake_ray: Callable[..., list[Any]]) -> None:
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    try:
        source.write_bytes(b"data")
    except OSError:
        pytest.skip("this file system has no such names")
    (outcome,) = on_fake_ray(tmp_path / "out", [(source, source.with_suffix(".cvq"))])
    assert outcome.result["status"] == PUBLISHED
    assert source.with_suffix(".cvq").read_bytes() == b"atad"


def test_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(CodecError, match=r"--ray needs: pip install 'compressai-vq\[ray\]'"):
        list(Corpus(tmp_path, Copying, EXPECTED).compress(make_jobs(tmp_path, 2)))
    assert not (tmp_path / "ray-report.json").exists()
