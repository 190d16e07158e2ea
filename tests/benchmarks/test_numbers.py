from __future__ import annotations

import math

import pytest

from benchmarks.numbers import Counted, percentile, rates, stretches


def test_percentiles_by_nearest_rank() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0, 0.0)] == [50, 99, 100, 1]
    assert percentile([7.0], 0.99) == 7
    assert math.isnan(percentile([], 0.5))


def test_an_even_run() -> None:
    samples = [Counted(seconds, seconds * 1_000) for seconds in range(41)]
    found = rates(samples, 10)
    assert (found.count, found.seconds) == (39_000, 39)
    assert (found.mean, found.first, found.last) == (1_000, 1_000, 1_000)


def test_a_run_that_slows_down_and_is_watched_after_its_end() -> None:
    samples = [Counted(0, 0), Counted(0.5, 0), Counted(1, 100), Counted(11, 10_100), Counted(21, 15_100)]
    samples += [Counted(seconds, 15_100) for seconds in range(22, 30)]
    found = rates(samples, 10)
    assert (found.first, found.last, found.seconds) == (1_000, 500, 20)


def test_windows_between_two_samples() -> None:
    found = rates([Counted(0, 10), Counted(4, 410)], 1)
    assert found.first == pytest.approx(100)
    assert found.last == pytest.approx(100)


@pytest.mark.parametrize("samples", [[], [Counted(0, 0)], [Counted(1, 5)], [Counted(1, 5), Counted(2, 5)]])
def test_nothing_to_divide_by(samples: list[Counted]) -> None:
    assert rates(samples, 10).mean == 0


def test_the_rate_of_each_stretch() -> None:
    samples = [Counted(0, 0), Counted(4, 400), Counted(6, 1_400), Counted(12, 2_000)]
    assert stretches(samples, 5) == [pytest.approx(180), pytest.approx(180)]
    assert stretches([Counted(3, 70), Counted(10, 770)], 5) == [pytest.approx(40), pytest.approx(100)]
    assert stretches([], 5) == []
