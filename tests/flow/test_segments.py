"""Segments through real processes: invitations, joining, the yearly check, and what reads show."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from laurel.program.reading import read_yaml
from tests.flow.stage import Door, Town, gather_bounded

pytestmark = pytest.mark.anyio

PROGRAM = "clubcard"
_FILE = Path(__file__).parents[2] / "programs" / f"{PROGRAM}.yaml"
_DOCUMENT: Any = read_yaml(_FILE.read_text(encoding="utf-8"))


class Members:
    """The members of a copy of the shipped program."""

    def __init__(self, door: Door, program: str) -> None:
        self.door = door
        self.path = f"programs/{program}"
        self.program = program
        self.numbers = 0

    async def open(self, count: int, *, people: bool = False, **changes: Any) -> None:
        await self.door.publish(json.loads(json.dumps({**_DOCUMENT, "program": self.program, **changes}, default=str)))
        joined = "2023-01-10T12:00:00+00:00"
        bodies = [
            {"member": f"m-{number}", "enrolled_at": joined, **({"person": f"p-{number}"} if people else {})}
            for number in range(count)
        ]
        await gather_bounded([partial(self.door.call, "POST", f"{self.path}/members", each, 201) for each in bodies], 8)

    async def spend(self, year: int, pounds: dict[str, int]) -> None:
        """Spend so much in a year, a part of it in each of its last three quarters."""
        deeds = []
        for member, whole in pounds.items():
            for month, amount in ((5, 100), (8, 100), (11, whole * 100 - 200)):
                self.numbers += 1
                deeds.append(
                    partial(
                        self.door.report,
                        self.program,
                        {
                            "id": f"b-{self.numbers}",
                            "type": "purchase",
                            "member": member,
                            "occurred_at": f"{year}-{month:02}-15T12:00:00+00:00",
                            "currency": "GBP",
                            "amount": amount,
                        },
                    )
                )
        await gather_bounded(deeds, 8)

    async def turn(self, as_of: str) -> None:
        await self.door.call("POST", f"{self.path}/clock", {"as_of": as_of})

    async def belong(self) -> dict[str, list[str]]:
        """Return who belongs where, as reads show it."""
        found: dict[str, list[str]] = {}
        for number in range(10):
            shown = await self.door.call("GET", f"{self.path}/members/m-{number}")
            for each in shown["segments"]:
                found.setdefault(each["name"], []).append(shown["member"])
        return found


async def test_invitations_the_plus_and_the_yearly_check(town: Town) -> None:
    """CP-1 and CP-4."""
    members = Members(town.door(), "clubcard-years")
    await members.open(10)
    pounds = (5200, 4800, 4800, 3900, 3100, 2900, 2500, 2000, 1500, 1000)
    await members.spend(2024, {f"m-{number}": each for number, each in enumerate(pounds)})
    await members.turn("2024-12-31T23:59:59+00:00")
    assert await members.belong() == {}
    await members.turn("2025-01-01T00:00:00+00:00")
    assert await members.belong() == {"invited": ["m-0", "m-1", "m-2"]}
    shown = await members.door.call("GET", f"{members.path}/members/m-0")
    assert shown["segments"] == [{"name": "invited", "primary": False, "since": "2025-01-01", "until": "2025-03-01"}]
    joining = {"type": "plus_opened", "occurred_at": "2025-02-01T12:00:00+00:00"}
    for member in ("m-0", "m-1"):
        await members.door.report(members.program, {"id": f"plus-{member}", "member": member, **joining})
    assert await members.belong() == {"plus": ["m-0", "m-1"], "invited": ["m-2"]}
    await members.turn("2025-03-02T00:00:00+00:00")
    assert await members.belong() == {"plus": ["m-0", "m-1"]}

    # The holders come third and fourth of ten; the second is no holder, and so is invited.
    order = ("m-5", "m-6", "m-0", "m-1", "m-2", "m-3", "m-4", "m-7", "m-8", "m-9")
    await members.spend(2025, {member: 9000 - 500 * place for place, member in enumerate(order)})
    await members.turn("2025-12-31T23:59:59+00:00")
    assert await members.belong() == {"plus": ["m-0", "m-1"]}
    await members.turn("2026-01-01T00:00:00+00:00")
    assert await members.belong() == {"plus": ["m-0"], "invited": ["m-5", "m-6"]}
    await town.prove()


async def test_one_turn_over_years_comes_to_the_same_as_many(town: Town) -> None:
    """Judgements lie in the order of their instants, between what is due for each member by itself."""
    members = Members(town.door(), "clubcard-at-once")
    await members.open(10)
    pounds = {f"m-{number}": 1000 - 50 * number for number in range(10)}
    await members.spend(2023, pounds)
    await members.spend(2024, {**pounds, "m-9": 2000})
    await members.turn("2025-01-02T00:00:00+00:00")
    assert await members.belong() == {"invited": ["m-0", "m-9"]}
    rows = await town.rows(
        "select member, occurred_at::date::text, cause from points.journals where program = $1 and kind = 'segment' "
        "order by occurred_at, member",
        members.program,
    )
    assert [(member, day) for member, day, _ in rows] == [
        ("m-0", "2024-01-01"), ("m-1", "2024-01-01"), ("m-0", "2024-03-01"), ("m-1", "2024-03-01"),
        ("m-0", "2025-01-01"), ("m-9", "2025-01-01"),
    ]  # fmt: skip
    await town.prove()


async def test_a_rule_for_those_who_are_invited(town: Town) -> None:
    members = Members(town.door(), "clubcard-bonus")
    bonus = {
        "rule": "welcome", "on": ["purchase"], "unit": "point", "segments": ["invited", "plus"],
        "multiplier": {"of": "base", "percent": 100}, "funding": {"funder": "tesco"},
    }  # fmt: skip
    await members.open(10, earning=[*_DOCUMENT["earning"], bonus])
    await members.spend(2024, {f"m-{number}": 1000 - 50 * number for number in range(10)})
    await members.turn("2025-01-01T00:00:00+00:00")
    bought = {"type": "purchase", "occurred_at": "2025-01-10T12:00:00+00:00", "currency": "GBP", "amount": 1000}
    quoted = await members.door.call("POST", f"{members.path}/quotes", {**bought, "member": "m-0"})
    assert [(award["rule"], award["amount"]) for award in quoted["awards"]] == [("base", 10), ("welcome", 10)]
    for member, rules in (("m-0", ["base", "welcome"]), ("m-5", ["base"])):
        said = await members.door.report(members.program, {**bought, "id": f"new-{member}", "member": member})
        assert [award["rule"] for award in said["awards"]] == rules
    back = {"id": "r", "type": "return", "of": "new-m-0", "member": "m-0", "occurred_at": "2025-06-01T12:00:00+00:00"}
    await members.turn("2025-06-01T00:00:00+00:00")
    said = await members.door.report(members.program, back)
    assert {each["rule"]: each["amount"] for each in said["reversals"]} == {"base": 10, "welcome": 10}
    await town.prove()


async def test_who_spends_most_in_one_program_is_invited_to_another(town: Town) -> None:
    """CP-1 over two programs: ranked over the members of the Clubcard, known by their person, invited to the Plus."""
    there = Members(town.door(), "clubcard-ranked")
    await there.open(10, people=True)
    plus: Any = read_yaml(_FILE.with_name("clubcard-plus.yaml").read_text(encoding="utf-8"))
    segments = [{**each, "rank": {**each["rank"], "over": there.program}} for each in plus["segments"]]
    here = Members(town.door(), "clubcard-plus-invites")
    published = {**plus, "program": here.program, "segments": segments}
    await here.door.publish(json.loads(json.dumps(published, default=str)))
    # Here m-1 has no account, and the others have another number.
    for number, member in ((0, "m-7"), (2, "m-5"), (3, "m-0"), (9, "m-2")):
        body = {"member": member, "enrolled_at": "2023-01-10T12:00:00+00:00", "person": f"p-{number}"}
        await here.door.call("POST", f"{here.path}/members", body, 201)
    pounds = (5200, 4800, 4800, 3900, 3100, 2900, 2500, 2000, 1500, 1000)
    await there.spend(2024, {f"m-{number}": each for number, each in enumerate(pounds)})
    # The clock there stands still: nothing that time alone brings about changes what was spent.
    await here.turn("2025-01-01T00:00:00+00:00")
    found = {
        member: [each["name"] for each in (await here.door.call("GET", f"{here.path}/members/{member}"))["segments"]]
        for member in ("m-0", "m-2", "m-5", "m-7")
    }
    assert found == {"m-0": [], "m-2": [], "m-5": ["invited"], "m-7": ["invited"]}
    assert await there.belong() == {}
    joining = {"id": "opens", "type": "plus_opened", "member": "m-5", "occurred_at": "2025-02-01T12:00:00+00:00"}
    await here.door.report(here.program, joining)
    shown = await here.door.call("GET", f"{here.path}/members/m-5")
    assert [each["name"] for each in shown["segments"]] == ["plus"]
    await town.prove()
