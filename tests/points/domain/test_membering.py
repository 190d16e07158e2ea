"""Members change and close: what is judged by which attributes, and what is refused afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from services.points.domain.membering import ATTRIBUTES_MAX
from tests.points.till import Till, document

pytestmark = pytest.mark.anyio


async def change(till: Till, **fields: Any) -> dict[str, Any]:
    (said,) = await till.ask("member.change_requested.v1", change="c-1", versions={"program": 1}, **fields)
    return said


async def close(till: Till) -> dict[str, Any]:
    return (await till.ask("member.close_requested.v1", change="c-2", versions={"program": 1}))[-1]


def gold() -> Till:
    bonus = {
        "rule": "gold", "on": ["purchase"], "unit": "point", "where": 'member.attributes.card == "gold"',
        "multiplier": {"of": "base", "percent": 50}, "funding": {"funder": "tesco"},
    }  # fmt: skip
    base = {
        "rule": "base", "on": ["purchase"], "unit": "point", "rate": {"points": 1, "per": 100},
        "funding": {"funder": "tesco"},
    }  # fmt: skip
    return Till(document("clubcard", earning=[base, bonus], attributes={"member": {"card": "text"}}))


async def test_attributes_not_named_stay_and_the_event_says_them_all() -> None:
    till = gold()
    await till.enrol(person="p-1", attributes={"card": "plain", "age": 40})
    said = await change(till, attributes={"card": "gold"})
    assert (said["type"], said["change"]) == ("member.changed.v1", "c-1")
    assert (said["person"], said["attributes"]) == ("p-1", {"card": "gold", "age": 40})
    assert said["version"] == 2
    assert (await change(till, person="p-2"))["person"] == "p-2"


async def test_a_change_counts_from_then_on_and_a_return_is_judged_as_its_purchase_was() -> None:
    till = gold()
    await till.enrol(attributes={"card": "plain"})
    await till.buy("b-1", 1000)
    await change(till, attributes={"card": "gold"})
    bought = await till.buy("b-2", 1000)
    assert [award["amount"] for award in bought["awards"]] == [10, 5]
    back = await till.give_back("r-1", "b-1")
    assert [reversal["amount"] for reversal in back["reversals"]] == [10]


async def test_more_attributes_than_an_event_can_say_are_refused() -> None:
    till = gold()
    await till.enrol(attributes={f"a{n}": n for n in range(ATTRIBUTES_MAX)})
    said = await change(till, attributes={"one-more": 1})
    assert (said["type"], said["code"], said["asked"]) == ("member.change_refused.v1", "limit_reached", "change")
    assert (await change(till, attributes={"a0": 7}))["attributes"]["a0"] == 7


async def test_a_closed_member_earns_holds_and_is_given_nothing() -> None:
    till = gold()
    await till.enrol()
    await till.buy("b-1", 10_000)
    assert (await close(till))["type"] == "member.closed.v1"
    assert (await till.buy("b-2", 1000))["code"] == "member_not_active"
    assert (await till.hold("h-1", 5))[0]["code"] == "member_not_active"
    assert (await change(till, attributes={"card": "gold"}))["code"] == "member_not_active"
    again = await close(till)
    assert (again["type"], again["code"], again["asked"]) == ("member.change_refused.v1", "member_not_active", "close")
    back = await till.give_back("r-1", "b-1")
    assert back["reversals"][0]["taken"] == 100


async def test_what_waits_for_a_decision_is_not_given_to_a_closed_member() -> None:
    till = gold()
    await till.enrol()
    asked = {"adjustment": "a-1", "unit": "point", "amount": 50, "reason": "goodwill", "partner": "tesco", "limit": 5}
    await till.ask("adjustment.requested.v1", versions={"program": 1}, **asked)
    await close(till)
    decided = {"adjustment": "a-1", "versions": {"program": 1}}
    said = await till.ask("adjustment.decision_requested.v1", approve=True, **decided)
    assert (said[0]["code"], said[0]["state"]) == ("member_not_active", "waiting")
    said = await till.ask("adjustment.decision_requested.v1", approve=False, **decided)
    assert said[0]["state"] == "rejected"


async def test_who_has_points_held_is_not_closed_before_they_are_let_go() -> None:
    till = gold()
    await till.enrol()
    await till.buy("b-1", 10_000)
    await till.hold("h-1", 5)
    said = await close(till)
    assert (said["type"], said["code"]) == ("member.change_refused.v1", "hold_open")
    await till.release("h-1")
    assert (await close(till))["type"] == "member.closed.v1"
    captured = await till.hold("h-2", 5)
    assert captured[0]["code"] == "member_not_active"


async def test_nobody_is_changed_who_was_never_enrolled() -> None:
    assert (await change(gold(), person="p"))["code"] == "member_unknown"
