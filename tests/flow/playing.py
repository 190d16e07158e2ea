"""A cases file played through the doors of a running Laurel: each case on a throwaway copy with a clock of its own."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from laurel.calendars import local_date, zone_named
from laurel.program.cases import Balance, Case, Expected, Matching, Spending, Step, Using, instant_of
from laurel.program.rehearsing import MEMBER
from laurel.program.rehearsing_differences import differences
from laurel.program.rehearsing_paper import Seen
from tests.flow.stage import Town

_ONE_DAY = timedelta(days=1)


class Played:
    """One case on its copy of a program, which must be published and must see no other use."""

    def __init__(self, town: Town, program: str, case: Case) -> None:
        self._town = town
        self._door = town.door()
        self._program = program
        self._case = case
        self._copy = f"{program}-{re.sub('[^a-z0-9]+', '-', case.case.lower())}-{uuid.uuid4().hex[:6]}"
        self._now: datetime | None = None
        self._spent = 0
        self._used = 0
        self._parts: set[str] = set()
        self._currency = ""
        self._zone: Any = None
        self._happened: dict[str, str] = {}

    async def play(self) -> list[str]:
        """Do all steps; return where it came out otherwise than expected, a sentence each."""
        # Keys are credited once in a whole group; each case has a group of its own.
        changes = {**self._case.changes, "/exclusive_group": self._copy}
        await self._door.call("POST", f"programs/{self._program}/copy", {"to": self._copy, "changes": changes}, 201)
        document = (await self._door.call("GET", f"programs/{self._copy}"))["document"]
        self._zone = zone_named(document["time_zone"])
        self._currency = document["currency"]
        await self._enrol()
        found = []
        for number, step in enumerate(self._case.steps, 1):
            seen = await self._step(step)
            # Of an account that is a part of another that one's points are shown.
            others = {name: units for name, units in (step.expect.others or {}).items() if name not in self._parts}
            await self._look(seen, document["units"], step.expect, others)
            if step.expect.vouchers is not None:
                seen.vouchers = [self._voucher(each) for each in await self._vouchers()]
            seen.tier = await self._tier()
            if step.expect.counted is not None and step.activity is not None:
                # What was never counted has no row.
                seen.counted = {**dict.fromkeys(step.expect.counted, 0), **await self._counted(step.activity)}
            # What funders owe is told by settlement, which has no door yet.
            # A read shows counters as they were with the last event; the other tests look at them.
            tier = step.expect.tier.model_copy(update={"counters": None}) if step.expect.tier is not None else None
            if tier is not None:
                tier.model_fields_set.discard("counters")
            expected = step.expect.model_copy(update={"billed": None, "tier": tier, "others": others})
            said = differences(seen, expected)
            found += [f"{self._case.case}, step {number}: {each}" for each in said]
        return found

    async def _look(
        self,
        seen: Seen,
        units: Mapping[str, Any],
        expected: Expected,
        others: dict[str, dict[str, Balance]],
    ) -> None:
        """Read how all stand; what a step meant for another than was answered may be shown a moment later."""
        wanted = Expected(balances=expected.balances, others=others)
        for _ in range(50):
            seen.balances, seen.segments = await self._balances(units)
            for name in others:
                seen.others[name], _ = await self._balances(units, name)
            found = Seen(balances=seen.balances, others=seen.others)
            if not list(differences(found, wanted)):
                return
            await asyncio.sleep(0.1)

    async def _enrol(self) -> None:
        joined_at = self._case.member.enrolled_at or instant_of(self._case.steps[0])
        said = [step.activity for step in self._case.steps if step.activity is not None]
        for partner in sorted({activity["partner"] for activity in said if "partner" in activity}):
            await self._door.ask("PUT", f"partners/{partner}", {"name": partner})
        for payer in sorted({activity["payer"]["id"] for activity in said if "payer" in activity}):
            body = {"member": payer, "enrolled_at": joined_at.isoformat()}
            await self._door.call("POST", f"programs/{self._copy}/members", body, 201)
        body = {"member": MEMBER, "enrolled_at": joined_at.isoformat(), "attributes": self._case.member.attributes}
        await self._door.call("POST", f"programs/{self._copy}/members", body, 201)
        for friend in self._case.friends:
            joined = {"member": friend, "enrolled_at": joined_at.isoformat(), "referred_by": MEMBER}
            await self._door.call("POST", f"programs/{self._copy}/members", joined, 201)
        for name, each in self._case.members.items():
            at = (each.enrolled_at or joined_at).isoformat()
            other: dict[str, Any] = {"member": name, "enrolled_at": at, "attributes": each.attributes}
            await self._door.call("POST", f"programs/{self._copy}/members", other, 201)

    async def _step(self, step: Step) -> Seen:
        seen = Seen()
        await self._until(instant_of(step))
        if step.activity is not None:
            await self._report(step.activity, seen)
        elif step.spend is not None:
            await self._spend(step.spend, seen)
        elif step.use is not None:
            await self._use(step.use, seen)
        elif step.match is not None:
            await self._match(step.match, seen)
        else:
            await self._together(step, seen)
        return seen

    async def _until(self, at: datetime) -> None:
        """Let time pass; what is reported late comes after its time, and time never goes back."""
        if self._now is None or at > self._now:
            await self._door.call("POST", f"programs/{self._copy}/clock", {"as_of": at.isoformat()})
            self._now = at

    async def _report(self, activity: Mapping[str, Any], seen: Seen) -> None:
        body = {"member": MEMBER, **_plain(activity)}
        answer = await self._door.ask("POST", f"programs/{self._copy}/activities", body)
        told = answer.json()
        if answer.status_code >= 400:
            errors = told["errors"]
            seen.refused = errors[0]["code"] if told["code"] == "invalid" and errors else told["code"]
            return
        assert answer.status_code == 201, answer.text
        self._happened[activity["id"]] = body["occurred_at"]
        seen.reasons = {each["rule"]: each["reason"] for each in told["decision"]}
        seen.capped = {
            each["rule"]: {cut["cap"]: cut["cut"] for cut in each["capped_by"]}
            for each in told["decision"]
            if each.get("capped_by")
        }
        for award in told["awards"]:
            if award["member"] != MEMBER:
                continue
            seen.awards[award["rule"]] = seen.awards.get(award["rule"], 0) + award["amount"]
            ends = award["expires_at"]
            last = local_date(datetime.fromisoformat(ends), self._zone) - _ONE_DAY if ends is not None else None
            seen.good_through[award["rule"]] = last
        for back in told.get("reversals", ()):
            seen.reversals[back["rule"]] = {name: back[name] for name in ("amount", "taken", "expired", "owed")}

    async def _together(self, step: Step, seen: Seen) -> None:
        """Do what moves several members."""
        method = "POST"
        body: dict[str, Any] = {}
        if step.transfer is not None:
            path = "transfers"
            body = _plain(step.transfer.model_dump(by_alias=True, exclude={"at"}))
        elif step.merge is not None:
            path, body = f"members/{step.merge.member}/merge", {"into": step.merge.into}
        elif step.unmerge is not None:
            path = f"members/{step.unmerge.member}/unmerge"
        elif step.household is not None:
            method, path = "PUT", "households/home"
            body = {"members": list(step.household.members), "pooling": step.household.pooling}
        else:
            return
        self._spent += 1
        answer = await self._door.ask(
            method, f"programs/{self._copy}/{path}", body, idempotency_key=f'"together-{self._spent}"'
        )
        if answer.status_code not in {200, 201}:
            seen.refused = answer.json()["code"]
        elif step.merge is not None:
            self._parts.add(step.merge.member)
        elif step.unmerge is not None:
            self._parts.remove(step.unmerge.member)

    async def _spend(self, spend: Spending, seen: Seen) -> None:
        self._spent += 1
        path = f"programs/{self._copy}/holds"
        member = spend.member or MEMBER
        body = {"member": member, "unit": spend.unit, "amount": spend.amount, "reference": f"spent-{self._spent}"}
        answer = await self._door.ask("POST", path, body, idempotency_key=f'"{self._spent}"')
        if answer.status_code != 201:
            seen.refused = answer.json()["code"]
            return
        await self._door.call("POST", f"{path}/{answer.json()['hold']}/capture", {})

    async def _use(self, use: Using, seen: Seen) -> None:
        self._used += 1
        code = (await self._vouchers())[use.voucher - 1]["code"]
        body = {"reference": f"used-{self._used}", "basket": {"amount": use.basket, "currency": self._currency}}
        answer = await self._door.ask("POST", f"programs/{self._copy}/vouchers/{code}/redeem", body)
        if answer.status_code != 200:
            seen.refused = answer.json()["code"]

    async def _match(self, match: Matching, seen: Seen) -> None:
        path = f"programs/{self._copy}/members/{MEMBER}/status-match"
        body = {"tier": match.tier, "evidence": {"issuer": match.issuer, "dated": match.dated.isoformat()}}
        answer = await self._door.ask("POST", path, body)
        if answer.status_code != 201:
            seen.refused = answer.json()["code"]

    async def _counted(self, activity: Mapping[str, Any]) -> dict[str, int]:
        """Return what each cap counts in the window of an activity, or of the one that it returns."""
        at = datetime.fromisoformat(self._happened[activity.get("of", activity["id"])])
        rows = await self._town.rows(
            "select split_part(counter, '/', 2), counted from points.counters where program = $1 and member = $2 "
            "and counter like 'cap/%' and window_start <= $3 and (window_end is null or $3 < window_end)",
            self._copy, MEMBER, at,
        )  # fmt: skip
        return dict(rows)

    async def _vouchers(self) -> list[dict[str, Any]]:
        """Return the member's vouchers, the oldest first."""
        found = await self._door.call("GET", f"programs/{self._copy}/vouchers?member={MEMBER}")
        return sorted(found["data"], key=lambda each: datetime.fromisoformat(each["issued_at"]))

    def _voucher(self, shown: Mapping[str, Any]) -> dict[str, Any]:
        ends = shown["expires_at"]
        last = local_date(datetime.fromisoformat(ends), self._zone) - _ONE_DAY if ends is not None else None
        return {"value": shown["value"], "state": shown["state"], "good_through": last}

    async def _tier(self) -> dict[str, Any]:
        tier = (await self._door.call("GET", f"programs/{self._copy}/members/{MEMBER}"))["tier"]
        if tier is None:
            return {}
        days = {name: date.fromisoformat(tier[name]) if tier[name] else None for name in ("since", "until")}
        return {
            "name": tier["name"],
            **days,
            "years": tier["years"],
            "benefits": tuple(each["name"] for each in tier["benefits"]),
        }

    async def _balances(
        self, units: Mapping[str, Any], member: str = MEMBER
    ) -> tuple[dict[str, dict[str, int]], dict[str, bool]]:
        shown = await self._door.call("GET", f"programs/{self._copy}/members/{member}")
        found = {unit: {"available": 0, "owed": 0, "pending": 0} for unit in units}
        for balance in shown["balances"]:
            found[balance["unit"]] = {name: balance[name] for name in ("available", "owed", "pending")}
        return found, {each["name"]: each["primary"] for each in shown["segments"]}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
