"""Members of a program live through whatever may happen, by chance: what is asked of points, one after another."""

from __future__ import annotations

import random
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from services.points.testing import Note, note
from tests.points.till import enrolment, report

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
MEMBERS = ("m-1", "m-2", "m-3", "m-4")
BORN = {"m-1": "1990-04-10", "m-2": "1980-02-29", "m-3": "2000-05-20", "m-4": "1999-07-01"}
SHOP, MAKER, AHEAD = {"funder": "shop"}, {"funder": "maker"}, {"funder": "ahead"}
MONTHS = list(range(1, 13))

PROGRAM: dict[str, Any] = {
    "program": "lives", "name": "Lives", "effective_from": "2020-01-01T00:00:00+00:00", "time_zone": "Europe/London",
    "clock": "wall", "currency": "GBP",
    "attributes": {"member": {"born": "text"}},
    "units": {
        "point": {"scale": 0, "validity": {"kind": "rolling", "days": 60}},
        "mile": {"scale": 0, "validity": {"kind": "inactivity", "months": 1, "kept_by": ["purchase"]}},
        "step": {"scale": 0, "counts_only": True},
    },
    "returns": {"refill_on_return": True},
    "transfers": {"point": {}, "mile": {"most": 500}},
    "payers": {"company": "return_to_payer"},
    "earning": [
        {"rule": "base", "on": ["purchase"], "unit": "point", "rate": {"points": 1, "per": 10}, "funding": SHOP},
        {"rule": "half", "on": ["purchase"], "unit": "point", "multiplier": {"of": "base", "percent": 50},
         "funding": MAKER, "pending": {"days": 5}},
        {"rule": "looked", "on": ["purchase"], "unit": "point", "fixed": {"points": 20}, "funding": MAKER,
         "pending": {"approval": True}, "where": 'activity.channel == "a"'},
        {"rule": "visited", "on": ["purchase"], "unit": "mile", "fixed": {"points": 7}, "funding": MAKER,
         "pending": {"until_event": "visit"}, "where": 'activity.channel == "b"'},
        {"rule": "miles", "on": ["purchase"], "unit": "mile", "rate": {"points": 1, "per": 7}, "funding": AHEAD},
        {"rule": "friend", "on": ["purchase"], "unit": "point", "fixed": {"points": 9}, "to": "referrer",
         "funding": SHOP, "limit": {"times": 2, "per": "month"}},
        {"rule": "opened", "on": ["open"], "unit": "point", "fixed": {"points": 50}, "funding": SHOP,
         "taken_back": {"on": ["close"], "within_days": 10}},
        {"rule": "steps", "on": ["purchase", "birthday"], "unit": "step", "rate": {"points": 1, "per": 1}},
        {"rule": "reached", "on": ["purchase"], "unit": "point", "fixed": {"points": 33}, "funding": SHOP,
         "threshold": {"of": "base", "reaches": 150, "window": "month"}},
        {"rule": "first", "on": ["purchase"], "unit": "point", "fixed": {"points": 11}, "funding": MAKER,
         "limit": {"times": 2, "per": "month", "by": "person"}},
        {"rule": "few", "on": ["purchase"], "unit": "point", "fixed": {"points": 15}, "funding": MAKER,
         "budget": {"points": 100}},
        {"rule": "cake", "on": ["birthday"], "unit": "point", "fixed": {"points": 13}, "funding": SHOP},
    ],
    "caps": [
        {"cap": "month", "unit": "point", "window": "month", "limit": 300},
        {"cap": "balance", "unit": "point", "of": "outstanding", "limit": 400},
    ],
    "birthdays": {},
    "tiers": {
        "counters": {"year": {"unit": "step", "window": "calendar_year"}},
        "levels": [{"tier": "a"}, {"tier": "b", "needs": {"year": 3000}}, {"tier": "c", "needs": {"year": 6000}}],
        "lasts": {"kind": "end_of_period", "period": "year", "after": 1},
        "match": {"proof_months": 12, "lasts_days": 20, "again_after_years": 1,
                  "challenge": {"counter": "year", "percent": 25}},
    },
    "conversions": [
        {"conversion": "monthly", "unit": "mile", "on": {"months": MONTHS, "day": 1}, "from": 100, "step": 50,
         "voucher": {"per_step": {"amount": 50, "currency": "GBP"}, "validity": {"kind": "never"}}},
    ],
}  # fmt: skip


def programs(chance: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a program, and what it is from April on."""
    first = deepcopy(PROGRAM)
    if chance.random() < 0.5:
        first["units"]["point"]["validity"] = {"kind": "inactivity", "months": 1, "kept_by": ["purchase", "open"]}
    if chance.random() < 0.3:
        first["tiers"] = {**first["tiers"], "falls": "month_end"}
        del first["tiers"]["lasts"], first["tiers"]["match"]
        first["tiers"]["counters"]["year"] = {"unit": "step", "window": "rolling", "months": 1}
    second = {**deepcopy(first), "effective_from": "2024-04-10T00:00:00+00:00"}
    changes: list[dict[str, Any]] = [
        {"returns": {"refill_on_return": False}},
        {"caps": [{"cap": "month", "unit": "point", "window": "month", "limit": 100}]},
        {"units": {**second["units"], "point": {"scale": 0, "validity": {"kind": "rolling", "days": 20}}}},
        {"conversions": [], "earning": [rule for rule in second["earning"] if rule["rule"] not in {"reached", "few"}]},
        {"caps": []},
    ]
    return first, {**second, **chance.choice(changes)}


class Lives:
    """What happens to the members; the same seed tells the same."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = START
        self.bought: list[tuple[str, str]] = []
        self.held: list[tuple[str, str]] = []
        self.given: list[tuple[str, str]] = []
        self.told: list[Note] = []
        self.number = 0

    def enrolments(self) -> Iterator[Note]:
        for member in MEMBERS:
            person = "ann" if member in {"m-1", "m-4"} else None
            more = {"referred_by": "m-1"} if member in {"m-2", "m-3"} else {}
            yield enrolment("lives", member, self.now, person=person, attributes={"born": BORN[member]}, **more)

    def next(self) -> Note:
        """Let some time pass, and something happen."""
        self.now += timedelta(hours=self.chance.choice([0, 1, 5, 20, 60, 200]))
        self.number += 1
        deeds = [
            *[self._buy] * 7, *[self._give_back] * 3, self._do, self._hold, *[self._of_hold] * 2, self._adjust,
            self._decide, self._correct, self._gift, self._decide_pending, self._belong, self._match, self._pay,
            self._again,
        ]  # fmt: skip
        return self.chance.choice(deeds)()

    def _ask(self, type_: str, member: str, **fields: Any) -> Note:
        common = {"at": self.now, "cause": {"kind": "request", "id": "r"}, "versions": {"program": 2}}
        return note(type_, "lives", member, **common, **fields)

    def _report(self, member: str, type_: str, occurred_at: datetime | None = None, **fields: Any) -> Note:
        at = (occurred_at or self.now).isoformat()
        activity = {"id": f"a-{self.number}", "type": type_, "occurred_at": at, **fields}
        # The content is the activity's own name, as no two of them are alike.
        told = report("lives", member, activity, self.now, version=2, hash=f"h-{self.number}")
        self.told.append(told)
        return told

    def _buy(self) -> Note:
        chance, member = self.chance, self.chance.choice(MEMBERS)
        occurred_at = self.now - timedelta(days=chance.choice([0, 0, 0, 1, 10, 40]))
        fields: dict[str, Any] = {"currency": "GBP", "amount": chance.choice([50, 333, 1000, 2500])}
        if self.held and chance.random() < 0.2:
            fields["tenders"] = [{"kind": "points", "amount": 40, "ref": chance.choice(self.held)[1]}]
        if chance.random() < 0.15:
            fields["exclusive_key"] = f"k-{chance.randrange(6)}"
        if chance.random() < 0.2:
            fields["payer"] = {"id": chance.choice(MEMBERS), "kind": chance.choice(["company", "friend"])}
        self.bought.append((member, f"a-{self.number}"))
        return self._report(member, "purchase", occurred_at, channel=chance.choice("abc"), **fields)

    def _give_back(self) -> Note:
        member, of = self._one_of(self.bought)
        part: dict[str, Any] = {"amount": self.chance.choice([10, 100, 300])} if self.chance.random() < 0.5 else {}
        return self._report(member, "return", of=of, **part)

    def _do(self) -> Note:
        member, type_ = self.chance.choice(MEMBERS), self.chance.choice(["open", "close", "visit"])
        if type_ == "open":
            self.bought.append((member, f"a-{self.number}"))
            return self._report(member, type_)
        of: dict[str, Any] = {"of": self._one_of(self.bought)[1]} if self.chance.random() < 0.8 else {}
        return self._report(member, type_, **of)

    def _hold(self) -> Note:
        member, name = self.chance.choice(MEMBERS), f"h-{self.number}"
        self.held.append((member, name))
        fields = {"unit": self.chance.choice(["point", "mile"]), "amount": self.chance.choice([1, 20, 100])}
        ttl = self.chance.choice([60, 900, 400_000])
        return self._ask(
            "timed_hold.requested.v1", member, hold=name, ttl_seconds=ttl, partner="shop", reference="till", **fields
        )

    def _of_hold(self) -> Note:
        member, name = self._one_of(self.held)
        deed = self.chance.choice(["capture", "capture", "release", "cancel"])
        fields: dict[str, Any] = {"by": self.chance.choice(["member", "provider"])} if deed == "cancel" else {}
        if deed != "release" and self.chance.random() < 0.4:
            fields["amount"] = self.chance.choice([1, 10, 50])
        return self._ask(f"timed_hold.{deed}_requested.v1", member, hold=name, **fields)

    def _adjust(self) -> Note:
        member, name = self.chance.choice(MEMBERS), f"d-{self.number}"
        self.given.append((member, name))
        fields = {
            "unit": self.chance.choice(["point", "mile", "step"]),
            "amount": self.chance.choice([30, -20, 200, -300]),
        }
        reason, limit = self.chance.choice(["goodwill", "correction"]), self.chance.choice([None, 50])
        return self._ask(
            "adjustment.requested.v1", member, adjustment=name, reason=reason, partner="bank", limit=limit, **fields
        )

    def _decide(self) -> Note:
        member, name = self._one_of(self.given)
        approve = self.chance.random() < 0.6
        return self._ask("adjustment.decision_requested.v1", member, adjustment=name, approve=approve, limit=None)

    def _correct(self) -> Note:
        # In memory a share of another's activity is found under the activity's name, so only adjustments are corrected.
        member, of = self._one_of(self.given)
        name = f"d-{self.number}"
        self.given.append((member, name))
        fields = {"unit": self.chance.choice(["point", "mile"]), "should_be": self.chance.choice([0, 10, 100])}
        by = self.chance.choice([None, "member"])
        return self._ask(
            "adjustment.correction_requested.v1", member, adjustment=name, of=of, of_partner="shop", partner="bank",
            reason="correction", reported_by=by, **fields,
        )  # fmt: skip

    def _gift(self) -> Note:
        giver, to = self.chance.sample(MEMBERS, 2)
        fields = {"unit": self.chance.choice(["point", "mile"]), "amount": self.chance.choice([1, 30, 100])}
        return self._ask("transfer.requested.v1", giver, transfer=f"t-{self.number}", to=to, partner="shop", **fields)

    def _decide_pending(self) -> Note:
        member, of = self._one_of(self.bought)
        approve = self.chance.random() < 0.5
        fields = {"activity": of, "partner": "shop", "approve": approve, "limit": None}
        return self._ask("pending.decision_requested.v1", member, **fields)

    def _belong(self) -> Note:
        # None is taken apart again: of lots that came back a return finds in memory what tables do not look for.
        one, other = self.chance.sample(MEMBERS, 2)
        if self.chance.random() < 0.5:
            fields = {"members": [one, other], "leaving": list(MEMBERS), "pooling": True}
            return self._ask("household.set_requested.v1", "", household="house", **fields)
        return self._ask("member.merge_requested.v1", one, merge=f"g-{self.number}", into=other)

    def _match(self) -> Note:
        dated = (self.now - timedelta(days=20)).date()
        fields = {"tier": self.chance.choice("bc"), "dated": dated, "issuer": "rival"}
        return self._ask(
            "member.status_match_requested.v1", self.chance.choice(MEMBERS), match=f"s-{self.number}", **fields
        )

    def _pay(self) -> Note:
        fields = {"unit": "mile", "units": self.chance.choice([100, 1000]), "amount": 5, "currency": "GBP"}
        return self._ask("block.top_up_requested.v1", "", partner="ahead", reference=f"p-{self.number}", **fields)

    def _again(self) -> Note:
        return self.chance.choice(self.told) if self.told else self._buy()

    def _one_of(self, named: list[tuple[str, str]]) -> tuple[str, str]:
        return self.chance.choice(named) if named else (self.chance.choice(MEMBERS), "nothing")
