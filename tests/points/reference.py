"""The shared rules S1 to S20, as plainly as they are written, for one small program: what the engine must agree with.

Nothing of the engine is imported. A member is a dictionary, a lot is a dictionary, and each rule of the text is a few
lines. `PROGRAM` is the same program as a document.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/London")
FUND = {"funder": "shop"}
PROGRAM: dict[str, Any] = {
    "program": "village",
    "name": "Village",
    "effective_from": "2020-01-01T00:00:00+00:00",
    "time_zone": "Europe/London",
    "clock": "wall",
    "currency": "GBP",
    "attributes": {},
    "units": {
        "point": {"scale": 0, "validity": {"kind": "rolling", "months": 2}},
        "step": {"scale": 0, "counts_only": True},
    },
    "earning": [
        {"rule": "base", "rate": {"points": 5, "per": 100}, "caps": {"per_transaction": 250}, "funding": FUND},
        {"rule": "tier", "multiplier": {"of": "base", "by": "tier", "percent": {"silver": 50, "gold": 100}},
         "funding": FUND},
        {"rule": "fruit", "rate": {"points": 2, "per": 100}, "lines": 'line.category == "FRUIT"',
         "funding": {"funder": "supplier", "price": "1"}},
        {"rule": "app", "fixed": {"points": 30}, "where": 'activity.channel == "app"', "limit": {"per": "day"},
         "funding": FUND},
        {"rule": "welcome", "fixed": {"points": 40}, "limit": {"per": "year", "by": "person"}, "funding": FUND},
        {"rule": "offer", "rate": {"points": 3, "per": 100}, "where": 'activity.channel == "web"',
         "budget": {"points": 300}, "funding": FUND},
        {"rule": "slow", "fixed": {"points": 20}, "where": 'activity.channel == "web"', "pending": {"days": 5},
         "funding": FUND},
        {"rule": "step", "unit": "step", "rate": {"points": 1, "per": 100}},
    ],
    "late_claim": {"months": 2},
    "caps": [
        {"cap": "most", "unit": "point", "of": "outstanding", "limit": 450},
        {"cap": "month", "unit": "point", "window": "month", "limit": 300, "rules": ["base", "fruit", "slow"]},
        {"cap": "year", "unit": "point", "window": "account_year", "limit": 700},
    ],
    "returns": {"refill_on_return": True},
    "transfers": {"point": {"given": {"points": 90, "window": "day"}}},
    "tiers": {
        "counters": {"year_steps": {"unit": "step", "window": "calendar_year"}},
        "levels": [
            {"tier": "member"},
            {"tier": "silver", "needs": {"year_steps": 150}},
            {"tier": "gold", "needs": {"year_steps": 300}},
        ],
        "lasts": {"kind": "end_of_period", "period": "year", "after": 1},
        "steps_down": 1,
    },
}  # fmt: skip
for _rule in PROGRAM["earning"]:
    _rule.update({"on": ["purchase"], "unit": _rule.get("unit", "point")})

RULES = ("base", "tier", "fruit", "app", "welcome", "offer", "slow")
COVERED = {"month": ("base", "fruit", "slow"), "year": RULES}
LIMIT = {"month": 300, "year": 700}
MOST, BUDGET, PER_TRANSACTION, GIVEN = 450, 300, 250, 90
LEVELS = (("member", 0, 0), ("silver", 150, 50), ("gold", 300, 100))
ENDED = {
    "held": "hold_open", "captured": "hold_captured", "cancelled": "hold_captured", "released": "hold_released",
    "expired": "hold_expired",
}  # fmt: skip
"""What is said of a hold that is not as it would have to be."""

Member = dict[str, Any]
Lot = dict[str, Any]


def day_of(at: datetime) -> date:
    return at.astimezone(ZONE).date()


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), ZONE).astimezone(UTC)


def months_later(day: date, months: int) -> date:
    """S3: it falls back to the last day of a shorter month."""
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    first_of_next = date(year + month // 12, month % 12 + 1, 1)
    return min(
        first_of_next - timedelta(days=1), date(year, month, min(day.day, 28)) + timedelta(days=max(day.day - 28, 0))
    )


def anniversary(day: date, years: int) -> date:
    """S3: where there is no 29 February it becomes the 28th."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


class Reference:
    """All members of the village, and what they share."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.drawn = 0
        self.people: dict[tuple[str, date], int] = {}

    def enrol(self, name: str, at: datetime, person: str) -> None:
        self.members[name] = {
            "at": at, "enrolled": day_of(at), "person": person, "lots": [], "owed": 0, "posted": 0, "counted": {},
            "limits": {}, "refused": [], "holds": {}, "activities": {}, "steps": {}, "given": {}, "tier": 0,
            "since": at, "until": None, "before": None, "season": None, "stood": [], "earned": 0, "spent": 0,
            "expired": 0, "reversed": 0, "adjusted": 0,
        }  # fmt: skip

    # What stands. ----------------------------------------------------------------------------------------------

    @staticmethod
    def available(member: Member) -> int:
        return sum(lot["remaining"] - lot["held"] for lot in member["lots"])

    @staticmethod
    def held(member: Member) -> int:
        return sum(lot["held"] for lot in member["lots"])

    @staticmethod
    def pending(member: Member) -> int:
        return sum(lot["pending"] for lot in member["lots"])

    def outstanding(self, member: Member) -> int:
        """S6: the balance for a balance cap."""
        return self.available(member) + self.held(member) - int(member["owed"])

    @staticmethod
    def in_order(member: Member) -> list[Lot]:
        """S5: what can be spent, in spending order."""
        free = [lot for lot in member["lots"] if lot["remaining"] > lot["held"]]
        return sorted(free, key=lambda lot: (lot["expires"], lot["earned"], lot["posted"]))

    # Time. -----------------------------------------------------------------------------------------------------

    def pass_time(self, name: str, to: datetime) -> None:
        """S3: at one instant pending is released, then holds time out, then points expire, then tiers are reviewed."""
        member = self.members[name]
        while True:
            due = [(lot["available"], 0) for lot in member["lots"] if lot["pending"]]
            due += [
                (hold["expires"], 1)
                for hold in member["holds"].values()
                if hold["state"] == "held" and hold["expires"] is not None
            ]
            due += [(lot["expires"], 2) for lot in self.in_order(member)]
            due += [(member["until"], 3)] if member["until"] is not None else []
            if not due or min(due)[0] > to:
                break
            at, kind = min(due)
            if kind == 0:
                for lot in [lot for lot in member["lots"] if lot["pending"] and lot["available"] <= at]:
                    lot["remaining"], lot["pending"] = lot["pending"], 0
                    member["earned"] += lot["remaining"]
                    self._came(member, [(lot, lot["remaining"])], at)
            elif kind == 1:
                ended = [
                    (hold["expires"], which)
                    for which, hold in member["holds"].items()
                    if hold["state"] == "held" and hold["expires"] is not None and hold["expires"] <= at
                ]
                self._give_back(member, min(ended)[1], at, "expired")
            elif kind == 2:
                for lot in self.in_order(member):
                    if lot["expires"] <= at:
                        self._expire(member, lot, lot["remaining"] - lot["held"])
            else:
                self._review(member, at)
        member["at"] = max(member["at"], to)

    @staticmethod
    def _expire(member: Member, lot: Lot, amount: int) -> None:
        lot["remaining"] -= amount
        lot["expired"] += amount
        member["expired"] += amount

    def _came(self, member: Member, parts: Iterable[tuple[Lot, int]], at: datetime) -> None:
        """S11: what becomes available pays what is owed first; what has ended meanwhile expires (S12)."""
        for lot, amount in parts:
            if lot["expires"] <= at:
                self._expire(member, lot, amount)
                continue
            paid = min(amount, member["owed"])
            lot["remaining"] -= paid
            member["owed"] -= paid

    def _new_lot(self, member: Member, rule: str, amount: int, earned: datetime, expires: datetime, **more: Any) -> Lot:
        member["posted"] += 1
        lot = {
            "rule": rule, "activity": "", "remaining": amount, "held": 0, "pending": 0, "expired": 0, "earned": earned,
            "available": earned, "expires": expires, "posted": member["posted"], **more,
        }  # fmt: skip
        member["lots"].append(lot)
        return lot

    # Earning. --------------------------------------------------------------------------------------------------

    def buy(self, name: str, id_: str, at: datetime, occurred: datetime, lines: list[Any], channel: str) -> Any:
        """Return what it earned and what was cut, by rule; or the code of a refusal."""
        self.pass_time(name, at)
        member = self.members[name]
        # S9: accepted to the end of the day two months later.
        if at >= midnight(months_later(day_of(occurred), 2) + timedelta(days=1)):
            return "claim_too_late"
        percent = LEVELS[self._tier_at(member, occurred)][2]
        activity: dict[str, Any] = {
            "id": id_, "occurred": occurred, "channel": channel, "percent": percent, "granted": {}, "clawed": {},
            "lines": [dict(line, kept=line["amount"], back=0) for line in lines], "used": [],
        }  # fmt: skip
        computed = self._computed(activity)
        day = day_of(occurred)
        if member["limits"].get(day):
            computed["app"] = 0
        person = (member["person"], date(day.year, 1, 1))
        if self.people.get(person):
            computed["welcome"] = 0
        awards: dict[str, int] = {}
        capped: dict[str, dict[str, int]] = {}
        waiting = 0
        for rule in RULES:
            if not computed[rule]:
                continue
            amount, reason = self._cut(member, activity, rule, computed[rule], waiting)
            if amount < computed[rule]:
                capped[rule] = {reason: computed[rule] - amount}
            self._use(member, activity, rule)
            activity["granted"][rule] = amount
            if not amount:
                continue
            if rule == "offer":
                self.drawn += amount
            awards[rule] = amount
            self._count(member, rule, occurred, amount)
            waiting += self._grant(member, activity, rule, amount)["pending"]
        self._pay_with([lot for lot in member["lots"] if lot["activity"] == id_], member)
        member["activities"][id_] = activity
        self._step(member, occurred, sum(line["amount"] for line in lines) // 100, activity)
        self.pass_time(name, at)
        return awards, capped

    def _cut(self, member: Member, activity: dict[str, Any], rule: str, computed: int, waiting: int) -> tuple[int, str]:
        """S6: per transaction, per window, by balance; then the budget. The one that left least room is the reason."""
        occurred = activity["occurred"]
        amount, reason = computed, ""
        if rule == "base" and amount > PER_TRANSACTION:
            amount, reason = PER_TRANSACTION, "transaction_cap"
        after_transaction, window = amount, None
        for cap, rules in COVERED.items():
            key = self._window(member, cap, occurred)
            room = LIMIT[cap] - member["counted"].get(key, 0)
            if rule in rules and room < amount:
                amount, reason, window = max(room, 0), "window_cap", key
        # More may be outstanding than a cap allows: gifts and goodwill are not capped. What this purchase grants
        # counts at once, also where it waits.
        room = MOST - self.outstanding(member) - waiting
        if room < amount:
            amount, reason = max(room, 0), "balance_cap"
        if rule == "offer" and BUDGET - self.drawn < amount:
            amount, reason = BUDGET - self.drawn, "budget"
        if reason == "window_cap" and rule != "offer":
            refused = {"activity": activity["id"], "rule": rule, "window": window, "occurred": occurred}
            place = {"posted": len(member["activities"]), "left": after_transaction - amount}
            member["refused"].append({**refused, **place})
        return amount, reason

    def _use(self, member: Member, activity: dict[str, Any], rule: str) -> None:
        """A limit counts that a rule earned; what caps refuse is used all the same."""
        day = day_of(activity["occurred"])
        if rule == "app":
            member["limits"][day] = member["limits"].get(day, 0) + 1
            activity["used"].append(rule)
        if rule == "welcome":
            person = (member["person"], date(day.year, 1, 1))
            self.people[person] = self.people.get(person, 0) + 1
            activity["used"].append(rule)
            activity["person"] = person

    @staticmethod
    def _pay_with(lots: Iterable[Lot], member: Member) -> None:
        """S11: what is granted pays what is owed first, in the order in which it was granted."""
        for lot in lots:
            paid = min(lot["remaining"], member["owed"])
            lot["remaining"] -= paid
            member["owed"] -= paid

    def _computed(self, activity: dict[str, Any]) -> dict[str, int]:
        """S2: rounded down, once for each component, of what is kept of the activity."""
        amount = sum(line["kept"] for line in activity["lines"])
        fruit = sum(line["kept"] for line in activity["lines"] if line["category"] == "FRUIT")
        there, web, base = amount > 0, activity["channel"] == "web", amount * 5 // 100
        return {
            "base": base,
            "tier": base * activity["percent"] // 100,
            "fruit": fruit * 2 // 100,
            "app": 30 if there and activity["channel"] == "app" else 0,
            "welcome": 40 if there else 0,
            "offer": amount * 3 // 100 if web else 0,
            "slow": 20 if there and web else 0,
        }

    def _grant(self, member: Member, activity: dict[str, Any], rule: str, amount: int) -> Lot:
        occurred = activity["occurred"]
        expires = midnight(months_later(day_of(occurred), 2))
        lot = self._new_lot(member, rule, amount, occurred, expires, activity=activity["id"])
        if rule == "slow":
            lot["available"] = midnight(day_of(occurred) + timedelta(days=5))
            lot["remaining"], lot["pending"] = 0, amount
        else:
            member["earned"] += amount
        return lot

    def _window(self, member: Member, cap: str, at: datetime) -> tuple[str, datetime]:
        """S7: both half-open, by the time of the transaction."""
        day = day_of(at)
        if cap == "month":
            return cap, midnight(day.replace(day=1))
        years = day.year - member["enrolled"].year
        if anniversary(member["enrolled"], years) > day:
            years -= 1
        return cap, midnight(anniversary(member["enrolled"], years))

    def _count(self, member: Member, rule: str, occurred: datetime, amount: int) -> None:
        for cap, rules in COVERED.items():
            if rule in rules:
                key = self._window(member, cap, occurred)
                member["counted"][key] = member["counted"].get(key, 0) + amount

    # Returns. --------------------------------------------------------------------------------------------------

    def give_back(self, name: str, of: str, at: datetime, lines: list[tuple[int, int]] | None) -> Any:
        """Return what each rule gives back and what is refilled; `lines` are (place, quantity), or everything."""
        self.pass_time(name, at)
        member = self.members[name]
        activity = member["activities"][of]
        left = [line["quantity"] - line["back"] for line in activity["lines"]]
        places = list(enumerate(left)) if lines is None else lines
        if not any(quantity for _, quantity in places) or any(quantity > left[place] for place, quantity in places):
            return "over_returned"
        before = self._computed(activity)
        amount_before = sum(line["kept"] for line in activity["lines"])
        for place, quantity in places:
            line = activity["lines"][place]
            line["back"] += quantity
            # Half up, and cumulatively, so that all parts make the line.
            line["kept"] = line["amount"] - (2 * line["amount"] * line["back"] + line["quantity"]) // (
                2 * line["quantity"]
            )
        kept = self._computed(activity)
        reversals: dict[str, dict[str, int]] = {}
        freed: dict[tuple[str, datetime], int] = {}
        for rule, granted in activity["granted"].items():
            clawback = granted - min(granted, kept[rule]) - activity["clawed"].get(rule, 0)
            if clawback <= 0:
                continue
            activity["clawed"][rule] = activity["clawed"].get(rule, 0) + clawback
            reversals[rule] = self._claw_back(member, of, rule, clawback)
            for cap, rules in COVERED.items():
                if rule in rules:
                    key = self._window(member, cap, activity["occurred"])
                    member["counted"][key] -= clawback
                    freed[key] = freed.get(key, 0) + clawback
        for rule in activity["used"]:
            if before[rule] and not kept[rule]:
                if rule == "app":
                    member["limits"][day_of(activity["occurred"])] -= 1
                else:
                    self.people[activity["person"]] -= 1
        for refused in member["refused"]:
            if refused["activity"] == of:
                rule = refused["rule"]
                most = min(kept[rule], PER_TRANSACTION) if rule == "base" else kept[rule]
                refused["left"] = min(refused["left"], max(most - activity["granted"][rule], 0))
        refilled = self._refill(member, freed)
        self._unstep(member, activity, amount_before // 100, sum(line["kept"] for line in activity["lines"]) // 100)
        self.pass_time(name, at)
        return reversals, refilled

    def _claw_back(self, member: Member, of: str, rule: str, amount: int) -> dict[str, int]:
        """S10: from the lot itself, not for what has expired of it, then from others in spending order; S11: owed."""
        missing, expired = amount, 0
        own = [lot for lot in member["lots"] if (lot["activity"], lot["rule"]) == (of, rule)]
        for lot in own:
            part = min(lot["pending"], missing)
            lot["pending"] -= part
            missing -= part
        gone = amount - missing
        for lot in own:
            part = min(lot["remaining"] - lot["held"], missing)
            lot["remaining"] -= part
            missing -= part
        for lot in own:
            part = min(lot["expired"], missing)
            lot["expired"] -= part
            expired += part
            missing -= part
        for lot in self.in_order(member):
            part = min(lot["remaining"] - lot["held"], missing)
            lot["remaining"] -= part
            missing -= part
        member["owed"] += missing
        member["reversed"] += amount - gone - expired
        return {"amount": amount, "taken": amount - expired - missing, "expired": expired, "owed": missing}

    def _refill(self, member: Member, freed: dict[tuple[str, datetime], int]) -> dict[str, int]:
        """S10: oldest first, what the window's cap had refused, up to the room that was freed."""
        refilled: dict[str, int] = {}
        fresh: list[Lot] = []
        waiting = 0
        for window in sorted(freed, key=lambda key: list(COVERED).index(key[0])):
            room = freed[window]
            # Equally old ones in the order in which they were posted, those of one purchase by the rules' names.
            oldest = sorted(member["refused"], key=lambda each: (each["occurred"], each["posted"], each["rule"]))
            for refused in oldest:
                if refused["window"] != window or room <= 0:
                    continue
                activity, rule = member["activities"][refused["activity"]], refused["rule"]
                rooms = [
                    LIMIT[cap] - member["counted"].get(self._window(member, cap, activity["occurred"]), 0)
                    for cap, rules in COVERED.items()
                    if rule in rules
                ]
                amount = min(refused["left"], room, MOST - self.outstanding(member) - waiting, *rooms)
                if amount <= 0:
                    continue
                refused["left"] -= amount
                room -= amount
                self._count(member, rule, activity["occurred"], amount)
                activity["granted"][rule] += amount
                lot = self._grant(member, activity, rule, amount)
                waiting += lot["pending"]
                fresh.append(lot)
                refilled[rule] = refilled.get(rule, 0) + amount
        self._pay_with(fresh, member)
        return refilled

    # Tiers. ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _tier_at(member: Member, at: datetime) -> int:
        """S9: the tier in force at the time of the purchase."""
        stood = [tier for since, tier in member["stood"] if since <= at]
        return stood[-1] if stood else 0

    @staticmethod
    def _fitting(member: Member, year: int) -> int:
        steps = member["steps"].get(year, 0)
        return max(place for place, (_, needs, _) in enumerate(LEVELS) if steps >= needs)

    @staticmethod
    def _stand(member: Member, tier: int, since: datetime, until: datetime | None) -> None:
        # No history is rewritten: it is dated no earlier than the last change.
        since = max([since, *[at for at, _ in member["stood"][-1:]]])
        if tier != member["tier"]:
            member["stood"].append((since, tier))
            member["since"] = since
        member["tier"], member["until"] = tier, until

    def _step(self, member: Member, occurred: datetime, steps: int, activity: dict[str, Any]) -> None:
        """S15: up at once, to the end of the next year."""
        activity["steps"] = steps
        if not steps:
            return
        year = day_of(occurred).year
        member["steps"][year] = member["steps"].get(year, 0) + steps
        fitting, until = self._fitting(member, year), midnight(date(year + 2, 1, 1))
        if not fitting or until <= member["at"]:
            return
        if fitting > member["tier"] or (fitting == member["tier"] and until > member["until"]):
            if member["season"] != year:
                member["before"] = (member["tier"], member["since"], member["until"])
                member["season"] = year
            self._stand(member, fitting, occurred, until)

    def _unstep(self, member: Member, activity: dict[str, Any], before: int, kept: int) -> None:
        """A return takes progress, and the tier that it led to; nobody falls below what stood before."""
        year = day_of(activity["occurred"]).year
        if before == kept:
            return
        member["steps"][year] -= before - kept
        if member["season"] != year or member["before"] is None:
            return
        fitting = self._fitting(member, year)
        if fitting >= member["tier"]:
            return
        tier, _, until = member["before"]
        if fitting and fitting >= tier:
            self._stand(member, fitting, member["at"], midnight(date(year + 2, 1, 1)))
        else:
            member["before"] = member["season"] = None
            self._stand(member, tier, member["at"], until)

    def _review(self, member: Member, at: datetime) -> None:
        """S15: then the tier earned in that year, but at most one step down a year."""
        year = day_of(at).year
        fitting = self._fitting(member, year - 1)
        tier = member["tier"] if fitting >= member["tier"] else max(fitting, member["tier"] - 1)
        member["before"] = member["season"] = None
        self._stand(member, tier, at, midnight(date(year + 1, 1, 1)) if tier else None)

    # Holds. ----------------------------------------------------------------------------------------------------

    def hold(self, name: str, hold: str, at: datetime, amount: int, seconds: int | None) -> Any:
        """S12: the lots that expire first; all or nothing."""
        self.pass_time(name, at)
        member = self.members[name]
        available = self.available(member)
        if amount > available:
            return "insufficient_points", available, amount - available + member["owed"]
        parts = []
        for lot in self.in_order(member):
            part = min(lot["remaining"] - lot["held"], amount)
            if part:
                lot["held"] += part
                parts.append([lot, part])
                amount -= part
        ends = member["at"] + timedelta(seconds=seconds) if seconds is not None else None
        member["holds"][hold] = {"state": "held", "parts": parts, "expires": ends, "captured": 0}
        return None

    def _give_back(self, member: Member, hold: str, at: datetime, state: str) -> None:
        known = member["holds"][hold]
        for lot, part in known["parts"]:
            lot["held"] -= part
        self._came(member, known["parts"], at)
        known["state"], known["parts"] = state, []

    def release(self, name: str, hold: str, at: datetime) -> str | None:
        self.pass_time(name, at)
        known = self.members[name]["holds"][hold]
        if known["state"] != "held":
            return ENDED[known["state"]]
        self._give_back(self.members[name], hold, self.members[name]["at"], "released")
        return None

    def capture(self, name: str, hold: str, at: datetime, amount: int | None) -> str | None:
        """Whole, or a part of it from what expires first; the rest is released."""
        self.pass_time(name, at)
        member = self.members[name]
        known = member["holds"][hold]
        if known["state"] != "held":
            return ENDED[known["state"]]
        whole = sum(part for _, part in known["parts"])
        left = whole if amount is None else amount
        if left > whole:
            return "insufficient_points"
        spent, rest = [], []
        for lot, part in known["parts"]:
            lot["held"] -= part
            taken = min(part, left)
            left -= taken
            lot["remaining"] -= taken
            member["spent"] += taken
            spent += [[lot, taken]] if taken else []
            rest += [(lot, part - taken)] if part > taken else []
        self._came(member, rest, member["at"])
        known["state"], known["parts"], known["captured"] = "captured", spent, sum(part for _, part in spent)
        return None

    def cancel(self, name: str, hold: str, at: datetime, amount: int | None, by: str) -> str | None:
        """S13: back to the lots they came from; what has ended expires, or by the provider's fault lasts 90 days."""
        self.pass_time(name, at)
        member = self.members[name]
        now = member["at"]
        known = member["holds"][hold]
        if known["state"] not in {"captured", "cancelled"}:
            return ENDED[known["state"]]
        left = known["captured"] if amount is None else amount
        if not 0 < left <= known["captured"]:
            return "over_returned"
        known["captured"] -= left
        member["spent"] -= left
        good: list[tuple[Lot, int]] = []
        renewed: dict[str, int] = {}
        # Of a part, what was spent last comes back.
        for pair in reversed(known["parts"]):
            lot, part = pair[0], min(pair[1], left)
            left -= part
            pair[1] -= part
            if not part:
                continue
            if lot["expires"] > now:
                lot["remaining"] += part
                good.insert(0, (lot, part))
            elif by == "provider":
                renewed[lot["rule"]] = renewed.pop(lot["rule"], 0) + part
            else:
                lot["remaining"] += part
                self._expire(member, lot, part)
        expires = midnight(day_of(now) + timedelta(days=90))
        # One for all of a rule, those first that were spent first.
        rules = reversed(renewed.items())
        fresh = [(self._new_lot(member, rule, part, now, expires), part) for rule, part in rules]
        self._came(member, [*good, *fresh], now)
        known["parts"] = [pair for pair in known["parts"] if pair[1]]
        known["state"] = "captured" if known["captured"] else "cancelled"
        return None

    # Among members. --------------------------------------------------------------------------------------------

    def give(self, giver: str, to: str, at: datetime, amount: int) -> Any:
        """Lots go with all that they are; those that are alike become one."""
        self.pass_time(giver, at)
        self.pass_time(to, at)
        now = max(self.members[giver]["at"], self.members[to]["at"])
        one, other = self.members[giver], self.members[to]
        day = day_of(now)
        left = GIVEN - one["given"].get(day, 0)
        if amount > left:
            return "limit_reached"
        available = self.available(one)
        if amount > available:
            return "insufficient_points", available, amount - available + one["owed"]
        one["given"][day] = one["given"].get(day, 0) + amount
        one["adjusted"] -= amount
        other["adjusted"] += amount
        moved: dict[Any, int] = {}
        for lot in self.in_order(one):
            part = min(lot["remaining"] - lot["held"], amount)
            amount -= part
            lot["remaining"] -= part
            if part:
                alike = (lot["rule"], lot["earned"], lot["available"], lot["expires"])
                moved[alike] = moved.get(alike, 0) + part
        one["at"] = other["at"] = now
        for (rule, earned, available_at, expires), part in moved.items():
            lot = self._new_lot(other, rule, part, earned, expires, available=available_at)
            self._pay_with([lot], other)
        return None

    def adjust(self, name: str, at: datetime, amount: int, *, may_owe: bool) -> Any:
        """A person's decision: what is taken for another reason than a correction must be there."""
        self.pass_time(name, at)
        member = self.members[name]
        if amount > 0:
            # Goodwill lasts twelve months, a correction as long as what is earned.
            until = midnight(months_later(day_of(member["at"]), 2 if may_owe else 12))
            lot = self._new_lot(member, "adjustment", amount, member["at"], until)
            member["adjusted"] += amount
            self._came(member, [(lot, amount)], member["at"])
            return None
        missing = -amount
        available = self.available(member)
        if missing > available and not may_owe:
            return "insufficient_points", available, missing - available + member["owed"]
        for lot in self.in_order(member):
            part = min(lot["remaining"] - lot["held"], missing)
            lot["remaining"] -= part
            missing -= part
        member["owed"] += missing
        member["adjusted"] += amount
        return None

    # As it is compared. ----------------------------------------------------------------------------------------

    def shown(self, name: str) -> dict[str, Any]:
        """Return all of a member that anybody can see."""
        member = self.members[name]
        return {
            "available": self.available(member), "held": self.held(member), "pending": self.pending(member),
            **{total: member[total] for total in ("owed", "earned", "spent", "expired", "reversed", "adjusted")},
            "lots": sorted(
                (lot["rule"], lot["earned"], lot["expires"], lot["remaining"], lot["held"], lot["pending"])
                for lot in member["lots"]
                if lot["remaining"] or lot["pending"]
            ),
            "caps": {key: counted for key, counted in sorted(member["counted"].items()) if counted},
            "app": {midnight(day): times for day, times in sorted(member["limits"].items()) if times},
            "given": {midnight(day): points for day, points in sorted(member["given"].items()) if points},
            "refused": sorted(
                (each["activity"], each["rule"], each["left"]) for each in member["refused"] if each["left"]
            ),
            "holds": {hold: (each["state"], each["captured"]) for hold, each in sorted(member["holds"].items())},
            "steps": {year: steps for year, steps in sorted(member["steps"].items()) if steps},
            "tier": (LEVELS[member["tier"]][0], member["since"], member["until"]),
        }  # fmt: skip
