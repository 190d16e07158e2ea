"""Segments: who is taken in, who stays, and what is wrong with a document about them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from laurel.program import CompiledProgram, ProgramFaults, load_program
from laurel.program.belonging import PAST_MAX, Belonging, SegmentBook, SegmentsChanged
from laurel.program.scopes import SEGMENTS
from laurel.program.segments import CompiledRank, CompiledSegments, Cut, ended
from tests.program.samples import a_document, a_purchase

NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)
MONDAY = datetime(2024, 3, 4, tzinfo=UTC)
FRUIT: dict[str, Any] = {
    "segment": "fruit", "sum": {"unit": "fruit", "weeks": 8, "least": 9600}, "judged": {"every": "week"},
}  # fmt: skip
MEAT: dict[str, Any] = {
    "segment": "meat", "sum": {"unit": "meat", "days": 7, "least": 100}, "judged": {"every": "week", "on": "monday"},
}  # fmt: skip
PLUS: dict[str, Any] = {
    "segment": "plus", "rank": {"unit": "spend", "months": 12, "keeps": 30}, "judged": {"every": "year"},
    "joins": {"on": ["plus_opened"], "from": "invited"},
}  # fmt: skip
INVITED: dict[str, Any] = {
    "segment": "invited", "rank": {"unit": "spend", "months": 12, "top": 20, "active_quarters": 3},
    "judged": {"every": "year"}, "lasts_days": 60, "excludes": ["plus"],
}  # fmt: skip
UNITS = {name: {"scale": 2, "counts_only": True} for name in ("fruit", "meat", "spend")}


BASE: dict[str, Any] = {"rule": "base", "rate": {"points": 1, "per": 100}}


def document(*segments: dict[str, Any], rules: tuple[dict[str, Any], ...] = (BASE,)) -> dict[str, Any]:
    whole = a_document(*rules, time_zone="UTC", segments=list(segments))
    return {**whole, "units": {**whole["units"], **UNITS}}


def compiled(*segments: dict[str, Any]) -> CompiledSegments:
    found = CompiledProgram.from_document(load_program(document(*segments)), 1).segments
    assert found is not None
    return found


def belongs(book: SegmentBook) -> dict[str, bool]:
    return {each.segment: each.primary for each in book.held}


class Member:
    """One member's book, judged by one version."""

    def __init__(self, *segments: dict[str, Any]) -> None:
        self.segments = compiled(*segments)
        self.book = SegmentBook()

    def judge(self, at: datetime, cuts: dict[str, Cut] | None = None, **measures: int) -> SegmentsChanged | None:
        fact = self.segments.judge(self.book, at, measures, cuts or {})
        if fact is not None:
            self.book.apply(fact)
        return fact


def test_twelve_pounds_a_week_is_enough_and_a_penny_less_is_not() -> None:
    """TC-7."""
    member = Member(FRUIT)
    assert member.judge(MONDAY, fruit=9599) is None
    assert member.judge(MONDAY, fruit=9600) is not None
    assert belongs(member.book) == {"fruit": True}
    assert member.judge(MONDAY + timedelta(days=7), fruit=9600) is None
    assert member.judge(MONDAY + timedelta(days=14)) is not None
    assert belongs(member.book) == {}


def test_the_club_whose_threshold_is_exceeded_most_is_primary() -> None:
    member = Member(FRUIT, MEAT)
    member.judge(MONDAY, fruit=9600, meat=101)
    assert belongs(member.book) == {"fruit": False, "meat": True}
    changed = member.judge(MONDAY + timedelta(days=7), fruit=19200, meat=101)
    assert changed is not None
    assert (changed.entered, changed.left) == ((), ())
    assert belongs(member.book) == {"fruit": True, "meat": False}
    member.judge(MONDAY + timedelta(days=14), fruit=9600, meat=100)
    assert belongs(member.book) == {"fruit": True, "meat": False}


def test_eight_weeks_are_the_fifty_six_days_before() -> None:
    (fruit,) = compiled(FRUIT).segments
    assert fruit.sum is not None
    assert fruit.sum.window(MONDAY.date()) == (date(2024, 1, 8), date(2024, 3, 4))


def test_quarters_end_with_the_day_of_the_judgement() -> None:
    (invited,) = compiled(dict(INVITED, excludes=[])).segments
    assert invited.rank is not None
    assert invited.rank.quarters(date(2025, 1, 1)) == (
        (date(2024, 10, 1), date(2025, 1, 1)),
        (date(2024, 7, 1), date(2024, 10, 1)),
        (date(2024, 4, 1), date(2024, 7, 1)),
    )


@pytest.mark.parametrize(("size", "place"), [(10, 2), (11, 2), (4, 1), (1, 1), (15, 3), (13_000_000, 2_600_000)])
def test_the_last_place_of_the_top_twenty_percent(size: int, place: int) -> None:
    """CP-2."""
    assert CompiledRank.place(Fraction(20, 100), size) == place


@pytest.mark.parametrize(
    ("judged", "days"),
    [
        ({"every": "year"}, ["2024-01-01"]),
        ({"every": "quarter"}, ["2024-01-01", "2024-04-01", "2024-07-01", "2024-10-01"]),
        ({"every": "week", "on": "thursday"}, ["2024-02-29"]),
        ({"every": "month"}, ["2024-02-01", "2024-12-01"]),
    ],
)
def test_days_of_judgement(judged: dict[str, str], days: list[str]) -> None:
    segments = compiled({**FRUIT, "judged": judged})
    for day in days:
        assert segments.judged_on(date.fromisoformat(day))
        assert not segments.judged_on(date.fromisoformat(day) + timedelta(days=1))


def test_who_is_invited_joins_within_the_time_and_stays_within_the_share() -> None:
    member = Member(PLUS, INVITED)
    cuts = {"plus": Cut(10, None, 390_000), "invited": Cut(10, 480_000, None)}
    member.judge(NEW_YEAR, cuts, plus=480_000, invited=480_000)
    assert member.book.held == (Belonging("invited", NEW_YEAR, NEW_YEAR + timedelta(days=60)),)
    joining = member.segments.joined(member.book, "plus_opened", NEW_YEAR + timedelta(days=60))
    assert joining is None
    joined_at = NEW_YEAR + timedelta(days=59)
    joining = member.segments.joined(member.book, "plus_opened", joined_at)
    assert joining is not None
    assert (joining.entered, joining.left) == (("plus",), ("invited",))
    member.book.apply(joining)
    assert member.segments.joined(member.book, "plus_opened", joined_at + timedelta(days=1)) is None
    # CP-4: third of ten stays, and is not invited although it is within the top; the fourth leaves.
    next_year = datetime(2026, 1, 1, tzinfo=UTC)
    assert member.judge(next_year, cuts, plus=480_000, invited=480_000) is None
    assert member.judge(next_year, cuts, plus=390_000, invited=390_000) is None
    left = member.judge(next_year, cuts, plus=389_999, invited=389_999)
    assert left is not None
    assert (left.entered, left.left, left.at) == ((), ("plus",), next_year)
    assert member.book.at(next_year - timedelta(seconds=1)) == ("plus",)
    assert member.book.at(next_year) == ()


def test_an_invitation_ends_by_itself_and_late_reports_find_what_was() -> None:
    member = Member(PLUS, INVITED)
    member.judge(NEW_YEAR, {"invited": Cut(1, 5, None)}, invited=5)
    end = NEW_YEAR + timedelta(days=60)
    assert member.book.ends_at == end
    assert ended(member.book, end - timedelta(seconds=1)) is None
    over = ended(member.book, end)
    assert over is not None
    member.book.apply(over)
    assert not member.book.names
    assert member.book.at(end - timedelta(seconds=1)) == ("invited",)
    assert member.book.at(end) == ()


def test_who_is_invited_again_before_the_end_has_another_end() -> None:
    yearly = Member(dict(INVITED, lasts_days=400, excludes=[]))
    cut = {"invited": Cut(1, 5, 5)}
    yearly.judge(NEW_YEAR, cut, invited=5)
    again = yearly.judge(datetime(2026, 1, 1, tzinfo=UTC), cut, invited=5)
    assert again is None, "who stays is not taken in anew"


def test_a_segment_that_a_version_gave_up_is_left_at_its_next_judgement() -> None:
    member = Member(FRUIT, MEAT)
    member.judge(MONDAY, fruit=9600, meat=100)
    member.segments = compiled(MEAT)
    member.judge(MONDAY + timedelta(days=7), fruit=9600, meat=100)
    assert belongs(member.book) == {"meat": True}


def test_only_so_many_memberships_are_remembered() -> None:
    member = Member(FRUIT)
    for week in range(3 * PAST_MAX):
        member.judge(MONDAY + timedelta(days=7 * week), fruit=9600 * (week % 2))
    assert len(member.book.past) == PAST_MAX


def over_another(segment: dict[str, Any]) -> dict[str, Any]:
    return {**segment, "rank": {**segment["rank"], "over": "other", "unit": "counted-there"}}


def test_what_is_ranked_over_another_program_is_counted_there() -> None:
    segments = compiled(FRUIT, PLUS, over_another({**INVITED, "segment": "theirs"}), INVITED)
    assert segments.units == {"fruit", "spend"}
    assert segments.units_of_others == {("other", "counted-there")}
    assert [each.over for each in segments.segments] == [None, None, "other", None]


def test_a_ranking_over_nothing_changes_nothing() -> None:
    """Without a cut there was nothing to rank; with one that took nobody in, who belonged leaves."""
    member = Member(over_another(PLUS), over_another(INVITED))
    cuts = {"plus": Cut(10, None, 300), "invited": Cut(10, 400, None)}
    assert member.judge(NEW_YEAR, cuts, plus=500, invited=500) is not None
    joined = member.segments.joined(member.book, "plus_opened", NEW_YEAR)
    assert joined is not None
    member.book.apply(joined)
    assert member.judge(NEW_YEAR + timedelta(days=365)) is None
    assert belongs(member.book) == {"plus": False}
    assert member.judge(NEW_YEAR + timedelta(days=365), {"plus": Cut(), "invited": Cut()}) is not None
    assert belongs(member.book) == {}


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("/segments/0/sum/unit", document({**FRUIT, "sum": {"unit": "point", "weeks": 8, "least": 1}})),
    ("/segments/0/sum/unit", document({**FRUIT, "sum": {"unit": "nothing", "weeks": 8, "least": 1}})),
    ("/segments/0/sum", document({**FRUIT, "sum": {"unit": "fruit", "least": 1}})),
    ("/segments/0/sum/days", document({**FRUIT, "sum": {"unit": "fruit", "weeks": 8, "days": 1, "least": 1}})),
    ("/segments/0/sum/least", document({**FRUIT, "sum": {"unit": "fruit", "weeks": 8, "least": 0}})),
    ("/segments/0/judged", document({key: value for key, value in FRUIT.items() if key != "judged"})),
    ("/segments/0/judged/on", document({**FRUIT, "judged": {"every": "year", "on": "monday"}})),
    ("/segments/0/judged/every", document({**FRUIT, "judged": {"every": "day"}})),
    ("/segments/0/rank", document({**FRUIT, "rank": INVITED["rank"]})),
    ("/segments/0", document({"segment": "empty"})),
    ("/segments/0/judged", document({"segment": "joined", "joins": {"on": ["x"]}, "judged": {"every": "week"}})),
    ("/segments/1/segment", document(FRUIT, FRUIT)),
    ("/segments/0/excludes/0", document(INVITED)),
    ("/segments/0/excludes/0", document({**FRUIT, "excludes": ["fruit"]})),
    ("/segments/0/joins/from", document(PLUS)),
    ("/segments/0/joins/on/0", document({"segment": "joined", "joins": {"on": ["return"]}})),
    ("/segments/0/rank", document({**PLUS, "joins": None, "rank": {"unit": "spend", "months": 12}})),
    ("/segments/0/rank/top", document({**INVITED, "excludes": [], "rank": {"unit": "spend", "months": 1, "top": 101}})),
    (
        "/segments/0/rank/keeps",
        document({**INVITED, "excludes": [], "rank": {"unit": "spend", "months": 1, "top": 20, "keeps": 10}}),
    ),
    # Its own members are ranked without saying so; a sum is never over another program; the unit there must be named.
    (
        "/segments/0/rank/over",
        {**document({**INVITED, "excludes": [], "rank": {**INVITED["rank"], "over": "other"}}), "program": "other"},
    ),
    ("/segments/0/rank/over", document({**INVITED, "excludes": [], "rank": {**INVITED["rank"], "over": "No Program"}})),
    (
        "/segments/0/rank/unit",
        document({**INVITED, "excludes": [], "rank": {"over": "other", "months": 12, "top": 20}}),
    ),
    ("/segments/0/sum/over", document({**FRUIT, "sum": {**FRUIT["sum"], "over": "other"}})),
    ("/earning/0/segments/0", document(rules=({**BASE, "segments": ["nobody"]},))),
    ("/earning/0/segments/1", document(FRUIT, rules=({**BASE, "segments": ["fruit", "fruit"]},))),
    ("/segments/0/surprise", document({**FRUIT, "surprise": 1})),
]


@pytest.mark.parametrize(("pointer", "wrong"), FAULTS)
def test_a_fault_is_named_with_its_pointer(pointer: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ProgramFaults) as raised:
        load_program(wrong)
    assert pointer in [fault.pointer for fault in raised.value.faults]


def test_a_rule_for_a_segment_gives_way_to_nobody_and_carries_nothing_for_others() -> None:
    theirs = {**BASE, "rule": "theirs", "segments": ["fruit", "meat"]}
    more = {"rule": "more", "segments": ["meat"], "multiplier": {"of": "theirs", "percent": 50}}
    program = CompiledProgram.from_document(load_program(document(FRUIT, MEAT, rules=(BASE, theirs, more))), 1)
    bought = a_purchase(amount=1000)

    def reasons(*segments: str) -> list[str]:
        return [outcome.reason for outcome in program.judge(bought, {SEGMENTS: segments} if segments else {})]

    assert reasons() == ["earned", "not_in_segment", "not_in_segment"]
    assert reasons("fruit") == ["earned", "earned", "not_in_segment"]
    assert reasons("meat") == ["earned", "earned", "earned"]
