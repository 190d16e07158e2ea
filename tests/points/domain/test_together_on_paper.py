"""What members do together comes out the same on paper and on the road, whatever it is and however late it is known."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from laurel.program import CompiledProgram, ProgramDocument
from laurel.program.cases import Member, Step
from laurel.program.rehearsing import Town
from laurel.program.rehearsing_sharing import Sharing
from laurel.program.rehearsing_stage import Stage
from services.points.ports import WalletKey
from services.points.road import Road
from services.points.testing import FixedPrograms
from tests.points.playing import play
from tests.points.till import Till, document, enrolment

pytestmark = pytest.mark.anyio

BEGIN = datetime(2024, 3, 1, 12, tzinfo=UTC)
NAMES = ("m-1", "m-2", "m-3", "m-4")
VALIDITIES: dict[str, dict[str, Any]] = {
    "dated": {"kind": "rolling", "months": 2},
    "kept": {"kind": "inactivity", "months": 2, "kept_by": ["purchase"]},
}


def a_program(validity: dict[str, Any]) -> ProgramDocument:
    base = {"rule": "base", "on": ["purchase"], "unit": "point", "rate": {"points": 1, "per": 100},
            "funding": {"funder": "shop"}}  # fmt: skip
    units = {"point": {"scale": 0, "validity": validity}}
    return document("family", clock="wall", units=units, earning=[base], caps=[], tiers=None, transfers={"point": {}})


class Life:
    """What four members do, one thing after another; `into` is who became a part of whom."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.into: dict[str, str] = {}
        self._bought: list[tuple[str, str]] = []
        self._at = BEGIN

    def answering(self, name: str) -> str:
        while name in self.into:
            name = self.into[name]
        return name

    def steps(self) -> Iterator[dict[str, Any]]:
        for number in range(60):
            self._at += timedelta(days=self._chance.choice((0, 1, 4, 10, 20)), minutes=1)
            step = self._step(number, *self._chance.sample(NAMES, 2))
            if step is not None:
                yield step

    def _step(self, number: int, who: str, other: str) -> dict[str, Any] | None:  # noqa: PLR0911  # one for each kind
        chance, at = self._chance, self._at.isoformat()
        deed = chance.choice(("buy", "buy", "buy", "back", "back", "back", "spend", "gift", "join", "part", "home"))
        if deed == "buy":
            when = max(BEGIN, self._at - timedelta(days=chance.choice((0, 0, 0, 20, 40, 61))))
            self._bought.append((f"b-{number}", self.answering(who)))
            bought = {"id": f"b-{number}", "member": who, "type": "purchase", "occurred_at": when.isoformat()}
            return {
                "activity": {**bought, "currency": "GBP", "amount": chance.choice((0, 300, 900))},
                "reported_at": at,
            }
        if deed == "back" and self._bought:
            of, whose = chance.choice(self._bought)
            back = {"id": f"r-{number}", "type": "return", "of": of, "occurred_at": at}
            part = {"amount": 200} if chance.random() < 0.6 else {}
            return {"activity": {**back, "member": chance.choice((whose, self.answering(whose))), **part}}
        is_free = who not in self.into
        if deed == "spend" and is_free:
            return {"spend": {"member": who, "unit": "point", "amount": chance.randint(1, 8), "at": at}}
        if deed == "gift" and is_free and self.answering(other) != who:
            return {"transfer": {"from": who, "to": other, "unit": "point", "amount": chance.randint(1, 6), "at": at}}
        if deed == "join" and is_free and other not in self.into and who != "m-1":
            return {"merge": {"member": who, "into": other, "at": at}}
        if deed == "part" and not is_free and self.into[who] not in self.into:
            return {"unmerge": {"member": who, "at": at}}
        if deed == "home":
            return {"household": {"members": tuple(sorted({"m-1", who, other})), "at": at}}
        return None


@pytest.mark.parametrize("validity", VALIDITIES)
@pytest.mark.parametrize("seed", range(40))
async def test_paper_and_road_agree_on_whatever_members_do(seed: int, validity: str) -> None:
    program, life = a_program(VALIDITIES[validity]), Life(seed)
    compiled = CompiledProgram.from_document(program, 1)
    stages = {name: Stage(compiled, Member(), BEGIN) for name in NAMES}
    town, till = Town(stages, Sharing(compiled, stages)), Till(program)
    till.programs = FixedPrograms(program)
    till.road, till.at = Road(till.programs), BEGIN
    await till.send(*(enrolment(till.program, name, BEGIN) for name in NAMES))
    for number, written in enumerate(life.steps()):
        step = Step.model_validate({**written, "expect": {}})
        seen = town.play(step)
        till.at = max(till.at, datetime.fromisoformat(_instant(written)))
        await play(till, step, number)
        if seen.refused is None and "merge" in written:
            life.into[written["merge"]["member"]] = written["merge"]["into"]
        elif seen.refused is None and "unmerge" in written:
            del life.into[written["unmerge"]["member"]]
        await till.road.run_due(till.ledger, [WalletKey(till.program, name) for name in NAMES], till.at)
        for name in NAMES:
            if name not in life.into:
                stages[name].arrive(till.at)
        road = {name: till.ledger.wallets[WalletKey(till.program, name)].balance("point") for name in NAMES}
        paper = {name: stage.purse.balances()["point"] for name, stage in stages.items()}
        assert {name: (each.available, each.owed) for name, each in road.items()} == {
            name: (each["available"], each["owed"]) for name, each in paper.items()
        }, written


def _instant(written: dict[str, Any]) -> str:
    if "reported_at" in written:
        return str(written["reported_at"])
    (deed,) = written.values()
    return str(deed.get("at") or deed["occurred_at"])
