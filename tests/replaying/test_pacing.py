from __future__ import annotations

import pytest

from laurel.replaying.pacing import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_hour_in_a_second() -> None:
    clock = Clock()
    pace = Pace(3_600, clock)
    assert pace.wait_seconds(7_200) == 0
    assert pace.wait_seconds(10_800) == pytest.approx(1)
    clock.now += 0.75
    assert pace.wait_seconds(10_800) == pytest.approx(0.25)
    clock.now += 5
    assert pace.wait_seconds(10_800) == 0, "what is late is sent at once"


def test_without_a_speed_nothing_waits() -> None:
    pace = Pace(None, Clock())
    assert [pace.wait_seconds(moment) for moment in (0, 10**9)] == [0, 0]


@pytest.mark.parametrize("speed", [0, -1])
def test_a_replay_goes_forward(speed: float) -> None:
    with pytest.raises(ValueError, match="forward"):
        Pace(speed, Clock())
