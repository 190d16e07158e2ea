"""Facts become events of the contract: what other services and systems hear of a decision."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from laurel.calendars import local_date
from laurel.contracts import points as said
from laurel.contracts.envelope import Cause
from laurel.shapes import struct_of
from services.points.domain import facts as f
from services.points.domain.moment import Programs
from services.points.domain.state import Balance
from services.points.domain.tiering import Shown, changed
from services.points.ports import Announcement, Decided

_encode = msgspec.json.Encoder().encode
_ONE_DAY = timedelta(days=1)
_Award: Any = struct_of(said.Award)
_Balance: Any = struct_of(said.Balance)
_Cause: Any = struct_of(Cause)
_Benefit: Any = struct_of(said.Benefit)
_Challenge: Any = struct_of(said.Challenge)
_NextTier: Any = struct_of(said.NextTier)
_Progress: Any = struct_of(said.Progress)
_Standing: Any = struct_of(said.Standing)
_TierSeen: Any = struct_of(said.TierSeen)
_ExpiredLot: Any = struct_of(said.ExpiredLot)
_Funding: Any = struct_of(said.Funding)
_Lifetime: Any = struct_of(said.Lifetime)
_LotAmount: Any = struct_of(said.LotAmount)
_NextExpiry: Any = struct_of(said.NextExpiry)
_Reversal: Any = struct_of(said.Reversal)
_RuleDecision: Any = struct_of(said.RuleDecision)


def announce(decided: Decided, programs: Programs) -> Iterable[Announcement]:
    """Return the events of one decision. A journal makes one, but for what falls due with a release."""
    journal, message = decided.journal, decided.message
    wallet = journal.wallet
    zone = programs.zone(wallet.program)
    common: dict[str, Any] = {
        "program": wallet.program,
        "member": wallet.member,
        "at": journal.at,
        "cause": _Cause(kind=journal.kind, id=journal.cause),
        "version": decided.version,
    }
    balances = [_balance(balance, wallet.balances[balance.unit], zone) for balance in decided.balances]
    for fact in journal.facts:
        if type(fact) is f.TierChanged:
            contract, fields = _tier_changed(fact, decided, programs)
        elif type(fact) is f.TierKept and message is None:
            # What an activity keeps is said with the activity; what time keeps is said by itself.
            contract, fields = _tier_kept(fact, zone)
        else:
            build = _EVENTS.get(type(fact))
            if build is None:
                continue
            contract, fields = build(fact, decided)
        if contract is not said.MemberEnrolled:
            fields["balances"] = balances
            if decided.standing is not None:
                fields["standing"] = _standing(decided.standing, zone)
        shape: Any = struct_of(contract)
        yield Announcement(
            wallet.program,
            wallet.member,
            contract.TYPE,
            _encode(shape(**common, **fields)),
            journal.at,
            message.id if message is not None else "",
            message.correlation if message is not None else "",
            message.traceparent if message is not None else "",
        )


def balances_of(balances: Iterable[Balance], zone: ZoneInfo) -> list[Any]:
    """Return balances in the contract's shape, for reads."""
    return [_balance(balance, balance, zone) for balance in balances]


def _balance(balance: Balance, final: Balance, zone: ZoneInfo) -> said.Balance:
    """Say a balance as it stood; its next expiry is read after the write, so it is that of the final one."""
    next_expiry = None
    if final.next_expiry_at is not None and final.next_expiry_amount > 0:
        next_expiry = _NextExpiry(amount=final.next_expiry_amount, on=last_good_day(final.next_expiry_at, zone))
    elif balance.active_until is not None and balance.available > 0:
        next_expiry = _NextExpiry(amount=balance.available, on=last_good_day(balance.active_until, zone))
    built: said.Balance = _Balance(
        unit=balance.unit,
        available=balance.available,
        pending=balance.pending,
        held=balance.held,
        owed=balance.owed,
        lifetime=_Lifetime(
            earned=balance.earned,
            spent=balance.spent,
            expired=balance.expired,
            reversed=balance.reversed,
            adjusted=balance.adjusted,
        ),
        next_expiry=next_expiry,
    )
    return built


@lru_cache(maxsize=8192)
def last_good_day(expires_at: datetime, zone: ZoneInfo) -> date:
    """Return the day before the local midnight at which something ends (S3)."""
    return local_date(expires_at, zone) - _ONE_DAY


def lot_id(name: f.LotName) -> str:
    """Return a lot's name within its member, as callers see it."""
    return str(name)


def _lots(parts: Iterable[f.LotPart]) -> list[Any]:
    return [_LotAmount(lot=lot_id(part.name), amount=part.amount) for part in parts]


def _decision(judged: Iterable[f.RuleJudged]) -> list[Any]:
    return [
        _RuleDecision(rule=j.rule, fired=j.fired, reason=j.reason, computed=j.computed, amount=j.amount) for j in judged
    ]


def _enrolled(fact: f.MemberEnrolled, _decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.MemberEnrolled, {
        "enrolled_at": fact.enrolled_at,
        "person": fact.person,
        "attributes": fact.attributes,
    }


def _awards(decided: Decided) -> list[Any]:
    journal = decided.journal
    return [
        _Award(
            member=journal.wallet.member,
            activity=fact.activity,
            rule=fact.rule,
            unit=fact.unit,
            amount=fact.amount,
            state="available",
            available_at=fact.available_at,
            expires_at=fact.expires_at,
            lot=f"{journal.number}.{fact.lot}",
            funding=[_Funding(partner=fact.funder, amount=fact.amount)],
        )
        for fact in journal.facts
        if type(fact) is f.PointsGranted
    ]


def _posted(fact: f.ActivityPosted, decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.PointsAwarded, {
        "activity": fact.activity,
        "partner": fact.partner,
        "awards": _awards(decided),
        "decision": _decision(fact.decision),
        "tier": _tier_seen(fact, decided),
    }


def _refused(fact: f.ActivityRefused, _decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.ActivityRefused, {
        "activity": fact.activity,
        "partner": fact.partner,
        "code": fact.code,
        "detail": fact.detail,
    }


def _returned(fact: f.ActivityReturned, decided: Decided) -> tuple[Any, dict[str, Any]]:
    reversals = [
        _Reversal(
            rule=back.rule,
            unit=back.unit,
            amount=back.amount,
            taken=sum(part.amount for part in back.taken),
            expired=back.expired,
            owed=back.owed,
        )
        for back in decided.journal.facts
        if type(back) is f.PointsClawedBack
    ]
    return said.PointsClawedBack, {
        "activity": fact.activity,
        "of": fact.of,
        "partner": fact.partner,
        "reversals": reversals,
        "awards": _awards(decided),
        "decision": _decision(fact.decision),
        "tier": _tier_seen(fact, decided),
    }


def _held(fact: f.PointsHeld, _decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.PointsHeld, _hold(fact)


def _hold_refused(fact: f.HoldRefused, _decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.HoldRefused, {
        "hold": fact.hold,
        "unit": fact.unit,
        "amount": fact.amount,
        "code": fact.code,
        "available": fact.available,
        "shortfall": fact.shortfall,
    }


def _captured(fact: f.PointsCaptured, _decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.PointsCaptured, _hold(fact)


def _released(fact: f.PointsReleased, _decided: Decided) -> tuple[Any, dict[str, Any]]:
    fields = _hold(fact)
    fields["unit"] = fact.unit or "-"
    return said.PointsReleased, fields


def _hold(fact: f.PointsHeld | f.PointsCaptured | f.PointsReleased) -> dict[str, Any]:
    return {"hold": fact.hold, "unit": fact.unit, "amount": fact.amount, "lots": _lots(fact.parts)}


def _expired(fact: f.LotsExpired, _decided: Decided) -> tuple[Any, dict[str, Any]]:
    lots = [_ExpiredLot(lot=lot_id(part.name), unit=fact.unit, amount=part.amount) for part in fact.parts]
    return said.PointsExpired, {"lots": lots}


def _tier_seen(fact: f.ActivityPosted | f.ActivityReturned, decided: Decided) -> said.TierSeen | None:
    """Say the tier after an activity; nothing where the program has none."""
    if not fact.stands:
        return None
    change = changed(decided.journal.facts)
    name = fact.stands if change is None else change.after
    seen: said.TierSeen = _TierSeen(name=name, changed=change is not None)
    return seen


def _standing(shown: Shown, zone: ZoneInfo) -> said.Standing:
    standing = shown.standing
    built: said.Standing = _Standing(
        name=standing.tier,
        since=local_date(standing.since_at, zone),
        until=None if standing.until_at is None else last_good_day(standing.until_at, zone),
        years=shown.years,
        years_from=shown.years_from,
        benefits=[_Benefit(name=each.name, value=each.value) for each in shown.benefits],
        progress=[
            _Progress(
                counter=each.counter,
                value=each.value,
                from_=each.first,
                until=each.last,
                next=None if each.tier is None else _NextTier(tier=each.tier, needs=each.needs or 0),
            )
            for each in shown.progress
        ],
    )
    return built


def _tier_changed(fact: f.TierChanged, decided: Decided, programs: Programs) -> tuple[Any, dict[str, Any]]:
    zone = programs.zone(decided.journal.wallet.program)
    standing, challenge = fact.standing, None
    matched = standing.matched if fact.reason == "matched" else None
    if matched is not None:
        until = last_good_day(matched.until_at, zone)
        challenge = _Challenge(counter=matched.counter, needs=matched.needs, until=until)
    return said.TierChanged, {
        "from_": fact.before,
        "to": fact.after,
        "since": local_date(standing.since_at, zone),
        "until": None if standing.until_at is None else last_good_day(standing.until_at, zone),
        "reason": fact.reason,
        "match": decided.journal.cause if matched is not None else None,
        "challenge": challenge,
    }


def _tier_kept(fact: f.TierKept, zone: ZoneInfo) -> tuple[Any, dict[str, Any]]:
    standing = fact.standing
    return said.TierKept, {
        "tier": standing.tier,
        "until": None if standing.until_at is None else last_good_day(standing.until_at, zone),
        "reason": fact.reason,
    }


def _match_refused(fact: f.StatusMatchRefused, _decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.TierMatchRefused, {
        "match": fact.match,
        "tier": fact.tier,
        "code": fact.code,
        "detail": fact.detail,
    }


_EVENTS: dict[type, Any] = {
    f.MemberEnrolled: _enrolled,
    f.ActivityPosted: _posted,
    f.ActivityRefused: _refused,
    f.ActivityReturned: _returned,
    f.PointsHeld: _held,
    f.HoldRefused: _hold_refused,
    f.PointsCaptured: _captured,
    f.PointsReleased: _released,
    f.LotsExpired: _expired,
    f.StatusMatchRefused: _match_refused,
}
