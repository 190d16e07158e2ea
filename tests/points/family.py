"""A household of three members who pay for each other."""

from __future__ import annotations

from typing import Any

from services.points.testing import Note, note
from tests.points.pair import Pair
from tests.points.till import document, enrolment

ROLLING = {"point": {"scale": 0, "validity": {"kind": "rolling", "days": 300}}}


class Family(Pair):
    """Three members, of whom the first is at the till."""

    async def enrol(self, **fields: Any) -> None:
        await super().enrol(**fields)
        await self.send(enrolment(self.program, "m-3", self.at, **fields))

    def house(self, *members: str, leaving: tuple[str, ...] = (), **fields: Any) -> Note:
        fields = {"household": "h", "members": members, "leaving": leaving, "pooling": True, **fields}
        common = {"at": self.at, "cause": {"kind": "request", "id": "h"}, "versions": {"program": 1}}
        written = note("household.set_requested.v1", self.program, "", **common, **fields)
        return Note(written.type, self.program, "", written.body.replace(b'"member":""', b'"member":null'))

    async def settle(self, *members: str, **fields: Any) -> list[dict[str, Any]]:
        return await self.send(self.house(*members, **fields))

    def has(self) -> list[int]:
        return [self.points(f"m-{number}").available for number in (1, 2, 3)]


async def a_family(*purchases: tuple[str, int], **changes: Any) -> Family:
    family = Family(document("clubcard", **{"clock": "wall", "units": ROLLING, **changes}))
    await family.enrol()
    await family.settle("m-1", "m-2", "m-3")
    for number, (member, points) in enumerate(purchases):
        await family.buy_for(member, f"b-{number}", points * 100)
        family.pass_time(days=1)
    return family
