"""What the benchmarks put on the topic is what the gateway would have put there."""

from __future__ import annotations

import pytest

from benchmarks.feed import Event, enrolments, one_liners, real_baskets
from laurel.contracts.activity import check
from laurel.contracts.asking import ActivityReported, EnrolmentRequested
from laurel.shapes import decoder_of


@pytest.mark.parametrize("households", [None, 50])
def test_real_baskets_are_events_of_the_contract(households: int | None) -> None:
    events = list(real_baskets("grocery", 200, households=households))
    assert len({_activity_of(event) for event in events}) == 200
    assert len({event.member for event in events}) > 20


def test_one_line_each() -> None:
    events = list(one_liners("grocery", 100, 30))
    assert {len(decoder_of(ActivityReported).decode(event.body).activity.lines) for event in events} == {1}
    assert len({_activity_of(event) for event in events}) == 100
    assert {event.member for event in events} <= {f"hh-{number}" for number in range(1, 31)}


def test_the_same_feed_every_time() -> None:
    assert list(one_liners("grocery", 20, 30)) == list(one_liners("grocery", 20, 30))
    assert list(real_baskets("grocery", 20, households=9)) == list(real_baskets("grocery", 20, households=9))


def test_members_are_enrolled_before_the_year() -> None:
    (event,) = enrolments("grocery", ["hh-1"])
    said = decoder_of(EnrolmentRequested).decode(event.body)
    assert (said.member, said.versions.program, said.enrolled_at.year) == ("hh-1", 1, 2017)


def _activity_of(event: Event) -> str:
    said = decoder_of(ActivityReported).decode(event.body)
    assert (said.member, said.activity.member) == (event.member, event.member)
    assert said.cause.id == said.activity.id
    assert said.at == said.activity.occurred_at
    assert check(said.activity) == []
    return said.activity.id
