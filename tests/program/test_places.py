"""Day parts in the local time of the store, and what the program knows of its stores."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from laurel.program.places import Places
from tests.program.samples import a_program, a_purchase, computed

PARTS = {
    "morning": {"from": "05:00", "to": "10:59"},
    "noon": {"from": "11:00", "to": "15:59"},
    "late-night": {"from": "22:00", "to": "04:59"},
}
STORES = {"office-1": {"type": "office"}, "new-york": {"type": "office", "time_zone": "America/New_York"}}
LUNCH = {"fixed": {"points": 10}, "where": 'activity.day_part == "noon" && activity.store_type == "office"'}


def places() -> Places:
    found = a_program(LUNCH, day_parts=PARTS, stores=STORES, time_zone="Asia/Tokyo").places
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("at", "store", "points"),
    [
        ("2024-05-14T10:59:59+09:00", "office-1", 0),
        ("2024-05-14T11:00:00+09:00", "office-1", 10),
        ("2024-05-14T15:59:59.999+09:00", "office-1", 10),
        ("2024-05-14T16:00:00+09:00", "office-1", 0),
        ("2024-05-14T03:30:00Z", "office-1", 10),
        ("2024-05-14T03:30:00Z", "elsewhere", 0),
        ("2024-05-14T03:30:00Z", None, 0),
        ("2024-05-14T16:30:00Z", "new-york", 10),
    ],
)
def test_the_clock_of_the_store_says_which_part_it_is(at: str, store: str | None, points: int) -> None:
    program = a_program(LUNCH, day_parts=PARTS, stores=STORES, time_zone="Asia/Tokyo")
    assert computed(program.judge(a_purchase(occurred_at=at, store=store), {})) == [points]


def test_a_part_that_crosses_midnight_is_dated_by_its_start() -> None:
    night = (datetime(2024, 5, 14, 13, tzinfo=UTC), datetime(2024, 5, 14, 20, tzinfo=UTC))
    for at in ("2024-05-14T22:00:00+09:00", "2024-05-14T23:30:00+09:00", "2024-05-15T04:59:59+09:00"):
        assert places().day_part(datetime.fromisoformat(at), "office-1") == night
    assert places().day_part(datetime.fromisoformat("2024-05-15T05:00:00+09:00"), None) != night


def test_between_parts_there_is_none() -> None:
    assert places().day_part(datetime.fromisoformat("2024-05-14T16:00:00+09:00"), None) is None


def test_a_part_that_ends_at_midnight_ends_with_its_day() -> None:
    program = a_program(
        {"fixed": {"points": 1}}, day_parts={"evening": {"from": "18:00", "to": "23:59"}}, time_zone="Europe/London"
    )
    assert program.places is not None
    evening = program.places.day_part(datetime(2024, 3, 30, 19, tzinfo=UTC), None)
    assert evening == (datetime(2024, 3, 30, 18, tzinfo=UTC), datetime(2024, 3, 31, 0, tzinfo=UTC))


def test_the_night_on_which_clocks_change_is_one_part() -> None:
    found = {
        places().day_part(datetime.fromisoformat(at), "new-york")
        for at in ("2024-11-03T00:30:00-04:00", "2024-11-03T01:30:00-04:00", "2024-11-03T01:30:00-05:00")
    }
    assert len(found) == 1
