"""A till that speaks the domain: activities, returns, holds and steps in time, over any ledger the road can use."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from laurel.contracts.registry import EVENTS
from laurel.program import ProgramDocument, load_program
from services.points.domain.state import Balance, Wallet
from services.points.ports import Announcement, WalletKey
from services.points.road import Road
from services.points.testing import FixedPrograms, MemoryLedger, Note, note
from tests.program.played import file_of

START = datetime(2024, 3, 1, 12, tzinfo=UTC)


A_SHOP: dict[str, Any] = {
    "program": "shop",
    "name": "Shop",
    "effective_from": "2020-01-01T00:00:00+00:00",
    "time_zone": "UTC",
    "clock": "wall",
    "currency": "GBP",
    "units": {"point": {"scale": 0, "validity": {"kind": "never"}}, "step": {"scale": 0, "counts_only": True}},
    "earning": [
        {
            "rule": "base",
            "on": ["purchase"],
            "unit": "point",
            "rate": {"points": 1, "per": 1},
            "funding": {"funder": "s"},
        }
    ],
}
"""A program with a point for every penny, and a unit that only counts."""


def document(name: str, **changes: Any) -> ProgramDocument:
    """Return a program that is played, with top-level changes; units that are not named stay."""
    plain = msgspec.json.decode(msgspec.json.encode(_plain(name)))
    units = {**plain["units"], **changes.pop("units", {})}
    return load_program({**plain, **changes, "units": units})


def _plain(name: str) -> dict[str, Any]:
    from laurel.program import dump_program

    return dump_program(load_program(file_of(name).read_text()))


def enrolment(program: str, member: str, at: datetime = START, **fields: Any) -> Note:
    return note(
        "member.enrolment_requested.v1",
        program,
        member,
        at=at,
        cause={"kind": "member", "id": member},
        enrolled_at=at,
        versions={"program": 1},
        **fields,
    )


def report(program: str, member: str, activity: dict[str, Any], at: datetime, **fields: Any) -> Note:
    partner = fields.pop("partner", "shop")
    digest = fields.pop("hash", str(hash(msgspec.json.encode(activity))))
    return note(
        "activity.reported.v1",
        program,
        member,
        at=at,
        cause={"kind": "activity", "id": activity["id"]},
        partner=partner,
        hash=digest,
        activity={"member": member, **activity},
        versions={"program": fields.pop("version", 1), "as_of": fields.pop("as_of", None)},
    )


def purchase(id_: str, amount: int, at: datetime = START, *, currency: str = "GBP", **fields: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "type": "purchase",
        "occurred_at": at.isoformat(),
        "currency": currency,
        "amount": amount,
        **fields,
    }


def as_heard(said: Iterable[Announcement]) -> list[dict[str, Any]]:
    """Return what was announced as a consumer reads it: each body, with its type and whom it concerns.

    What the contract does not let a consumer read is nothing that may be said.
    """
    said = list(said)
    for one in said:
        EVENTS[one.type].decoder.decode(one.body)
    return [{"type": one.type, "member": one.member, **msgspec.json.decode(one.body)} for one in said]


class Till:
    """One member of one program, and what became of it."""

    def __init__(self, program: ProgramDocument, member: str = "m-1") -> None:
        self.program = program.program
        self.member = member
        self.ledger = MemoryLedger()
        self.programs = FixedPrograms(program)
        self.road = Road(self.programs)
        self.at = START
        self.as_of: datetime | None = None

    async def send(self, *notes: Note) -> list[dict[str, Any]]:
        return as_heard(await self.road.run(self.ledger, notes))

    async def enrol(self, **fields: Any) -> None:
        await self.send(enrolment(self.program, self.member, self.at, **fields))

    async def report(self, activity: dict[str, Any], **fields: Any) -> dict[str, Any]:
        fields.setdefault("as_of", self.as_of)
        said = await self.send(report(self.program, self.member, activity, self.at, **fields))
        # What caps cut is said beside the answer, and what the activity led to, such as another tier, after it.
        besides = ("points.capped.v1", "points.available.v1", "points.revived.v1", "points.pending_decided.v1")
        answers = [one for one in said if one["type"] not in besides and not one.get("share_of")]
        return next((one for one in reversed(answers) if "activity" in one), answers[-1])

    async def buy(self, id_: str, amount: int, **fields: Any) -> dict[str, Any]:
        return await self.report(purchase(id_, amount, self.at, **fields))

    async def give_back(self, id_: str, of: str, **fields: Any) -> dict[str, Any]:
        return await self.report(
            {
                "id": id_,
                "type": "return",
                "of": of,
                "occurred_at": self.at.isoformat(),
                **fields,
            }
        )

    async def ask(self, type_: str, **fields: Any) -> list[dict[str, Any]]:
        common = {"at": self.at, "cause": {"kind": "redemption", "id": "r"}}
        return await self.send(note(type_, self.program, self.member, **common, **fields))

    async def hold(self, hold: str, amount: int, *, unit: str = "point", **more: Any) -> list[dict[str, Any]]:
        return await self.ask("hold.requested.v1", hold=hold, unit=unit, amount=amount, redemption=hold, **more)

    async def capture(self, hold: str) -> list[dict[str, Any]]:
        return await self.ask("hold.capture_requested.v1", hold=hold, redemption=hold)

    async def release(self, hold: str) -> list[dict[str, Any]]:
        return await self.ask("hold.release_requested.v1", hold=hold, redemption=hold, reason="test")

    async def timed(self, deed: str, hold: str, **fields: Any) -> list[dict[str, Any]]:
        """Ask something of a hold that times out; `deed` is requested, capture_requested and so on."""
        if deed == "requested":
            fields = {"unit": "point", "ttl_seconds": 900, "partner": "shop", "reference": "till-1", **fields}
        versions = {"program": 1, **({"as_of": self.as_of} if self.as_of is not None else {})}
        return await self.ask(f"timed_hold.{deed}.v1", hold=hold, versions=versions, **fields)

    async def adjust(self, name: str, amount: int, **fields: Any) -> list[dict[str, Any]]:
        fields = {"reason": "goodwill", "partner": "bank", "versions": {"program": 1}, **fields}
        return await self.ask("adjustment.requested.v1", adjustment=name, unit="point", amount=amount, **fields)

    async def correct(self, name: str, of: str, should_be: int, **fields: Any) -> list[dict[str, Any]]:
        fields = {"reason": "correction", "partner": "bank", "of_partner": "shop", **fields}
        common = {"adjustment": name, "unit": "point", "of": of, "should_be": should_be, "versions": {"program": 1}}
        return await self.ask("adjustment.correction_requested.v1", **common, **fields)

    async def decide(self, name: str, *, approve: bool, limit: int | None = None) -> list[dict[str, Any]]:
        fields = {"adjustment": name, "approve": approve, "limit": limit, "versions": {"program": 1}}
        return await self.ask("adjustment.decision_requested.v1", **fields)

    async def turn(self, as_of: datetime) -> list[dict[str, Any]]:
        """Turn a manual clock: do what is due for the member, and let it be then."""
        key = WalletKey(self.program, self.member)
        _, said = await self.road.run_turn(self.ledger, [key], as_of, turned_to=as_of)
        self.as_of = self.at = as_of
        return as_heard(said)

    async def match(self, match: str, tier: str, dated: date, **fields: Any) -> list[dict[str, Any]]:
        versions = {"program": 1, **({"as_of": self.as_of} if self.as_of is not None else {})}
        return await self.ask(
            "member.status_match_requested.v1", match=match, tier=tier, dated=dated, versions=versions, **fields
        )

    async def run_due(self) -> None:
        await self.road.run_due(self.ledger, [WalletKey(self.program, self.member)], self.at)

    def pass_time(self, **delta: int) -> None:
        self.at += timedelta(**delta)

    @property
    def wallet(self) -> Wallet:
        return self.ledger.wallets[WalletKey(self.program, self.member)]

    @property
    def balance(self) -> Balance:
        return self.wallet.balance("point")
