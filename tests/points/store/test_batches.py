"""No outcome depends on what arrives together: batches over the tables say what single messages say in memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from services.points.road import Road
from services.points.store.ledger import Ledger
from services.points.testing import FixedPrograms, MemoryLedger, Note, note
from tests.points.stored import findings
from tests.points.till import START, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

MEMBERS = ("m-1", "m-2")
DEEDS = 120


class Life:
    """Deeds of two members in a program whose points live for a week, drawn by chance, each a little later."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.at = START
        self.bought: dict[str, list[str]] = {member: [] for member in MEMBERS}
        self.held: dict[str, list[str]] = {member: [] for member in MEMBERS}
        self.adjusted: dict[str, list[str]] = {member: [] for member in MEMBERS}

    def notes(self) -> Iterator[Note]:
        for member in MEMBERS:
            yield enrolment("clubcard", member)
        for number in range(DEEDS):
            self.at += timedelta(minutes=self.random.choice((0, 1, 10, 60, 1440)))
            member = self.random.choice(MEMBERS)
            yield self.deed(member, f"x-{number}")

    def deed(self, member: str, name: str) -> Note:  # noqa: PLR0911  (a deed a line)
        fields: dict[str, Any]
        draw, known = self.random, self.random.choice
        deeds = ["buy", "buy", "buy", "hold", "hold", "adjust"]
        deeds += ["back", "correct"] if self.bought[member] else []
        deeds += ["capture", "release", "cancel", "cancel"] if self.held[member] else []
        deeds += ["decide", "correct_adjustment"] if self.adjusted[member] else []
        match known(deeds):
            case "buy":
                self.bought[member].append(name)
                basket = purchase(name, draw.randint(100, 9000), self.at - timedelta(hours=draw.randint(0, 200)))
                return report("clubcard", member, basket, self.at)
            case "back":
                of = known(self.bought[member])
                back = {"id": name, "type": "return", "of": of, "occurred_at": self.at.isoformat()}
                part = {"amount": draw.randint(1, 3000)} if draw.random() < 0.7 else {}
                return report("clubcard", member, {**back, **part}, self.at)
            case "hold":
                self.held[member].append(name)
                ttl_seconds = draw.choice((60, 900, 86_400))
                fields = {"unit": "point", "amount": draw.randint(1, 80), "partner": "shop", "reference": "r"}
                return self.say("timed_hold.requested.v1", member, hold=name, ttl_seconds=ttl_seconds, **fields)
            case "capture":
                fields = {"amount": draw.choice((None, draw.randint(1, 40)))}
                return self.say("timed_hold.capture_requested.v1", member, hold=known(self.held[member]), **fields)
            case "release":
                return self.say("timed_hold.release_requested.v1", member, hold=known(self.held[member]))
            case "cancel":
                fields = {"amount": draw.choice((None, draw.randint(1, 40))), "by": known(("member", "provider"))}
                return self.say("timed_hold.cancel_requested.v1", member, hold=known(self.held[member]), **fields)
            case "adjust":
                self.adjusted[member].append(name)
                fields = {"reason": known(("goodwill", "correction")), "partner": "bank", "limit": known((None, 30))}
                amount = draw.randint(1, 60) * known((1, 1, -1))
                return self.say(
                    "adjustment.requested.v1", member, adjustment=name, unit="point", amount=amount, **fields
                )
            case "decide":
                fields = {"adjustment": known(self.adjusted[member]), "approve": draw.random() < 0.7}
                return self.say("adjustment.decision_requested.v1", member, **fields)
            case deed:
                of = known(self.bought[member] if deed == "correct" else self.adjusted[member])
                fields = {"unit": "point", "of": of, "of_partner": "shop", "should_be": draw.randint(0, 50)}
                shared = {"adjustment": name, "reason": "correction", "partner": "bank", "reported_by": "member"}
                return self.say("adjustment.correction_requested.v1", member, **shared, **fields)

    def say(self, type_: str, member: str, **fields: Any) -> Note:
        common = {"at": self.at, "cause": {"kind": "request", "id": "r"}, "versions": {"program": 1}}
        return note(type_, "clubcard", member, **common, **fields)


def told(announcements: Any) -> list[dict[str, Any]]:
    """What was said, but for when points end next, which memory does not look up."""
    said = [{"type": each.type, **msgspec.json.decode(each.body)} for each in announcements]
    for each in said:
        for balance in each.get("balances", ()):
            balance.pop("next_expiry", None)
    return said


@pytest.mark.parametrize("seed", range(6))
async def test_batches_say_what_single_messages_say(database: Database, database_urls: DatabaseUrls, seed: int) -> None:
    units = {"point": {"scale": 0, "validity": {"kind": "rolling", "days": 7}}}
    programs = FixedPrograms(document("clubcard", units=units, clock="wall"))
    road, memory = Road(programs), MemoryLedger()
    notes = list(Life(seed).notes())
    alone = [said for each in notes for said in told(await road.run(memory, [each]))]

    together: list[dict[str, Any]] = []
    chance = random.Random(seed)
    start = 0
    while start < len(notes):
        size = chance.choice((1, 2, 5, 20))
        async with database.transaction() as connection:
            together += told(await road.run(Ledger(connection), notes[start : start + size]))
        start += size

    def of(said: list[dict[str, Any]], member: str) -> list[dict[str, Any]]:
        return [each for each in said if each["member"] == member]

    for member in MEMBERS:
        assert of(together, member) == of(alone, member)
    assert await findings(database_urls) == []
