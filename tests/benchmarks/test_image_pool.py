"""Images measured by several processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import compare, image_pool
from benchmarks.codecs import OURS, Sources
from benchmarks.image_pool import ImagePool
from compressai_vq.errors import CodecError
from compressai_vq.picture import write_picture

from ..fixtures import photograph


def _images(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"image{n}.png" for n in range(count)]
    for n, path in enumerate(paths):
        write_picture(path, photograph(40 + n, 50, n % 2))
    return paths


@pytest.mark.whole
def test_several_processes_find_what_one_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tmp_path / "images"
    _images(images, 3)
    found = []
    for jobs in (1, 2):
        work = tmp_path / f"out{jobs}"
        monkeypatch.setattr(compare, "OUT", work)
        arguments = ["--dataset", f"small={images}", "--metrics", "", "--codecs", OURS]
        arguments += ["--qualities", f"{OURS}=9,1,5"]
        output = ["-o", str(tmp_path / f"results{jobs}")]
        assert compare.main([*arguments, *output, "--jobs", str(jobs)]) == 0
        text = (tmp_path / f"results{jobs}" / "small" / f"{OURS}.json").read_text()
        found.append((_without_times(text), _files(work / "streams"), _names(work / "rows")))
    assert found[0] == found[1]
    assert len(found[0][1]) == 3 * 3


def test_a_process_that_ends_early_is_one_line(tmp_path: Path) -> None:
    images = _images(tmp_path, 2)
    with (
        pytest.raises(CodecError, match=r"a process ended before .* fewer --jobs"),
        ImagePool(1, {"no such codec": [1]}, Sources(), threads=1) as pool,
    ):
        list(pool.measure(images, tmp_path / "out", "small", []))


def test_processes_end_with_a_parent_that_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent is made a process that has ended already; that is all its children can see."""
    ended, codes = threading.Event(), []

    def leave(code: int) -> None:
        codes.append(code)
        ended.set()

    monkeypatch.setattr(os, "_exit", leave)
    parent = SimpleNamespace(join=lambda: None)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
    handler = signal.getsignal(signal.SIGINT)
    try:
        image_pool._start({}, Sources(), torch.get_num_threads())
        assert ended.wait(30) and codes == [1]
    finally:
        signal.signal(signal.SIGINT, handler)


def _without_times(text: str) -> Any:
    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: strip(v) for k, v in value.items() if not k.endswith("_time")}
        return [strip(v) for v in value] if isinstance(value, list) else value

    return strip(json.loads(text))


def _files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*.rows"))
