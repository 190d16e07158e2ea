from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laurel.calendars import (
    account_year,
    calendar_year,
    days_after,
    local_date,
    local_midnight,
    months_after,
    next_local_midnight,
    years_after,
    zone_named,
)

LONDON = ZoneInfo("Europe/London")
NEW_YORK = ZoneInfo("America/New_York")

zones = st.sampled_from(sorted(available_timezones())).map(ZoneInfo)
days = st.dates(date(1990, 1, 2), date(2060, 12, 30))
instants = st.datetimes(datetime(1990, 1, 2), datetime(2060, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001


def test_a_day_begins_at_its_own_midnight_summer_and_winter() -> None:
    assert local_midnight(date(2026, 1, 15), LONDON) == datetime(2026, 1, 15, tzinfo=UTC)
    assert local_midnight(date(2026, 7, 15), LONDON) == datetime(2026, 7, 14, 23, tzinfo=UTC)
    assert local_midnight(date(2026, 7, 15), NEW_YORK) == datetime(2026, 7, 15, 4, tzinfo=UTC)
    assert local_midnight(date(2026, 7, 15), NEW_YORK).tzinfo is UTC


def test_a_day_whose_midnight_is_skipped_begins_when_the_skipped_hour_ends() -> None:
    cairo = ZoneInfo("Africa/Cairo")
    began = local_midnight(date(2024, 4, 26), cairo)
    assert began == datetime(2024, 4, 25, 22, tzinfo=UTC)
    assert began.astimezone(cairo).hour == 1
    assert local_date(began - timedelta(microseconds=1), cairo) == date(2024, 4, 25)


def test_a_day_that_a_country_left_out_begins_with_the_next() -> None:
    apia = ZoneInfo("Pacific/Apia")
    assert local_midnight(date(2011, 12, 30), apia) == local_midnight(date(2011, 12, 31), apia)


@settings(deadline=None)
@given(days, zones)
def test_the_first_moment_of_a_day_lies_in_it_and_the_one_before_does_not(day: date, zone: ZoneInfo) -> None:
    began = local_midnight(day, zone)
    assert local_date(began, zone) >= day
    assert local_date(began - timedelta(microseconds=1), zone) < day


@settings(deadline=None)
@given(instants, zones)
def test_the_next_midnight_lies_ahead_and_on_another_day(instant: datetime, zone: ZoneInfo) -> None:
    following = next_local_midnight(instant, zone)
    assert instant < following <= instant + timedelta(hours=50)
    assert local_date(following, zone) > local_date(instant, zone)


def test_from_one_midnight_the_next_is_a_day_away() -> None:
    assert next_local_midnight(datetime(2026, 1, 15, tzinfo=UTC), LONDON) == datetime(2026, 1, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "years", "result"),
    [
        (date(2024, 2, 29), 1, date(2025, 2, 28)),
        (date(2024, 2, 29), 4, date(2028, 2, 29)),
        (date(2026, 3, 14), 2, date(2028, 3, 14)),
        (date(2026, 3, 14), 0, date(2026, 3, 14)),
    ],
)
def test_years_after_keep_month_and_day(day: date, years: int, result: date) -> None:
    assert years_after(day, years) == result


@pytest.mark.parametrize(
    ("day", "months", "result"),
    [
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2024, 1, 31), 1, date(2024, 2, 29)),
        (date(2026, 8, 31), 6, date(2027, 2, 28)),
        (date(2026, 12, 1), 1, date(2027, 1, 1)),
        (date(2026, 1, 31), -2, date(2025, 11, 30)),
    ],
)
def test_months_after_fall_back_to_the_end_of_a_shorter_month(day: date, months: int, result: date) -> None:
    assert months_after(day, months) == result


@settings(deadline=None)
@given(days, st.integers(0, 600))
def test_months_after_land_in_the_month_counted(day: date, months: int) -> None:
    later = months_after(day, months)
    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day == day.day or (later.day < day.day and (later + timedelta(days=1)).day == 1)


def test_days_after() -> None:
    assert days_after(date(2026, 12, 31), 90) == date(2027, 3, 31)


def test_the_calendar_year_is_half_open() -> None:
    assert calendar_year(date(2026, 12, 31)) == (date(2026, 1, 1), date(2027, 1, 1))


def test_the_account_year_of_a_leap_day_comes_back_to_it() -> None:
    enrolled = date(2024, 2, 29)
    assert account_year(enrolled, date(2025, 2, 27)) == (date(2024, 2, 29), date(2025, 2, 28))
    assert account_year(enrolled, date(2025, 2, 28)) == (date(2025, 2, 28), date(2026, 2, 28))
    assert account_year(enrolled, date(2028, 2, 28)) == (date(2027, 2, 28), date(2028, 2, 29))
    assert account_year(enrolled, date(2028, 2, 29)) == (date(2028, 2, 29), date(2029, 2, 28))


@settings(deadline=None)
@given(days, st.integers(-3000, 12000))
def test_a_day_lies_in_its_account_year(enrolled: date, offset: int) -> None:
    day = enrolled + timedelta(days=offset)
    began, ends = account_year(enrolled, day)
    assert began <= day < ends
    assert account_year(enrolled, ends)[0] == ends


def test_a_zone_has_a_name() -> None:
    assert zone_named("Europe/London") is zone_named("Europe/London")
    for name in ("Europe/Nowhere", "", "../etc/passwd", "Europe", "\x00"):
        with pytest.raises(ValueError, match="no time zone"):
            zone_named(name)
