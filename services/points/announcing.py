"""Facts become events of the contract: what other services and systems hear of a decision."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from laurel.calendars import local_date
from laurel.contracts import points as said
from laurel.contracts.envelope import Cause, Event
from laurel.program.caps import COUNTER_OF_A_CAP
from laurel.shapes import struct_of
from services.points.announcing_adjustments import EVENTS as ADJUSTMENTS
from services.points.announcing_holds import EVENTS as HOLDS
from services.points.announcing_parts import last_good_day, lot_id, lots_said
from services.points.announcing_sharing import EVENTS as SHARING
from services.points.announcing_standing import EVENTS as STANDING
from services.points.announcing_standing import (
    segments_changed,
    segments_moved,
    standing_said,
    tier_changed,
    tier_kept,
    tier_seen,
)
from services.points.domain import facts as f
from services.points.domain.moment import Programs
from services.points.domain.state import Balance, Posting
from services.points.domain.turning import Counts
from services.points.ports import Announcement, Decided, Turn

_encode = msgspec.json.Encoder().encode
_Award: Any = struct_of(said.Award)
_Balance: Any = struct_of(said.Balance)
_CappedAward: Any = struct_of(said.CappedAward)
_Cause: Any = struct_of(Cause)
_CounterSeen: Any = struct_of(said.CounterSeen)
_Cut: Any = struct_of(said.Cut)
_TierSeen: Any = struct_of(said.TierSeen)
_Unlisted: Any = struct_of(said.Unlisted)
_WalletSeen: Any = struct_of(said.WalletSeen)
_ExpiredLot: Any = struct_of(said.ExpiredLot)
_Funding: Any = struct_of(said.Funding)
_Lifetime: Any = struct_of(said.Lifetime)
_NextExpiry: Any = struct_of(said.NextExpiry)
_Reversal: Any = struct_of(said.Reversal)
_RuleDecision: Any = struct_of(said.RuleDecision)


def announce(decided: Decided, programs: Programs) -> Iterable[Announcement]:
    """Return the events of one decision: one, but for what caps cut, what falls due with a release, another tier."""
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
    belonged = wallet.segments.held or wallet.segments.past
    segments = segments_moved(journal.facts, zone) if belonged and not decided.again else None
    for contract, fields in _said(decided, zone):
        if "counters" in fields:
            fields["counters"] = [counter_said(each, zone) for each in fields["counters"] if _is_of_a_cap(each)]
        if decided.shared and "others" in fields:
            fields["wallets"] = [_wallet_seen(shared, zone) for shared in decided.shared if shared.balances]
        if contract is not said.MemberEnrolled:
            fields["balances"] = balances
            if decided.standing is not None:
                fields["tier_standing"] = standing_said(decided.standing, zone)
            if segments is not None:
                fields["segments"] = segments
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


def announce_turn(turn: Turn, counts: Counts) -> Announcement:
    """Say that all is done that was due in a program."""
    return _of_turn(
        turn,
        said.ClockTurned,
        turn.as_of,
        released=counts.released,
        holds_timed_out=counts.holds_timed_out,
        lots_expired=counts.lots_expired,
        tiers_changed=counts.tiers_changed,
        converted=counts.converted,
    )


def announce_waits(turn: Turn, until: datetime) -> Announcement:
    """Say that a turn has come to where waits end, and rests until redemption has ended them."""
    return _of_turn(turn, said.EndWaitsRequested, until, until=until)


def _of_turn(turn: Turn, contract: type[Event], at: datetime, **fields: object) -> Announcement:
    shape: Any = struct_of(contract)
    cause = _Cause(kind="message", id=turn.message)
    body = shape(program=turn.program, member=None, at=at, cause=cause, as_of=turn.as_of, **fields)
    said_by = (turn.message, turn.correlation, turn.traceparent)
    return Announcement(turn.program, "", contract.TYPE, _encode(body), at, *said_by)


def _said(decided: Decided, zone: ZoneInfo) -> Iterable[tuple[Any, dict[str, Any]]]:
    for fact in decided.journal.facts:
        build = _EVENTS.get(type(fact))
        if build is not None:
            told = build(fact, decided)
            if told is not None:
                yield told
        # An answer that is given again is not another change.
        elif isinstance(fact, f.TierChanged) and not decided.again:
            yield tier_changed(fact, decided, zone)
        elif isinstance(fact, f.SegmentsChanged) and not decided.again:
            yield segments_changed(fact)
        elif isinstance(fact, f.PendingReleased) and not decided.again:
            yield _available(fact)
        elif isinstance(fact, f.PointsRevived) and not decided.again:
            yield _revived(fact)
        # What an activity keeps is said with the activity; what time keeps is said by itself.
        elif isinstance(fact, f.TierKept) and decided.message is None:
            yield tier_kept(fact, zone)
        # An answer that is given again is not another cut.
        if (
            isinstance(fact, f.ActivityPosted)
            and not decided.again
            and any(judged.capped_by for judged in fact.decision)
        ):
            yield (
                said.PointsCapped,
                {
                    "activity": fact.activity,
                    "partner": fact.partner,
                    "capped": [_capped(judged) for judged in fact.decision if judged.capped_by],
                },
            )


def _wallet_seen(shared: Decided, zone: ZoneInfo) -> said.WalletSeen:
    wallet = shared.journal.wallet
    seen: said.WalletSeen = _WalletSeen(
        member=wallet.member,
        version=shared.version,
        balances=[_balance(balance, wallet.balances[balance.unit], zone) for balance in shared.balances],
        tier_standing=None if shared.standing is None else standing_said(shared.standing, zone),
    )
    return seen


def _is_of_a_cap(counted: f.Counted) -> bool:
    """Say whether a cap counts this: what limits count of rules and gifts goes along with an account, too."""
    return bool(counted.unit) and counted.counter.startswith(COUNTER_OF_A_CAP)


def counter_said(counted: f.Counted, zone: ZoneInfo) -> Any:  # noqa: ANN401  # a Struct made from the contract
    """Say what a cap has counted, in the contract's shape; those of limits are not said."""
    _, name, _ = counted.counter.split("/")
    return _CounterSeen(
        rule=name,
        unit=counted.unit,
        from_=local_date(counted.start, zone) if counted.end is not None else None,
        until=last_good_day(counted.end, zone) if counted.end is not None else None,
        granted=counted.total,
        limit=counted.limit,
    )


def _capped(judged: f.RuleJudged) -> Any:  # noqa: ANN401  # a Struct made from the contract
    return _CappedAward(
        rule=judged.rule,
        unit=judged.unit,
        computed=judged.computed,
        amount=judged.amount,
        capped_by=_cuts(judged),
    )


def _cuts(judged: f.RuleJudged) -> list[Any]:
    return [_Cut(cap=cut.cap, cut=cut.cut) for cut in judged.capped_by]


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


def _decision(judged: Iterable[f.RuleJudged]) -> list[Any]:
    return [
        _RuleDecision(
            rule=j.rule,
            fired=j.fired,
            reason=j.reason,
            computed=j.computed,
            amount=j.amount,
            capped_by=_cuts(j) if j.capped_by else [],
        )
        for j in judged
    ]


def _unlisted(posted: f.ActivityPosted | Posting) -> Any:  # noqa: ANN401  # a Struct made from the contract
    """Say by what the rules speak that a brief decision leaves out."""
    if not posted.brief:
        return None
    return _Unlisted(version=posted.version, type=posted.type, occurred_at=posted.occurred_at)


def _enrolled(fact: f.MemberEnrolled, _decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.MemberEnrolled, {
        "enrolled_at": fact.enrolled_at,
        "person": fact.person,
        "attributes": fact.attributes,
    }


def _member_changed(fact: f.MemberChanged, _decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.MemberChanged, {"change": fact.change, "person": fact.person, "attributes": fact.attributes}


def _member_closed(fact: f.MemberClosed, _decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.MemberClosed, {"change": fact.change}


def _member_erased(fact: f.MemberErased, _decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.MemberErased, {"change": fact.change, "of": fact.of, "accounts": list(fact.accounts)}


def _change_refused(fact: f.MemberChangeRefused, _decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.MemberChangeRefused, {
        "change": fact.change,
        "asked": fact.asked,
        "code": fact.code,
        "detail": fact.detail,
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
            state="pending" if _is_pending(fact, decided) else "available",
            available_at=fact.available_at,
            expires_at=fact.expires_at,
            lot=f"{journal.number}.{fact.lot}",
            funding=[_Funding(partner=fact.funder, amount=fact.amount)],
        )
        for fact in journal.facts
        if type(fact) is f.PointsGranted
    ]


def _is_pending(fact: f.PointsGranted, decided: Decided) -> bool:
    return bool(fact.awaits) or (fact.unfunded and not decided.funded)


def _posted(fact: f.ActivityPosted, decided: Decided) -> tuple[Any, dict[str, Any]]:
    grants = [each for each in decided.journal.facts if type(each) is f.PointsGranted]
    if grants and grants[0].unfunded and not decided.funded:
        return said.ActivityPending, {
            "activity": fact.activity,
            "partner": fact.partner,
            "code": "pending_funding",
            "awards": _awards(decided),
            "decision": _decision(fact.decision),
            "counters": fact.counted,
            "tier": tier_seen(fact, decided),
            "unlisted": _unlisted(fact),
        }
    return said.PointsAwarded, {
        "activity": fact.activity,
        "partner": fact.partner,
        "awards": _awards(decided),
        "decision": _decision(fact.decision),
        "counters": fact.counted,
        "tier": tier_seen(fact, decided),
        "others": [award for shared in decided.shared for award in _awards(shared)],
        "share_of": fact.share_of or None,
        "unlisted": _unlisted(fact),
    }


def _funded(fact: f.FundingGiven, decided: Decided) -> tuple[Any, dict[str, Any]]:
    """Say that an activity is posted after all: what it was granted, as far as it was not returned since."""
    wallet = decided.journal.wallet
    released = {
        part.name: part.amount
        for each in decided.journal.facts
        if type(each) is f.PendingReleased
        for part in each.parts
    }
    lots = [lot for name, lot in sorted(wallet.lots.items()) if name.journal == fact.of_journal]
    awards = [
        _Award(
            member=wallet.member,
            activity=lot.activity,
            rule=lot.rule,
            unit=lot.unit,
            amount=released.get(lot.name, lot.pending),
            state="available" if lot.name in released else "pending",
            available_at=lot.available_at,
            expires_at=lot.expires_at,
            lot=lot_id(lot.name),
            funding=[_Funding(partner=lot.funder, amount=released.get(lot.name, lot.pending))],
        )
        for lot in lots
        if released.get(lot.name, lot.pending)
    ]
    posting = wallet.postings[fact.partner, fact.activity]
    return said.PointsAwarded, {
        "activity": fact.activity,
        "partner": fact.partner,
        "awards": awards,
        "decision": _decision(posting.decision),
        "counters": (),
        "tier": _TierSeen(name=fact.stands) if fact.stands else None,
        "unlisted": _unlisted(posting),
    }


def _pending_decided(fact: f.PendingDecided, decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.PendingDecided, {
        "activity": fact.activity,
        "partner": fact.partner,
        "approved": fact.approved,
        "amount": fact.amount,
        "code": fact.code or None,
        "awards": _awards(decided),
        "counters": fact.counted,
        "share_of": fact.share_of or None,
        "ended": fact.ended,
    }


def _available(fact: f.PendingReleased) -> tuple[Any, dict[str, Any]]:
    return said.PointsAvailable, {
        "unit": fact.unit,
        "amount": sum(part.amount for part in fact.parts),
        "reason": fact.reason,
        "lots": lots_said(fact.parts),
        "activity": fact.activity or None,
        "partner": fact.partner or None,
    }


def _refused(fact: f.ActivityRefused, _decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.ActivityRefused, {
        "activity": fact.activity,
        "partner": fact.partner,
        "code": fact.code,
        "detail": fact.detail,
        "facts": fact.facts,
    }


def _returned(fact: f.ActivityReturned, decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.PointsClawedBack, {
        "activity": fact.activity,
        "of": fact.of,
        "partner": fact.partner,
        "reversals": _reversals(decided),
        "awards": _awards(decided),
        "decision": _decision(fact.decision),
        "counters": fact.counted,
        "tier": tier_seen(fact, decided),
        "others": [back for shared in decided.shared for back in _reversals(shared)],
        "share_of": fact.share_of or None,
        "tenders": fact.tenders,
    }


def _reversals(decided: Decided) -> list[Any]:
    return [
        _Reversal(
            rule=back.rule,
            unit=back.unit,
            amount=back.amount,
            taken=sum(part.amount for part in (*back.taken, *back.pending)),
            expired=back.expired,
            owed=back.owed,
        )
        for back in decided.journal.facts
        if type(back) is f.PointsClawedBack
    ]


def _expired(fact: f.LotsExpired, _decided: Decided) -> tuple[Any, dict[str, Any]]:
    lots = [_ExpiredLot(lot=lot_id(part.name), unit=fact.unit, amount=part.amount) for part in fact.parts]
    return said.PointsExpired, {"lots": lots}


def _revived(fact: f.PointsRevived) -> tuple[Any, dict[str, Any]]:
    return said.PointsRevived, {
        "unit": fact.unit,
        "amount": sum(part.amount for part in fact.parts),
        "lots": lots_said(fact.parts),
        "activity": fact.activity,
        "partner": fact.partner,
    }


def _converted(fact: f.PointsConverted, decided: Decided) -> tuple[Any, dict[str, Any]]:
    return said.PointsConverted, {
        "conversion": fact.conversion,
        "unit": fact.unit,
        "amount": fact.amount,
        "voucher": fact.voucher,
        "value": fact.value,
        "currency": fact.currency,
        "due_at": fact.due_at,
        "expires_at": fact.expires_at,
        "not_above_basket": fact.not_above_basket,
        "lots": lots_said(fact.parts),
        "turned_to": decided.turned_to,
    }


_EVENTS: dict[type, Any] = {
    f.MemberEnrolled: _enrolled,
    f.MemberChanged: _member_changed,
    f.MemberClosed: _member_closed,
    f.MemberErased: _member_erased,
    f.MemberChangeRefused: _change_refused,
    f.ActivityPosted: _posted,
    f.FundingGiven: _funded,
    f.PendingDecided: _pending_decided,
    f.ActivityRefused: _refused,
    f.ActivityReturned: _returned,
    f.LotsExpired: _expired,
    f.PointsConverted: _converted,
    **ADJUSTMENTS,
    **HOLDS,
    **SHARING,
    **STANDING,
}
