"""Two accounts of one person, or three: what they become of each other, and the lives that they live by chance."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from services.points.testing import note
from tests.points.lapsing import INACTIVITY
from tests.points.pair import Pair
from tests.points.till import START, document, enrolment, purchase, report

A_MONTH: dict[str, Any] = {"units": {"point": {"scale": 0, "validity": {"kind": "rolling", "days": 30}}}}
CAP = {"cap": "year", "unit": "point", "window": "calendar_year", "limit": 100}
STEPS = {"rule": "steps", "on": ["purchase"], "unit": "step", "rate": {"points": 1, "per": 100}}
COUNTING: dict[str, Any] = {
    "units": {"step": {"scale": 0, "counts_only": True}},
    "earning": [{**STEPS, "rule": "base", "unit": "point", "funding": {"funder": "shop"}}, STEPS],
    "caps": [{**CAP, "limit": 100_000}],
    "tiers": {
        "counters": {"c": {"unit": "step", "window": "calendar_year"}},
        "levels": [{"tier": "member"}, {"tier": "silver", "needs": {"c": 1000}}],
        "lasts": {"kind": "end_of_period", "period": "year", "after": 1},
    },
}
"""A point and a step for every pound, which a cap and a tier count by the year."""
IN_CHAINS = {**COUNTING, "units": {**COUNTING["units"], "point": {"scale": 0, "validity": INACTIVITY}}}


class Couple(Pair):
    """Two accounts of one person."""

    async def join(
        self, name: str = "j-1", *, member: str = "m-1", into: str = "m-2", undo: bool = False
    ) -> list[dict[str, Any]]:
        type_ = "member.unmerge_requested.v1" if undo else "member.merge_requested.v1"
        versions = {"program": 1, **({"as_of": self.as_of} if self.as_of is not None else {})}
        cause = {"kind": "request", "id": name}
        return await self.send(
            note(type_, self.program, member, at=self.at, cause=cause, merge=name, into=into, versions=versions)
        )

    async def back_of(self, member: str, id_: str, of: str, **fields: Any) -> list[dict[str, Any]]:
        back = {"id": id_, "type": "return", "of": of, "occurred_at": self.at.isoformat(), **fields}
        return await self.send(report(self.program, member, back, self.at, as_of=self.as_of))


async def a_couple(program: str = "clubcard", **changes: Any) -> Couple:
    couple = Couple(document(program, **{"clock": "wall", **changes}))
    await couple.enrol()
    return couple


async def spend(couple: Couple, member: str, hold: str, amount: int) -> None:
    couple.member = member
    if (await couple.hold(hold, amount))[-1]["type"] == "points.held.v1":
        await couple.capture(hold)


async def live(couple: Couple, accounts: tuple[str, str, str], chance: random.Random) -> None:
    """Live as somebody whose first account becomes a part of the second on the way, and that of the third."""
    await couple.enrol()
    await couple.send(enrolment(couple.program, "m-3", couple.at))
    me, merges = accounts[0], sorted(chance.sample(range(8, 30), 2))
    for step in range(60):
        couple.pass_time(days=chance.choice((0, 1, 1, 5, 9)), minutes=1)
        if step in merges:
            before, me = me, accounts[merges.index(step) + 1]
            if before != me:
                await couple.join(f"j-{step}", member=before, into=me)
        deed = chance.choice(("buy", "buy", "back", "spend"))
        of, amount = chance.randrange(60), chance.randint(1, 9)
        if deed == "buy":
            await couple.buy_for(me, f"b-{step}", amount * 300)
        elif deed == "back":
            await couple.back_of(me, f"r-{step}", f"b-{of}", **({"amount": 300} if amount > 3 else {}))
        elif step >= merges[-1]:
            await spend(couple, me, f"h-{step}", amount)


async def come_and_go(couple: Couple, chance: random.Random, *, late: bool = False) -> None:
    """Live as somebody whose first account becomes a part of the second now and then, and goes again.

    With `late` some purchases are known only when points have ended that they would have kept alive.
    """
    await couple.enrol()
    bought: list[tuple[str, str]] = []
    is_one = False
    for step in range(90):
        couple.pass_time(days=chance.choice((0, 5, 11, 25) if late else (0, 0, 1, 5)), minutes=1)
        member = chance.choice(("m-1", "m-2"))
        deed = chance.choice(("buy", "buy", "back", "back", "spend", "join"))
        of, amount = chance.random(), chance.randint(1, 9)
        if deed == "join":
            await couple.join(f"j-{step}", undo=is_one)
            is_one = not is_one
        elif deed == "spend":
            await spend(couple, "m-2" if is_one else member, f"h-{step}", amount)
        elif deed == "back" and bought:
            whose, what = bought[int(of * len(bought))]
            await couple.back_of(whose, f"r-{step}", what, **({"amount": 300} if amount > 3 else {}))
        elif deed == "buy":
            bought.append(("m-2" if is_one else member, f"b-{step}"))
            when = couple.at - timedelta(days=chance.choice((0, 15, 29)) if late else 0)
            bought_then = purchase(f"b-{step}", amount * 300, when)
            await couple.send(report(couple.program, member, bought_then, couple.at))


TOTALS = ("available", "owed", "earned", "spent", "expired", "reversed", "adjusted")


async def live_in_chains(couple: Couple, chance: random.Random) -> None:
    """Live as three accounts that become parts of each other in whatever chains, and are by themselves in the end.

    Some purchases are known only when points have ended that they would have kept alive.
    """
    names = ("m-1", "m-2", "m-3")
    await couple.enrol()
    await couple.send(enrolment(couple.program, "m-3", couple.at))
    into: dict[str, str] = {}
    bought: list[tuple[str, str]] = []
    spent: list[tuple[str, str]] = []

    async def part(step: int, name: str) -> None:
        await couple.join(f"u-{step}", member=name, into=into.pop(name), undo=True)

    for step in range(60):
        couple.pass_time(days=chance.choice((0, 0, 1, 4, 16)), minutes=1)
        deed = chance.choice(("buy", "buy", "buy", "back", "back", "spend", "cancel", "join", "join", "part"))
        name, other = chance.sample(names, 2)
        amount, days, part_of_it = chance.randint(1, 9), chance.choice((0, 0, 15, 29)), chance.random() < 0.6
        if deed == "buy":
            when = max(START, couple.at - timedelta(days=days))
            await couple.send(report(couple.program, name, purchase(f"b-{step}", amount * 100, when), couple.at))
            bought.append((f"b-{step}", name))
        elif deed == "back" and bought:
            of, whose = chance.choice(bought)
            await couple.back_of(whose, f"r-{step}", of, **({"amount": 100} if part_of_it else {}))
        elif deed == "spend" and name not in into:
            await spend(couple, name, f"h-{step}", amount)
            spent.append((f"h-{step}", name))
        elif deed == "cancel" and spent:
            hold, couple.member = chance.choice(spent)
            await couple.timed("cancel_requested", hold, by="member")
        elif deed == "join" and not {name, other} & into.keys():
            await couple.join(f"j-{step}", member=name, into=other)
            into[name] = other
        elif deed == "part" and name in into and into[name] not in into:
            await part(step, name)
    while into:
        await part(60 + len(into), next(name for name in into if into[name] not in into))
