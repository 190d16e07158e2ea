"""The village as the engine is told of it: messages, answers and what a wallet shows, in the reference's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.points.domain.state import Wallet
from services.points.testing import Note, note
from tests.points.till import enrolment, report

START = datetime(2023, 11, 20, 12, tzinfo=UTC)
ENROLLED = {
    "m-1": (datetime(2023, 1, 31, 9, tzinfo=UTC), "ann"),
    "m-2": (datetime(2020, 2, 29, 9, tzinfo=UTC), "ann"),
    "m-3": (datetime(2022, 12, 25, 9, tzinfo=UTC), "bob"),
}
"""When each was enrolled, and who it is."""
MEMBERS = sorted(ENROLLED)


@dataclass(frozen=True)
class Telling:
    """Messages to points about the members of one program, as the gateway and redemption send them."""

    program: str

    def enrolment(self, member: str, at: datetime, person: str) -> Note:
        return enrolment(self.program, member, at, person=person)

    def purchase(
        self, name: str, member: str, at: datetime, occurred: datetime, lines: Sequence[dict[str, Any]], channel: str
    ) -> Note:
        activity = {
            "id": name, "type": "purchase", "occurred_at": occurred.isoformat(), "currency": "GBP", "channel": channel,
            "amount": sum(line["amount"] for line in lines),
            "lines": [{"id": str(place), **line} for place, line in enumerate(lines)],
        }  # fmt: skip
        return report(self.program, member, activity, at)

    def giving_back(self, name: str, of: str, member: str, at: datetime, parts: Iterable[tuple[int, int]]) -> Note:
        lines = [{"id": str(place), "quantity": quantity} for place, quantity in parts]
        activity = {"id": name, "type": "return", "of": of, "occurred_at": at.isoformat()}
        return report(self.program, member, {**activity, "lines": lines} if lines else activity, at)

    def hold(self, name: str, member: str, at: datetime, amount: int, seconds: int | None) -> Note:
        """Without a time it is a redemption's."""
        if seconds is None:
            return self._note("hold.requested.v1", member, at, hold=name, unit="point", amount=amount, redemption=name)
        fields = {"unit": "point", "amount": amount, "ttl_seconds": seconds, "partner": "shop", "reference": "till"}
        return self._note("timed_hold.requested.v1", member, at, hold=name, **fields)

    def of_hold(self, deed: str, hold: str, member: str, at: datetime, amount: int | None, by: str) -> Note:
        fields: dict[str, Any] = {} if deed == "release" else {"amount": amount}
        if deed == "cancel":
            fields["by"] = by
        return self._note(f"timed_hold.{deed}_requested.v1", member, at, hold=hold, **fields)

    def gift(self, name: str, giver: str, to: str, at: datetime, amount: int) -> Note:
        fields = {"transfer": name, "to": to, "unit": "point", "amount": amount, "partner": "shop"}
        return self._note("transfer.requested.v1", giver, at, **fields)

    def adjustment(self, name: str, member: str, at: datetime, amount: int, reason: str) -> Note:
        fields = {"adjustment": name, "unit": "point", "amount": amount, "reason": reason, "partner": "shop"}
        return self._note("adjustment.requested.v1", member, at, **fields)

    def _note(self, type_: str, member: str, at: datetime, **fields: Any) -> Note:
        cause = {"kind": "request", "id": "r"}
        return note(type_, self.program, member, at=at, cause=cause, versions={"program": 1}, **fields)


def answered(said: Iterable[dict[str, Any]]) -> Any:
    """Return what an answer says, as the reference does: awards and cuts, reversals and refills, or a refusal."""
    for one in said:
        if "code" in one:
            short = one["code"] == "insufficient_points"
            return (one["code"], one["available"], one["shortfall"]) if short else one["code"]
        if one["type"] == "points.clawed_back.v1":
            reversals = {
                back["rule"]: {key: back[key] for key in ("amount", "taken", "expired", "owed")}
                for back in one["reversals"]
            }
            return reversals, _summed(one["awards"])
        if one["type"] == "points.awarded.v1":
            capped = {
                judged["rule"]: {cut["cap"]: cut["cut"] for cut in judged["capped_by"]}
                for judged in one["decision"]
                if judged["capped_by"]
            }
            return _summed(one["awards"]), capped
    return None


def _summed(awards: Iterable[dict[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for award in awards:
        found[award["rule"]] = found.get(award["rule"], 0) + award["amount"]
    return found


def shown(wallet: Wallet) -> dict[str, Any]:
    """Return what a wallet of the engine shows."""
    balance = wallet.balance("point")
    totals = ("available", "held", "pending", "owed", "earned", "spent", "expired", "reversed", "adjusted")
    counters = [each for each in wallet.counters.values() if each.counted]
    standing = wallet.tiers.standing if wallet.tiers is not None else None
    steps = wallet.tiers.counts.get(("step", "calendar_year"), {}) if wallet.tiers is not None else {}
    activity_of = {posting.journal: activity for (_, activity), posting in wallet.postings.items()}
    return {
        **{total: getattr(balance, total) for total in totals},
        "lots": sorted(
            (lot.rule, lot.earned_at, lot.expires_at, lot.remaining, lot.held, lot.pending)
            for lot in wallet.lots.values()
            if lot.remaining or lot.pending
        ),
        "caps": {
            (each.counter.split("/")[1], each.start): each.counted
            for each in sorted(counters, key=lambda each: (each.counter, each.start))
            if each.counter.startswith("cap/")
        },
        "app": {each.start: each.counted for each in counters if each.counter == "limit/app/day"},
        "given": {each.start: each.counted for each in counters if each.counter.startswith("transfer/")},
        "refused": sorted(
            (activity_of[each.journal], each.rule, each.left) for each in wallet.refusals.values() if each.left
        ),
        "holds": {hold.hold: (hold.state, hold.captured) for hold in wallet.holds.values() if hold.state != "refused"},
        "steps": {day.year: counted for day, counted in steps.items() if counted},
        "tier": (standing.tier, standing.since_at, standing.until_at)
        if standing is not None
        else ("member", wallet.enrolled_at, None),
    }
