"""Two accounts become one, and two again, on paper: what moves, what is reported later, and what is given back."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.points.testing import note
from tests.points.couple import (
    A_MONTH,
    CAP,
    COUNTING,
    IN_CHAINS,
    TOTALS,
    Couple,
    a_couple,
    come_and_go,
    live,
    live_in_chains,
    spend,
)
from tests.points.lapsing import INACTIVITY
from tests.points.till import START, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio


async def test_lots_go_with_all_that_they_are() -> None:
    couple = await a_couple()
    await couple.buy("b-1", 1000)
    couple.pass_time(days=1)
    await couple.buy_for("m-2", "b-2", 2000)
    here, there = await couple.join()
    assert [(one["type"], one["member"], one["role"]) for one in (here, there)] == [
        ("member.merged.v1", "m-1", "merged"),
        ("member.merged.v1", "m-2", "survivor"),
    ]
    assert (here["balances"][0]["available"], there["balances"][0]["available"]) == (0, 30)
    assert (couple.of("m-1").status, couple.of("m-1").merged_into) == ("merged", "m-2")
    lot = max(couple.of("m-2").lots.values(), key=lambda each: each.name)
    assert (lot.activity, lot.rule, lot.earned_at, lot.remaining) == ("b-1", "base", START, 10)


async def test_what_is_owed_goes_along_and_is_paid() -> None:
    couple = await a_couple()
    await couple.buy("b-1", 1000)
    await couple.hold("h-1", 10)
    await couple.capture("h-1")
    await couple.give_back("r-1", "b-1")
    assert couple.points("m-1").owed == 10
    await couple.buy_for("m-2", "b-2", 700)
    await couple.join()
    assert (couple.points("m-1").owed, couple.points("m-2").owed, couple.points("m-2").available) == (0, 3, 0)
    await couple.buy_for("m-2", "b-3", 1000)
    assert (couple.points("m-2").owed, couple.points("m-2").available) == (0, 7)


async def test_activities_reported_for_it_are_the_survivor_s() -> None:
    couple = await a_couple()
    await couple.join()
    said = await couple.buy("b-1", 1000)
    assert (said["type"], said["member"]) == ("points.awarded.v1", "m-2")
    again = await couple.buy("b-1", 1000)
    assert again["awards"] == said["awards"]
    assert couple.points("m-2").available == 10


async def test_an_activity_from_before_is_answered_as_before() -> None:
    couple = await a_couple()
    first = await couple.buy("b-1", 1000)
    await couple.join()
    again = await couple.buy("b-1", 1000)
    assert (again["member"], again["awards"]) == ("m-1", first["awards"])
    assert couple.points("m-2").available == 10


@pytest.mark.parametrize("member", ["m-1", "m-2"])
async def test_a_return_of_its_past_takes_from_the_survivor_its_own_points_first(member: str) -> None:
    units = {"point": {"scale": 0, "validity": {"kind": "rolling", "days": 900}}}
    couple = await a_couple(units=units)
    await couple.buy_for("m-2", "b-2", 2000)
    couple.pass_time(days=1)
    await couple.buy("b-1", 1000)
    await couple.join()
    said = await couple.back_of(member, "r-1", "b-1")
    assert [one["type"] for one in said] == ["points.clawed_back.v1", "member.merged.v1", "member.merged.v1"]
    assert (couple.points("m-1").owed, couple.points("m-2").owed, couple.points("m-2").available) == (0, 0, 20)
    lots = {lot.activity: lot.remaining for lot in couple.of("m-2").lots.values()}
    assert lots == {"b-2": 20, "b-1": 0}, "those of the purchase go first, whatever would be spent first"
    await couple.back_of("m-1", "r-2", "b-1")
    assert couple.points("m-2").available == 20, "nothing comes back twice"


async def test_a_return_of_what_is_spent_is_owed_by_the_survivor() -> None:
    couple = await a_couple()
    await couple.buy("b-1", 1000)
    await couple.join()
    couple.member = "m-2"
    await couple.hold("h-1", 10)
    await couple.capture("h-1")
    await couple.back_of("m-2", "r-1", "b-1")
    assert (couple.points("m-1").owed, couple.points("m-2").owed) == (0, 10)


async def test_a_hold_from_before_is_cancelled_for_the_survivor() -> None:
    couple = await a_couple()
    await couple.buy("b-1", 1000)
    await couple.timed("requested", "h-1", amount=8)
    assert (await couple.join())[0]["code"] == "hold_open"
    await couple.timed("capture_requested", "h-1")
    await couple.join("j-2")
    said = await couple.timed("cancel_requested", "h-1", by="member")
    assert [(one["type"], one["member"]) for one in said] == [
        ("points.restored.v1", "m-1"),
        ("member.merged.v1", "m-1"),
        ("member.merged.v1", "m-2"),
    ]
    assert (couple.points("m-1").available, couple.points("m-2").available) == (0, 10)


async def test_a_hold_that_was_under_way_is_refused() -> None:
    couple = await a_couple()
    await couple.buy("b-1", 1000)
    await couple.join()
    for said in (await couple.hold("h-1", 5), await couple.timed("requested", "t-1", amount=5)):
        assert (said[0]["type"], said[0]["code"]) == ("points.hold_refused.v1", "member_not_active")
    assert couple.points("m-2").available == 10


async def test_what_both_counted_under_a_cap_counts_together() -> None:
    couple = await a_couple(caps=[CAP])
    await couple.buy("b-1", 6000)
    await couple.buy_for("m-2", "b-2", 3000)
    await couple.join()
    said = await couple.buy_for("m-2", "b-3", 5000)
    assert sum(one["amount"] for one in said["awards"]) == 10
    await couple.back_of("m-1", "r-1", "b-1")
    again = await couple.buy_for("m-2", "b-4", 9000)
    assert sum(one["amount"] for one in again["awards"]) == 60, "what came back makes room for the survivor"


async def test_what_limits_of_gifts_have_counted_goes_along_and_is_not_told_as_a_cap() -> None:
    limit = {"given": {"points": 50, "window": "calendar_year"}}
    couple = await a_couple(transfers={"point": limit})
    await couple.buy("b-1", 10_000)
    await couple.give("g-1", 30)
    _, there = await couple.join()
    *_, parted = await couple.join("j-2", undo=True)
    assert (there["counters"], parted["counters"]) == ([], [])
    assert [each.counted for each in couple.of("m-1").counters.values()] == [30]


async def test_gifts_to_it_reach_the_survivor() -> None:
    couple = await a_couple(transfers={"point": {}})
    await couple.send(enrolment(couple.program, "m-3", couple.at))
    await couple.buy_for("m-3", "b-3", 1000)
    await couple.join()
    said = await couple.give("g-1", 4, giver="m-3", to="m-1")
    assert [one["member"] for one in said] == ["m-3", "m-2"]
    assert couple.points("m-2").available == 4
    assert (await couple.give("g-2", 1, giver="m-1", to="m-3"))[0]["code"] == "member_not_active"


@pytest.mark.parametrize(
    ("member", "into", "code"),
    [("m-1", "m-1", "not_eligible"), ("m-1", "nobody", "member_unknown"), ("nobody", "m-1", "member_unknown")],
)
async def test_a_merge_that_cannot_be(member: str, into: str, code: str) -> None:
    couple = await a_couple()
    said = await couple.join(member=member, into=into)
    assert [(one["type"], one["code"]) for one in said] == [("member.merge_refused.v1", code)]


async def test_nobody_is_merged_twice() -> None:
    couple = await a_couple()
    await couple.join()
    assert (await couple.join("j-2"))[0]["code"] == "member_not_active"
    assert (await couple.join("j-3", member="m-2", into="m-1"))[0]["code"] == "member_not_active"


async def test_a_chain_of_merges_leads_to_its_end() -> None:
    couple = await a_couple()
    await couple.send(enrolment(couple.program, "m-3", couple.at))
    await couple.buy("b-1", 1000)
    await couple.join("j-1")
    await couple.join("j-2", member="m-2", into="m-3")
    assert (await couple.buy("b-2", 500))["member"] == "m-3"
    await couple.back_of("m-1", "r-1", "b-1")
    assert [couple.points(member).available for member in ("m-1", "m-2", "m-3")] == [0, 0, 5]
    assert [couple.points(member).owed for member in ("m-1", "m-2", "m-3")] == [0, 0, 0]


async def test_taken_back_a_chain_leaves_each_account_with_the_one_before() -> None:
    couple = await a_couple()
    await couple.send(enrolment(couple.program, "m-3", couple.at))
    await couple.buy("b-1", 1000)
    await couple.buy("b-2", 2000)
    await couple.join("j-1")
    await couple.join("j-2", member="m-2", into="m-3")
    said = await couple.back_of("m-1", "r-1", "b-1")
    assert [(one["member"], one["role"], one["other"]) for one in said if one["type"] == "member.merged.v1"] == [
        ("m-1", "merged", "m-2"),
        ("m-2", "survivor", "m-1"),
        ("m-2", "merged", "m-3"),
        ("m-3", "survivor", "m-2"),
    ]
    await couple.join("u-2", member="m-2", into="m-3", undo=True)
    assert (await couple.buy("b-3", 500))["member"] == "m-2", "whoever was merged by mistake earns nothing of it"
    await couple.join("u-1", undo=True)
    assert [couple.points(member).available for member in ("m-1", "m-2", "m-3")] == [20, 5, 0]


async def test_unmerged_it_has_what_is_left_of_what_it_brought() -> None:
    couple = await a_couple(caps=[CAP])
    await couple.buy("b-1", 1000)
    couple.pass_time(days=1)
    await couple.buy_for("m-2", "b-2", 2000)
    await couple.join()
    couple.member = "m-2"
    await couple.hold("h-1", 4)
    await couple.capture("h-1")
    here, there = await couple.join("u-1", undo=True)
    assert [(one["type"], one["role"]) for one in (here, there)] == [
        ("member.unmerged.v1", "merged"),
        ("member.unmerged.v1", "survivor"),
    ]
    assert (couple.points("m-1").available, couple.points("m-2").available) == (6, 20)
    assert (couple.of("m-1").status, couple.of("m-1").merged_into) == ("active", None)
    counted = [next(iter(couple.of(member).counters.values())).counted for member in ("m-1", "m-2")]
    assert counted == [10, 20]
    assert (await couple.buy_for("m-1", "b-3", 300))["member"] == "m-1"
    assert (await couple.join("u-2", undo=True))[0]["code"] == "not_eligible"


async def test_what_it_earned_while_merged_stays_with_the_survivor() -> None:
    couple = await a_couple()
    await couple.join()
    await couple.buy("b-1", 1000)
    await couple.join("u-1", undo=True)
    assert (couple.points("m-1").available, couple.points("m-2").available) == (0, 10)


async def test_a_merge_stands_alone_in_a_batch() -> None:
    couple = await a_couple()
    cause = {"kind": "request", "id": "j-1"}
    joining = note(
        "member.merge_requested.v1", couple.program, "m-1", at=couple.at, cause=cause, merge="j-1", into="m-2",
        versions={"program": 1},
    )  # fmt: skip
    before, after = (report(couple.program, "m-1", purchase(f"b-{n}", 1000), couple.at) for n in range(2))
    said = await couple.send(before, joining, after)
    assert [one["member"] for one in said] == ["m-1", "m-1", "m-2", "m-2"]
    assert couple.points("m-2").available == 20


async def test_the_better_tier_stays_and_counts_add_up() -> None:
    couple = await a_couple("mileageplus")
    for member, id_, miles in (("m-1", "f-1", 26000), ("m-2", "f-2", 30000)):
        flown = {
            "id": id_, "type": "flight", "occurred_at": couple.at.isoformat(), "attributes":
            {"miles": miles, "cabin": "economy", "departs_on": "2024-03-01"},
        }  # fmt: skip
        await couple.send(report(couple.program, member, flown, couple.at))
    said = await couple.join()
    changed = [one for one in said if one["type"] == "tier.changed.v1"]
    assert [(one["member"], one["from"], one["to"], one["reason"]) for one in changed] == [
        ("m-2", "silver", "gold", "merged")
    ]
    back = await couple.back_of("m-1", "r-1", "f-1")
    assert not [one for one in back if one["type"].startswith("tier.") and one["member"] == "m-2"]
    progress = said[-1]["tier_standing"]["progress"][0]
    assert progress["value"] == 56000
    await couple.join("u-1", undo=True)
    books = [couple.of(member).tiers for member in ("m-1", "m-2")]
    assert [sum(sum(days.values()) for days in book.counts.values()) for book in books if book] == [0, 30000]


async def test_a_merged_account_is_not_looked_at_any_more() -> None:
    couple = await a_couple("mileageplus")
    flown = {
        "id": "f-1", "type": "flight", "occurred_at": couple.at.isoformat(), "attributes":
        {"miles": 26000, "cabin": "economy", "departs_on": "2024-03-01"},
    }  # fmt: skip
    await couple.send(report(couple.program, "m-1", flown, couple.at))
    await couple.join()
    assert couple.of("m-1").next_due_at is None
    couple.at += timedelta(days=2000)
    said = await couple.buy_for("m-2", "b-1", 100, currency="USD")
    assert said["member"] == "m-2"
    standing = couple.of("m-1").tiers
    assert standing is not None
    assert standing.standing is not None
    assert standing.standing.tier == "silver"


def reversed_by(said: list[dict[str, Any]]) -> tuple[int, int, int, int]:
    (back,) = next(one["reversals"] for one in said if "reversals" in one)
    return back["amount"], back["taken"], back["expired"], back["owed"]


async def test_what_expired_at_the_survivor_is_not_asked_for() -> None:
    couple = await a_couple(**A_MONTH)
    await couple.buy("b-1", 1000)
    await couple.join()
    couple.pass_time(days=40)
    await couple.buy_for("m-2", "b-2", 2000)
    said = await couple.back_of("m-1", "r-1", "b-1")
    assert reversed_by(said) == (10, 0, 10, 0)
    assert (couple.points("m-2").available, couple.points("m-2").owed, couple.points("m-2").expired) == (20, 0, 10)
    assert (couple.points("m-1").reversed, couple.points("m-1").owed) == (0, 0)


async def test_what_was_spent_at_the_survivor_is_owed_and_what_expired_is_excused_once() -> None:
    couple = await a_couple(**A_MONTH)
    await couple.buy("b-1", 1000)
    await couple.join()
    await spend(couple, "m-2", "h-1", 4)
    couple.pass_time(days=40)
    backs = [await couple.back_of("m-2", f"r-{part}", "b-1", amount=250) for part in range(4)]
    assert [reversed_by(said) for said in backs] == [(3, 0, 3, 0), (2, 0, 2, 0), (3, 0, 1, 2), (2, 0, 0, 2)]
    assert (couple.points("m-2").owed, couple.points("m-2").expired) == (4, 6)


async def test_what_is_left_there_pays_before_what_expired_here_is_excused() -> None:
    couple = await a_couple(units={"point": {"scale": 0, "validity": INACTIVITY}})
    await couple.buy("b-1", 1000)
    await spend(couple, "m-1", "h-1", 4)
    couple.pass_time(days=40)
    await couple.buy("b-2", 0)
    await couple.join()
    couple.member = "m-1"
    # It comes back to a lot of which the rest has ended.
    await couple.ask("hold.cancel_requested.v1", hold="h-1", redemption="h-1", by="member", reason="test")
    assert couple.points("m-2").available == 4
    said = await couple.back_of("m-1", "r-1", "b-1", amount=300)
    assert (reversed_by(said)[2], couple.points("m-2").available, couple.points("m-2").owed) == (0, 1, 0)


async def test_what_expired_anywhere_along_a_chain_is_not_asked_for() -> None:
    couple = await a_couple(**A_MONTH)
    await couple.send(enrolment(couple.program, "m-3", couple.at))
    await couple.buy("b-1", 1000)
    couple.pass_time(days=20)
    await couple.buy("b-2", 1000)
    await couple.join("j-1")
    couple.pass_time(days=15)
    await couple.join("j-2", member="m-2", into="m-3")
    assert couple.points("m-2").expired == 10
    couple.pass_time(days=20)
    await couple.buy_for("m-3", "b-3", 5000)
    for member, id_, of in (("m-1", "r-1", "b-1"), ("m-3", "r-2", "b-2")):
        assert reversed_by(await couple.back_of(member, id_, of)) == (10, 0, 10, 0)
    assert [couple.points(member).owed for member in ("m-1", "m-2", "m-3")] == [0, 0, 0]
    assert couple.points("m-3").available == 50


async def test_what_was_passed_on_in_the_same_batch_pays_for_its_return() -> None:
    couple = await a_couple(**A_MONTH)
    await couple.buy("b-1", 1000)
    await couple.timed("requested", "h-1", amount=6)
    await couple.timed("capture_requested", "h-1")
    await couple.join()
    cause = {"kind": "request", "id": "h-1"}
    cancelled = note(
        "timed_hold.cancel_requested.v1", couple.program, "m-1", at=couple.at, cause=cause, hold="h-1", by="member",
        versions={"program": 1},
    )  # fmt: skip
    back = {"id": "r-1", "type": "return", "of": "b-1", "occurred_at": couple.at.isoformat()}
    said = await couple.send(cancelled, report(couple.program, "m-1", back, couple.at))
    assert [one["type"] for one in said].count("points.clawed_back.v1") == 1
    assert (couple.points("m-2").available, couple.points("m-2").owed) == (0, 0)


async def test_unmerged_it_gives_back_from_the_very_lots_and_not_what_ended_meanwhile() -> None:
    couple = await a_couple(**A_MONTH)
    await couple.buy("b-1", 1000)
    couple.pass_time(days=20)
    await couple.buy("b-2", 2000)
    await couple.join()
    await spend(couple, "m-2", "h-1", 4)
    couple.pass_time(days=15)
    await couple.join("u-1", undo=True)
    lots = {lot.activity: (lot.remaining, lot.expired) for lot in couple.of("m-1").lots.values()}
    assert lots == {"b-1": (0, 6), "b-2": (20, 0)}, "they are where they came from, with what they have been through"
    await couple.buy_for("m-1", "b-3", 500)
    assert reversed_by(await couple.back_of("m-1", "r-1", "b-2", amount=500)) == (5, 5, 0, 0)
    couple.pass_time(days=20)
    assert reversed_by(await couple.back_of("m-1", "r-2", "b-2")) == (15, 0, 15, 0)
    assert reversed_by(await couple.back_of("m-1", "r-3", "b-1")) == (10, 4, 6, 0)
    assert (couple.points("m-1").available, couple.points("m-1").owed, couple.points("m-2").owed) == (1, 0, 0)


async def test_what_was_excused_before_is_not_excused_again_once_it_is_unmerged() -> None:
    couple = await a_couple(**A_MONTH)
    await couple.buy("b-1", 1000)
    await couple.join()
    await spend(couple, "m-2", "h-1", 4)
    couple.pass_time(days=40)
    assert reversed_by(await couple.back_of("m-1", "r-1", "b-1", amount=500)) == (5, 0, 5, 0)
    await couple.join("u-1", undo=True)
    assert reversed_by(await couple.back_of("m-1", "r-2", "b-1")) == (5, 0, 1, 4)
    await couple.join("j-2")
    assert (couple.points("m-1").owed, couple.points("m-2").owed) == (0, 4)


async def test_what_ended_of_it_is_no_more_the_other_s_to_have_again() -> None:
    couple = await a_couple(units={"point": {"scale": 0, "validity": INACTIVITY}})
    await couple.buy("b-1", 1000)
    await couple.join()
    couple.pass_time(days=40)
    await couple.join("u-1", undo=True)
    late = report(couple.program, "m-2", purchase("late", 300, START + timedelta(days=20)), couple.at)
    await couple.send(late)
    assert couple.points("m-2").available == 3
    assert reversed_by(await couple.back_of("m-1", "r-1", "b-1")) == (10, 0, 10, 0)


async def test_it_may_come_and_go_again() -> None:
    couple = await a_couple(**A_MONTH)
    await couple.buy("b-1", 1000)
    for turn in range(3):
        await couple.join(f"j-{turn}")
        await spend(couple, "m-2", f"h-{turn}", 1)
        await couple.join(f"u-{turn}", undo=True)
    assert [(lot.activity, lot.remaining) for lot in couple.of("m-1").lots.values()] == [("b-1", 7)]
    couple.pass_time(days=40)
    await couple.join("j-9")
    assert reversed_by(await couple.back_of("m-2", "r-1", "b-1")) == (10, 0, 7, 3)
    assert couple.points("m-2").owed == 3


@pytest.mark.parametrize("seed", range(40))
async def test_a_survivor_owes_what_it_would_owe_had_the_lots_never_moved(seed: int) -> None:
    """The same life twice: of one account from the start, and of three that became one on the way."""
    shown = []
    for accounts in (("m-3", "m-3", "m-3"), ("m-1", "m-2", "m-3")):
        couple = Couple(document("clubcard", clock="wall", **A_MONTH))
        await live(couple, accounts, random.Random(seed))
        everybody = [couple.points(member) for member in ("m-1", "m-2", "m-3")]
        shown.append([sum(getattr(each, total) for each in everybody) for total in TOTALS])
        assert not any(each.available or each.owed for each in everybody[:2])
    assert shown[0] == shown[1]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("seed", range(20))
async def test_who_comes_and_goes_neither_gains_nor_loses_by_that(seed: int, *, late: bool) -> None:
    """All that was granted is there, spent, ended, owed or given back, whoever of the two has it."""
    changes = {"units": {"point": {"scale": 0, "validity": INACTIVITY}}} if late else A_MONTH
    couple = Couple(document("clubcard", clock="wall", **changes))
    await come_and_go(couple, random.Random(seed), late=late)
    both = [couple.points(member) for member in ("m-1", "m-2")]
    for each in both:
        stands = each.earned - each.spent - each.expired - each.reversed + each.adjusted
        assert each.available + each.held - each.owed == stands
    assert sum(each.adjusted for each in both) == 0
    for lot in (lot for member in ("m-1", "m-2") for lot in couple.of(member).lots.values()):
        assert 0 <= lot.held <= lot.remaining <= lot.granted - lot.expired
        assert lot.expired >= 0, "between the two there is nobody"


@pytest.mark.parametrize(("days", "left"), [(9, 0), (10, 500)])
@pytest.mark.parametrize("named", ["m-1", "m-2"])
async def test_what_ends_something_of_a_merged_past_early_or_late(named: str, days: int, left: int) -> None:
    points = {"unit": "point", "funding": {"funder": "bank"}}
    taken_back = {"on": ["product_closed"], "within_days": 10}
    rules = [
        {"rule": "opened", "on": ["product_opened"], "fixed": {"points": 500}, "taken_back": taken_back, **points},
        {"rule": "closed", "on": ["product_closed"], "fixed": {"points": 7}, **points},
    ]
    couple = await a_couple(earning=rules, conversions=[], segments=[])
    await couple.send(report("clubcard", "m-1", product("p-1", "product_opened", couple.at), couple.at))
    await couple.join()
    couple.pass_time(days=days)
    closed = report("clubcard", named, {**product("c-1", "product_closed", couple.at), "of": "p-1"}, couple.at)
    said = await couple.send(closed)
    early = days < 10
    assert said[0]["type"] == ("points.clawed_back.v1" if early else "points.awarded.v1")
    # Whatever comes late is an activity like any other, and what it earns is the survivor's.
    assert couple.of("m-2").balance("point").available == left + (0 if early else 7)
    assert couple.of("m-1").balance("point").available == 0
    assert [one["type"] for one in await couple.send(closed)] == [said[0]["type"]]


def product(id_: str, type_: str, at: datetime) -> dict[str, Any]:
    return {"id": id_, "type": type_, "occurred_at": at.isoformat()}


async def a_chain(**changes: Any) -> Couple:
    """Three accounts, of which the first has bought ten points, is a part of the second, and may be of the third."""
    couple = await a_couple(**changes)
    await couple.send(enrolment(couple.program, "m-3", couple.at))
    await couple.buy("b-1", 1000)
    await couple.join("j-1")
    return couple


async def test_what_was_excused_on_the_way_does_not_come_back_there() -> None:
    couple = await a_chain(units={"point": {"scale": 0, "validity": INACTIVITY}})
    couple.pass_time(days=40)
    await couple.join("j-2", member="m-2", into="m-3")
    assert couple.points("m-2").expired == 10
    assert reversed_by(await couple.back_of("m-1", "r-1", "b-1", amount=600)) == (6, 0, 6, 0)
    await couple.join("u-2", member="m-2", into="m-3", undo=True)
    late = purchase("late", 300, START + timedelta(days=20))
    await couple.send(report(couple.program, "m-2", late, couple.at))
    assert couple.points("m-2").available == 3 + 4, "six were excused, and would be given twice"
    assert reversed_by(await couple.back_of("m-1", "r-2", "b-1")) == (4, 0, 0, 4)
    assert [(couple.points(name).available, couple.points(name).owed) for name in ("m-1", "m-2", "m-3")] == [
        (0, 0), (3, 0), (0, 0),
    ]  # fmt: skip


async def test_what_comes_back_along_a_chain_is_counted_less_by_each_of_it() -> None:
    couple = await a_chain(**COUNTING)
    await couple.join("j-2", member="m-2", into="m-3")
    await couple.back_of("m-1", "r-1", "b-1", amount=600)
    assert [counted(couple, member) for member in ("m-1", "m-2", "m-3")] == [(4, 4)] * 3
    await couple.join("u-2", member="m-2", into="m-3", undo=True)
    assert [counted(couple, member) for member in ("m-1", "m-2", "m-3")] == [(4, 4), (4, 4), (0, 0)]
    await couple.join("u-1", undo=True)
    assert [counted(couple, member) for member in ("m-1", "m-2", "m-3")] == [(4, 4), (0, 0), (0, 0)]


def counted(couple: Couple, member: str) -> tuple[int, int]:
    """Return what an account has counted under the cap, and towards its tier."""
    wallet = couple.of(member)
    steps = wallet.tiers.counts.get(("step", "calendar_year"), {}) if wallet.tiers is not None else {}
    return sum(each.counted for each in wallet.counters.values()), sum(steps.values())


async def test_what_comes_back_to_the_first_of_a_chain_goes_with_each_of_it() -> None:
    couple = await a_couple(**A_MONTH)
    await couple.send(enrolment(couple.program, "m-3", couple.at))
    await couple.buy("b-1", 1000)
    await spend(couple, "m-1", "h-1", 6)
    await couple.join("j-1")
    await couple.join("j-2", member="m-2", into="m-3")
    couple.member = "m-1"
    await couple.ask("hold.cancel_requested.v1", hold="h-1", redemption="h-1", by="member", reason="test")
    assert [couple.points(member).available for member in ("m-1", "m-2", "m-3")] == [0, 0, 10]
    await couple.join("u-2", member="m-2", into="m-3", undo=True)
    assert [couple.points(member).available for member in ("m-1", "m-2", "m-3")] == [0, 10, 0]
    await couple.join("u-1", undo=True)
    assert [couple.points(member).available for member in ("m-1", "m-2", "m-3")] == [10, 0, 0]


@pytest.mark.parametrize("seed", range(40))
async def test_parted_again_each_account_has_counted_what_it_was_credited_for(seed: int) -> None:
    couple = Couple(document("clubcard", clock="wall", **IN_CHAINS))
    await live_in_chains(couple, random.Random(seed))
    everybody = [couple.of(name) for name in ("m-1", "m-2", "m-3")]
    for wallet in everybody:
        own = [
            sum(each.granted(rule) - each.clawed_back.get(rule, 0) for each in wallet.postings.values())
            for rule in ("base", "steps")
        ]
        assert counted(couple, wallet.member) == tuple(own)
        for lot in wallet.lots.values():
            assert 0 <= lot.held <= lot.remaining <= lot.granted - lot.expired
            assert lot.expired >= 0, "what is excused was noted where it ended"
    assert sum(wallet.balance("point").adjusted for wallet in everybody) == 0


async def test_what_comes_late_to_a_merged_past_lifts_whoever_answers_for_it_and_goes_again() -> None:
    points = {"unit": "point", "funding": {"funder": "bank"}}
    taken_back = {"on": ["product_closed"], "within_days": 10}
    rules = [
        {"rule": "opened", "on": ["product_opened"], "fixed": {"points": 500}, "taken_back": taken_back, **points},
        {"rule": "steps", "on": ["product_closed"], "unit": "step", "fixed": {"points": 5}},
    ]
    levels = [{"tier": "member"}, {"tier": "silver", "needs": {"c": 5}}]
    tiers = {**COUNTING["tiers"], "levels": levels}
    couple = await a_couple(earning=rules, tiers=tiers, units=COUNTING["units"], conversions=[], segments=[], caps=[])
    await couple.send(enrolment(couple.program, "m-3", couple.at))
    await couple.send(report("clubcard", "m-1", product("p-1", "product_opened", couple.at), couple.at))
    await couple.join("j-1")
    await couple.join("j-2", member="m-2", into="m-3")
    couple.pass_time(days=10)
    await couple.send(
        report("clubcard", "m-1", {**product("c-1", "product_closed", couple.at), "of": "p-1"}, couple.at)
    )
    assert [counted(couple, member) for member in ("m-1", "m-2", "m-3")] == [(0, 5)] * 3
    survivor = couple.of("m-3").tiers
    assert survivor is not None
    assert survivor.standing is not None
    assert survivor.standing.tier == "silver"
    await couple.join("u-2", member="m-2", into="m-3", undo=True)
    await couple.join("u-1", undo=True)
    assert [counted(couple, member) for member in ("m-1", "m-2", "m-3")] == [(0, 5), (0, 0), (0, 0)]
