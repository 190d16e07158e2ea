"""A program of many rules: events and journals name those that had something to say, readers are shown all."""

from __future__ import annotations

from typing import Any

import pytest

from laurel.program import dump_program, load_program
from laurel.program.outcomes import TOLD_WHOLE_MAX
from tests.flow.stage import Town
from tests.program.played import SHIPPED as PROGRAMS

pytestmark = pytest.mark.anyio

AT = "2021-03-01T12:00:00+00:00"
OFFERS = TOLD_WHOLE_MAX + 10


def document(offers: int) -> dict[str, Any]:
    written = dump_program(load_program((PROGRAMS / "clubcard.yaml").read_text()))
    common = {"on": ["purchase"], "unit": "point", "funding": {"funder": "tesco"}, "fixed": {"points": 5}}
    for number in range(offers):
        offer = {**common, "rule": f"offer-{number}", "lines": f'line.sku == "sku-{number}"'}
        if number % 3 == 0:
            offer["ends_at"] = "2021-02-01T00:00:00+00:00"
        if number % 5 == 0:
            offer["on"] = ["survey"]
        written["earning"].append(offer)
    return written


async def test_callers_see_what_each_of_many_rules_said(town: Town) -> None:
    door = town.door()
    await door.publish(document(OFFERS))
    await door.enrol("clubcard", "m-1")
    lines = [{"id": "1", "sku": "sku-1", "quantity": 1, "amount": 1000}]
    bought = {"id": "b-1", "type": "purchase", "occurred_at": AT, "currency": "GBP", "amount": 1000, "lines": lines}
    quoted = await door.call("POST", "programs/clubcard/quotes", {**bought, "member": "m-1"})
    said = await door.report("clubcard", {**bought, "member": "m-1"})
    assert len(said["decision"]) == 4 + OFFERS
    assert [_reason(each) for each in said["decision"]] == [_reason(each) for each in quoted["decision"]]
    assert {each["reason"] for each in said["decision"]} == {
        "earned", "outside_dates", "type_not_covered", "no_line_matches",
    }  # fmt: skip
    assert "unlisted" not in said
    shown = await door.call("GET", "programs/clubcard/activities/b-1")
    assert shown["decision"] == said["decision"]
    again = await door.report("clubcard", {**bought, "member": "m-1"}, 200)
    assert again["decision"] == said["decision"]
    kept = await door.call("GET", "programs/clubcard/members/m-1/decisions")
    of_it = next(each for each in kept["data"] if each["activity"] == "b-1")
    assert [_reason(each) for each in of_it["decision"]] == [_reason(each) for each in said["decision"]]
    assert len(of_it["facts"][0]["decision"]) < TOLD_WHOLE_MAX
    # A later version changes nothing of what an earlier one said.
    await door.publish(document(OFFERS + 1))
    assert (await door.call("GET", "programs/clubcard/activities/b-1"))["decision"] == said["decision"]
    back = {"id": "r-1", "type": "return", "of": "b-1", "occurred_at": AT, "lines": [{"id": "1", "quantity": 1}]}
    returned = await door.report("clubcard", {**back, "member": "m-1"})
    assert sum(each["amount"] for each in returned["reversals"]) == 15
    await town.prove()


def _reason(judged: dict[str, Any]) -> tuple[str, bool, str, int]:
    return judged["rule"], judged["fired"], judged["reason"], judged["amount"]
