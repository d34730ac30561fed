from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator

import pytest
import torch

from compressai_vq.pipeline import (
    MOST_WORKERS,
    Outcome,
    PixelAllowance,
    Stopped,
    end_if_stopped,
    in_order,
    usable_cores,
    worker_count,
)


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_and_errors_keep_the_order(workers: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.003 * (item % 3 == 0))  # the first of three is the last to end
        if item % 5 == 4:
            raise ValueError(f"no {item}")
        return item * item

    outcomes = list(in_order(work, range(30), workers, (ValueError,)))
    assert [outcome.item for outcome in outcomes] == list(range(30))
    for item, outcome in enumerate(outcomes):
        if item % 5 == 4:
            assert outcome.result is None and str(outcome.error) == f"no {item}"
        else:
            assert outcome == Outcome(item, item * item)


def test_items_are_worked_on_at_once() -> None:
    both = threading.Barrier(2, timeout=20)
    # Each waits for the other: one after the other they would never come through.
    assert [o.result for o in in_order(lambda _: both.wait() >= 0, range(6), 2)] == [True] * 6


def test_one_worker_is_the_calling_thread() -> None:
    (outcome,) = in_order(lambda _: threading.current_thread(), [0], 1)
    assert outcome.result is threading.current_thread()


def test_items_are_taken_as_they_are_needed() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    outcomes = in_order(lambda item: item, items(), 2)
    for done in range(1, 101):
        next(outcomes)
        assert len(taken) <= done + 8
    outcomes.close()


def test_torch_threads_are_shared_out_and_given_back() -> None:
    def threads(_: int) -> int:
        torch.rand(1 << 16).sum()
        return torch.get_num_threads()

    assert {outcome.result for outcome in in_order(threads, range(8), 2)} == {2}
    assert {outcome.result for outcome in in_order(threads, range(8), 8)} == {1}
    assert {outcome.result for outcome in in_order(threads, range(2), 1)} == {4}
    assert torch.get_num_threads() == 4


def test_long_work_ends_when_nobody_waits_for_it() -> None:
    begun, ended = threading.Event(), []

    def work(item: int) -> int:
        if item == 0:
            return 0
        begun.set()
        try:
            for _ in range(2000):
                time.sleep(0.01)
                end_if_stopped()
        except Stopped:
            ended.append(item)
            raise
        return item

    end_if_stopped()  # nothing outside of workers
    outcomes = in_order(work, range(2), 2)
    next(outcomes)
    assert begun.wait(20)
    outcomes.close()
    assert ended == [1]
    assert [o.result for o in in_order(lambda item: end_if_stopped(), range(3), 2)] == [None] * 3


@pytest.mark.parametrize("workers", [1, 2])
def test_other_errors_end_the_work(workers: int) -> None:
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise KeyError("a mistake of ours")
        return item

    outcomes = in_order(work, range(1000), workers, (ValueError,))
    with pytest.raises(KeyError, match="a mistake"):
        for _ in outcomes:
            pass
    assert len(begun) < 100


def test_closing_finishes_what_has_begun_and_starts_nothing_else() -> None:
    begun, ended = [], []

    def work(item: int) -> int:
        begun.append(item)
        time.sleep(0.01)
        ended.append(item)
        return item

    outcomes = in_order(work, range(1000), 2)
    next(outcomes)
    outcomes.close()
    assert sorted(begun) == sorted(ended)
    assert len(begun) < 16
    time.sleep(0.03)
    assert len(begun) == len(ended) < 16
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("workers", [2, 4])
def test_warnings_belong_to_their_items(workers: int) -> None:
    def work(item: int) -> int:
        with warnings.catch_warnings():  # as readers of images do, and all at once
            warnings.simplefilter("ignore", UserWarning)
            time.sleep(0.001 * (item % 3))
        if item % 2:
            warnings.warn(f"item {item}", RuntimeWarning, stacklevel=1)
        return item

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        before = warnings.showwarning
        outcomes = list(in_order(work, range(24), workers))
        assert warnings.showwarning is before
    expected = [[f"item {item}"] if item % 2 else [] for item in range(24)]
    assert [outcome.warnings for outcome in outcomes] == expected


def test_allowance_bounds_the_pixels_at_work() -> None:
    allowance, lock = PixelAllowance(100, 4), threading.Lock()
    inside: list[int] = []
    most = []

    def work(pixels: int) -> None:
        with allowance.take(pixels):
            with lock:
                inside.append(pixels)
                most.append((sum(inside), len(inside)))
            time.sleep(0.002)
            with lock:
                inside.remove(pixels)

    sizes = [30, 60, 300, 30, 30, 40, 101, 20, 100, 50] * 3
    assert len(list(in_order(work, sizes, 4))) == len(sizes)
    assert all(pixels <= 100 or count == 1 for pixels, count in most)
    assert max(count for _, count in most) > 1
    assert max(pixels for pixels, _ in most) == 300


def test_large_pictures_have_all_threads() -> None:
    allowance = PixelAllowance(100, 4)

    def work(pixels: int) -> tuple[int, int]:
        with allowance.take(pixels):
            inside = torch.get_num_threads()
        return inside, torch.get_num_threads()

    found = {outcome.item: outcome.result for outcome in in_order(work, [50, 51, 40], 4)}
    assert found == {50: (1, 1), 51: (4, 1), 40: (1, 1)}


def test_allowance_is_given_back_after_errors() -> None:
    allowance = PixelAllowance(10, 4)
    for _ in range(2):
        with pytest.raises(ValueError), allowance.take(10):
            raise ValueError
    with allowance.take(10):
        pass


def test_worker_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores() >= 1
    monkeypatch.setattr("compressai_vq.pipeline.usable_cores", lambda: 64)
    assert worker_count(None, 1000) == MOST_WORKERS
    assert worker_count(None, 3) == 3
    assert worker_count(20, 1000) == 20
    assert worker_count(20, 0) == 1
    monkeypatch.setattr("compressai_vq.pipeline.usable_cores", lambda: 2)
    assert worker_count(None, 1000) == 2
