"""Whether a partner takes part, by what was said of it and since when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import pytest

from laurel.partnerships import State, state_at


class Said(NamedTuple):
    state: State
    since: datetime | None


def day(number: int) -> datetime:
    return datetime(2036, 3, number, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "on_the_tenth"),
    [
        ([], "approved"),
        ([Said("approved", None)], "approved"),
        ([Said("approved", day(11))], "applicant"),
        ([Said("suspended", day(11))], "approved"),
        ([Said("terminated", day(10))], "terminated"),
        ([Said("approved", None), Said("suspended", day(10))], "suspended"),
        ([Said("approved", None), Said("suspended", day(11))], "approved"),
        # What is said later holds over what was said before, from its own day on.
        ([Said("suspended", day(5)), Said("approved", day(3))], "approved"),
        ([Said("suspended", day(5)), Said("approved", day(11))], "suspended"),
    ],
)
def test_a_state_holds_from_its_day_on(said: list[Said], on_the_tenth: State) -> None:
    assert state_at(said, day(10)) == on_the_tenth
