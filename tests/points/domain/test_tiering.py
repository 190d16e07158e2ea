"""Tiers on the road: late reports, returns, matches, and one history whatever the batches and whenever a timer runs."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.points.domain.facts import decode_facts, encode_facts
from services.points.domain.folding import fold
from services.points.domain.state import Wallet
from services.points.testing import Note, note
from tests.points.till import Till, document, enrolment, report

pytestmark = pytest.mark.anyio


def flying(**changes: Any) -> Till:
    till = Till(document("mileageplus", clock="wall", **changes))
    till.at = datetime(2023, 1, 10, 18, tzinfo=UTC)
    return till


async def fly(till: Till, id_: str, miles: int, at: datetime | None = None) -> dict[str, Any]:
    occurred_at = (at or till.at).isoformat()
    return await till.report({"id": id_, "type": "flight", "occurred_at": occurred_at, "attributes": {"miles": miles}})


def standing(till: Till) -> Any:
    assert till.wallet.tiers is not None
    assert till.wallet.tiers.standing is not None
    return till.wallet.tiers.standing


def counted(till: Till, unit: str = "qualifying_mile") -> dict[date, int]:
    assert till.wallet.tiers is not None
    return till.wallet.tiers.counts[unit, "calendar_year"]


async def test_what_counts_is_no_point() -> None:
    till = flying()
    await till.enrol()
    said = await fly(till, "f-1", 3000)
    assert [award["rule"] for award in said["awards"]] == ["base"]
    assert {judged["rule"]: judged["amount"] for judged in said["decision"] if judged["fired"]} == {
        "base": 3000,
        "qualifying": 3000,
    }
    assert [balance["unit"] for balance in said["balances"]] == ["mile"]
    assert said["tier"] == {"name": "member", "changed": False}
    assert said["tier_standing"]["progress"] == [
        {
            "counter": "year_miles",
            "value": 3000,
            "from": "2023-01-01",
            "until": "2023-12-31",
            "next": {"tier": "silver", "needs": 25000},
        }
    ]
    assert {lot.unit for lot in till.wallet.lots.values()} == {"mile"}


async def test_the_lift_is_told_with_its_cause() -> None:
    till = flying()
    await till.enrol()
    note = {"id": "f-1", "type": "flight", "occurred_at": till.at.isoformat(), "attributes": {"miles": 25000}}
    awarded, changed = await till.send(report("mileageplus", "m-1", note, till.at))
    assert awarded["tier"] == {"name": "silver", "changed": True}
    assert changed["type"] == "tier.changed.v1"
    assert changed["cause"] == {"kind": "activity", "id": "f-1"}
    assert (changed["from"], changed["to"], changed["since"], changed["until"], changed["reason"]) == (
        "member",
        "silver",
        "2023-01-10",
        "2024-12-31",
        "reached",
    )
    assert changed["tier_standing"]["benefits"] == [{"name": "priority-boarding", "value": None}]


async def test_a_repeat_is_answered_with_the_tier_of_then() -> None:
    till = flying()
    await till.enrol()
    first = await fly(till, "f-1", 25000)
    await fly(till, "f-2", 25000)
    again = await fly(till, "f-1", 25000)
    assert again["tier"] == first["tier"] == {"name": "silver", "changed": True}
    assert standing(till).tier == "gold"
    assert counted(till) == {date(2023, 1, 1): 50000}


async def test_what_is_reported_late_earns_by_the_tier_of_its_day_and_counts_in_its_year() -> None:
    till = flying()
    await till.enrol()
    till.at = datetime(2023, 12, 1, 18, tzinfo=UTC)
    await fly(till, "f-1", 24000)
    till.at = datetime(2024, 1, 5, 18, tzinfo=UTC)
    await fly(till, "f-2", 100000)
    assert standing(till).tier == "platinum"
    late = await fly(till, "f-3", 2000, datetime(2023, 12, 20, 18, tzinfo=UTC))
    assert {award["rule"]: award["amount"] for award in late["awards"]} == {"base": 2000}
    assert counted(till) == {date(2023, 1, 1): 26000, date(2024, 1, 1): 100000}
    assert standing(till).tier == "platinum"


async def test_a_late_flight_keeps_the_tier_that_a_review_had_taken() -> None:
    till = flying()
    await till.enrol()
    await fly(till, "f-1", 25000)
    till.at = datetime(2024, 12, 1, 18, tzinfo=UTC)
    await fly(till, "f-2", 24000)
    till.at = datetime(2025, 1, 3, 18, tzinfo=UTC)
    await till.run_due()
    assert standing(till).tier == "member"
    late = await fly(till, "f-3", 1000, datetime(2024, 12, 20, 18, tzinfo=UTC))
    assert late["tier"] == {"name": "silver", "changed": True}
    assert standing(till).until_at == datetime(2026, 1, 1, 6, tzinfo=UTC)


async def test_a_return_that_comes_after_the_review_only_takes_miles() -> None:
    till = flying()
    await till.enrol()
    await fly(till, "f-1", 100000)
    till.at = datetime(2025, 1, 3, 18, tzinfo=UTC)
    await till.run_due()
    assert standing(till).tier == "gold"
    back = await till.give_back("r-1", "f-1")
    assert back["tier"] == {"name": "gold", "changed": False}
    assert counted(till) == {date(2023, 1, 1): 0}


async def test_an_earlier_tier_that_has_ended_meanwhile_is_not_stood_on_again() -> None:
    till = flying()
    await till.enrol()
    await fly(till, "f-1", 50000)
    till.at = datetime(2024, 5, 1, 18, tzinfo=UTC)
    await fly(till, "f-2", 100000)
    till.at = datetime(2025, 2, 1, 18, tzinfo=UTC)
    back = await till.give_back("r-1", "f-2")
    # Gold through 2024 by 2023, and one step down from there by a year without a flight.
    assert back["tier"] == {"name": "silver", "changed": True}
    assert standing(till).until_at == datetime(2026, 1, 1, 6, tzinfo=UTC)


async def test_parts_of_a_flight_go_back_one_after_the_other() -> None:
    till = flying()
    await till.enrol()
    await till.report(
        {
            "id": "f-1",
            "type": "flight",
            "occurred_at": till.at.isoformat(),
            "currency": "USD",
            "amount": 1000,
            "attributes": {"miles": 30000},
        }
    )
    first = await till.give_back("r-1", "f-1", amount=100, attributes={"miles": 5000})
    assert first["tier"] == {"name": "silver", "changed": False}
    second = await till.give_back("r-2", "f-1", amount=100, attributes={"miles": 1})
    assert second["tier"] == {"name": "member", "changed": True}
    assert counted(till) == {date(2023, 1, 1): 24999}


async def test_a_match_beneath_which_a_tier_was_earned_falls_back_to_that() -> None:
    till = flying()
    await till.enrol()
    said = await till.match("s-1", "platinum", date(2022, 12, 1))
    assert said[-1]["challenge"] == {"counter": "year_miles", "needs": 25000, "until": "2023-04-09"}
    assert said[-1]["match"] == "s-1"
    assert said[-1]["until"] == "2023-04-09"
    till.pass_time(days=1)
    await fly(till, "f-1", 24999)
    till.at = datetime(2023, 4, 10, 5, tzinfo=UTC)
    await till.run_due()
    assert standing(till).tier == "member"
    # A flight of the matched days, reported after them, is enough all the same.
    late = await fly(till, "f-2", 1, datetime(2023, 4, 9, 12, tzinfo=UTC))
    assert late["tier"] == {"name": "platinum", "changed": True}
    assert standing(till).until_at == datetime(2025, 1, 1, 6, tzinfo=UTC)


async def test_terms_of_a_match_that_a_person_sets() -> None:
    till = flying()
    await till.enrol()
    said = await till.match("s-1", "gold", date(2022, 12, 1), until=date(2023, 2, 28), needs=1000)
    assert said[-1]["challenge"] == {"counter": "year_miles", "needs": 1000, "until": "2023-02-28"}
    await fly(till, "f-1", 1000)
    assert standing(till).until_at == datetime(2025, 1, 1, 6, tzinfo=UTC)
    assert standing(till).matched.kept


async def test_a_return_of_what_kept_a_match_takes_that_back_too() -> None:
    till = flying()
    await till.enrol()
    await till.match("s-1", "gold", date(2022, 12, 1))
    await fly(till, "f-1", 12000)
    await fly(till, "f-2", 500)
    assert standing(till).until_at == datetime(2025, 1, 1, 6, tzinfo=UTC)
    await till.give_back("r-1", "f-2")
    assert standing(till).tier == "gold"
    assert standing(till).until_at == datetime(2023, 4, 10, 5, tzinfo=UTC)
    till.pass_time(days=1)
    await fly(till, "f-3", 500)
    till.at = datetime(2023, 5, 1, tzinfo=UTC)
    await till.run_due()
    assert standing(till).tier == "gold"
    await till.give_back("r-2", "f-3")
    assert standing(till).tier == "member"


async def test_what_time_keeps_is_said() -> None:
    till = Till(document("hanting", clock="wall"))
    till.at = datetime(2023, 1, 10, 4, tzinfo=UTC)
    await till.enrol()
    for number, nights in enumerate((3, 5, 20)):
        till.pass_time(days=1)
        await till.report(stay(f"s-{number}", till.at, nights))
    till.at = datetime(2024, 2, 1, 4, tzinfo=UTC)
    await till.report(stay("s-9", till.at, 20))
    till.at = datetime(2025, 1, 10, 4, tzinfo=UTC)
    kept = await till.send(report("hanting", "m-1", stay("s-10", till.at, 1), till.at))
    assert (kept[0]["type"], kept[0]["tier"], kept[0]["until"]) == ("tier.kept.v1", "platinum", "2026-01-09")
    assert kept[0]["cause"] == {"kind": "tier_review", "id": "2025-01-09T16:00:00Z"}


def stay(id_: str, at: datetime, nights: int) -> dict[str, Any]:
    return {
        "id": id_,
        "type": "stay",
        "occurred_at": at.isoformat(),
        "currency": "CNY",
        "amount": 100,
        "attributes": {"nights": nights},
    }


async def test_a_match_needs_a_member() -> None:
    till = flying()
    said = await till.match("s-1", "gold", date(2022, 12, 1))
    assert (said[-1]["type"], said[-1]["code"]) == ("tier.match_refused.v1", "member_unknown")


async def test_points_expire_before_the_tier_is_looked_at() -> None:
    units = {
        "mile": {"scale": 0, "validity": {"kind": "end_of_period", "period": "year", "after": 1}},
        "qualifying_mile": {"scale": 0, "counts_only": True},
    }
    till = flying(units=units)
    await till.enrol()
    await fly(till, "f-1", 25000)
    till.at = datetime(2025, 1, 1, 6, tzinfo=UTC)
    await till.run_due()
    kinds = [(journal.kind, journal.at) for journal in till.ledger.journals[-2:]]
    assert kinds == [("expiry", till.at), ("tier_review", till.at)]


async def test_a_program_that_gives_up_its_tiers_looks_at_nobody_again() -> None:
    till = flying()
    await till.enrol()
    await fly(till, "f-1", 25000)
    plain = document("grocery", program="mileageplus", clock="wall", effective_from="2024-06-01T00:00:00+00:00")
    till.programs.publish(plain)
    till.at = datetime(2026, 1, 1, 6, tzinfo=UTC)
    await till.run_due()
    assert standing(till).tier == "silver"
    assert till.wallet.next_due_at is None or till.wallet.next_due_at > till.at


BEGIN = datetime(2023, 1, 10, 18, tzinfo=UTC)
STEPS = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=70),  # days that pass before it
        st.integers(min_value=0, max_value=40),  # how many days late it is reported
        st.sampled_from(["do", "do", "do", "return", "match", "timer", "end_of_batch"]),
        st.integers(min_value=0, max_value=9),
    ),
    min_size=1,
    max_size=25,
)
DEEDS: dict[str, Any] = {
    "mileageplus": lambda size: {"type": "flight", "attributes": {"miles": 6000 * size + 500}},
    "bank-classes": lambda size: {
        "type": "referral" if size == 9 else "enquiry" if size == 8 else "payment",
        "currency": "CNY",
        "amount": 2000 * size,
    },
    "hanting": lambda size: {
        "type": "stay",
        "currency": "CNY",
        "amount": 10000,
        "attributes": {"nights": size} if size else {"no_show": True},
    },
}


def messages(program: str, steps: list[Any]) -> list[tuple[str, datetime, Note | None]]:
    """Return what is sent and when, in the order of sending."""
    at = BEGIN
    sent: list[tuple[str, datetime, Note | None]] = []
    done: list[str] = []
    for number, (days, late, kind, size) in enumerate(steps):
        at += timedelta(days=days)
        if kind in {"timer", "end_of_batch"}:
            sent.append((kind, at, None))
            continue
        if kind == "match":
            sent.append(("message", at, matching(program, f"match-{number}", at)))
            continue
        if kind == "return" and done:
            body = {"id": f"r-{number}", "type": "return", "of": done[size % len(done)], "occurred_at": at.isoformat()}
        else:
            occurred_at = max(at - timedelta(days=late), BEGIN)
            body = {"id": f"a-{number}", "occurred_at": occurred_at.isoformat(), **DEEDS[program](size)}
            done.append(body["id"])
        sent.append(("message", at, report(program, "m-1", body, at)))
    return sent


def matching(program: str, match: str, at: datetime) -> Note:
    return note(
        "member.status_match_requested.v1",
        program,
        "m-1",
        at=at,
        cause={"kind": "request", "id": match},
        match=match,
        tier="gold",
        dated=at.date() - timedelta(days=30),
        versions={"program": 1},
    )


async def one_by_one(program: str, steps: list[Any]) -> Till:
    """Play messages one by one, with no timer; time takes its due before each, and once at the end."""
    till = Till(document(program, clock="wall"))
    await till.send(enrolment(program, "m-1", BEGIN))
    for _, _, message in messages(program, steps):
        if message is not None:
            await till.send(message)
    return till


async def in_batches(program: str, steps: list[Any]) -> Till:
    """Play the same in batches, with a timer that runs when it likes."""
    till = Till(document(program, clock="wall"))
    waiting: list[Note] = [enrolment(program, "m-1", BEGIN)]
    for kind, at, message in messages(program, steps):
        if message is not None:
            waiting.append(message)
            continue
        await till.send(*waiting)
        waiting = []
        if kind == "timer":
            till.at = at
            await till.run_due()
    await till.send(*waiting)
    return till


@pytest.mark.parametrize("program", sorted(DEEDS))
@given(steps=STEPS)
@settings(max_examples=80, deadline=None)
def test_one_history_whatever_the_batches_and_whenever_a_timer_runs(program: str, steps: list[Any]) -> None:
    async def compare() -> None:
        alone, together = await one_by_one(program, steps), await in_batches(program, steps)
        end = BEGIN + timedelta(days=sum(step[0] for step in steps) + 1200)
        for till in (alone, together):
            till.at = end
            await till.run_due()
        assert [(one.kind, one.at, one.facts) for one in alone.ledger.journals] == [
            (one.kind, one.at, one.facts) for one in together.ledger.journals
        ]
        assert alone.wallet.tiers == together.wallet.tiers
        _is_sound(alone)

    asyncio.run(compare())


THRESHOLDS = (0, 25_000, 50_000, 100_000)
NAMES = ("member", "silver", "gold", "platinum")


@given(years=st.lists(st.lists(st.sampled_from([1000, 12_500, 25_000, 60_000]), max_size=3), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_years_of_flights_against_a_plain_reckoning(years: list[list[int]]) -> None:
    """The rules of mileageplus said once more, in whole years: what a tier is for each flight and each new year."""

    async def compare() -> None:
        till = flying()
        await till.enrol()
        tier, good_through, elite = 0, 0, 0
        for year, flights in enumerate(years, 2023):
            if tier and good_through < year:
                # The year that ended decides, but by one step at most; each year is looked at by itself.
                earned = max(level for level in range(4) if sum(years[year - 2024]) >= THRESHOLDS[level])
                tier, good_through = max(earned, tier - 1), year
            elite = elite if tier else 0
            till.at = datetime(year, 1, 1, 6, tzinfo=UTC)
            await till.run_due()
            assert _tier_of(till) == NAMES[tier]
            flown = 0
            for number, miles in enumerate(flights):
                till.pass_time(days=20)
                said = await fly(till, f"f-{year}-{number}", miles)
                share = (0, 25, 50, 100)[tier] + min(25, 5 * elite)
                bonus = sum(each["amount"] for each in said["awards"] if each["rule"] != "base")
                assert bonus == miles * share // 100
                flown += miles
                reached = max(level for level in range(4) if flown >= THRESHOLDS[level])
                if reached and reached >= tier:
                    tier, good_through = reached, year + 1
                assert _tier_of(till) == NAMES[tier]
            # A year counts for tenure if one was above the first tier from its first day to its last.
            elite += _was_elite_all_year(till, year)

    asyncio.run(compare())


def _was_elite_all_year(till: Till, year: int) -> bool:
    book = till.wallet.tiers
    first = book.stood_at(datetime(year, 1, 1, 6, tzinfo=UTC)) if book is not None else None
    return first is not None and first.tier != "member"


def _tier_of(till: Till) -> str:
    book = till.wallet.tiers
    return "member" if book is None or book.standing is None else book.standing.tier


def _is_sound(till: Till) -> None:
    book = till.wallet.tiers
    folded = Wallet(till.program, till.member)
    for journal in till.ledger.journals:
        for fact in decode_facts(encode_facts(journal.facts)):
            fold(folded, journal.number, fact)
    assert folded.tiers == book
    if book is None:
        return
    assert all(amount >= 0 for days in book.counts.values() for amount in days.values())
    assert [stood.at for stood in book.stood] == sorted(stood.at for stood in book.stood)
    if book.standing is not None:
        assert book.standing.due_at is None or book.standing.due_at > till.at
