"""Time takes its due before a message is decided (S3): pending points are released, holds time out, lots expire,
tiers are reviewed, and points become vouchers. What ends while it is pending is given up.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from services.points.domain.birthdays import birthday_due, celebrate
from services.points.domain.converting import convert
from services.points.domain.facts import AnyFact, LotPart, LotsExpired
from services.points.domain.giving_up import give_up_ended, next_given_up
from services.points.domain.moment import Moment, Programs
from services.points.domain.pending import next_release, release_due
from services.points.domain.releasing import give_back
from services.points.domain.segmenting import over, segments_end_at
from services.points.domain.shared import Shared
from services.points.domain.state import Hold, Wallet
from services.points.domain.tiering import reviewed, tier_due_at


def due(
    wallet: Wallet, until: datetime, programs: Programs, shared: Shared
) -> Iterator[tuple[datetime, tuple[AnyFact, ...]]]:
    """Yield what is due up to and including `until`, in order of due time, as (instant, facts).

    The caller applies each before it asks for the next. Held points do not expire while held (S12). At one instant
    what is pending is released first, then holds, so that what they give back can expire with the rest; what ends
    while it waits is given up, tiers are reviewed after that, and what is good becomes vouchers (S3); memberships in
    segments end, and a birthday comes last.
    """
    while True:
        hold, expiry, review_at = _next_hold(wallet, until), _next_due(wallet, until), _next_review(wallet, until)
        released_at, conversion = next_release(wallet, until), _next_conversion(wallet, until)
        given_up_at = next_given_up(wallet, until)
        hold_ends = hold[0] if hold is not None else None
        segments_end, birthday = segments_end_at(wallet, until), birthday_due(wallet, until)
        if wallet.merged_into is not None:
            # What time brings to a member comes to the account that this one is a part of.
            conversion = segments_end = birthday = None
        named = (released_at, hold_ends, expiry, given_up_at, review_at, conversion, segments_end, birthday)
        ends = [end for end in named if end is not None]
        if not ends:
            return
        first = min(ends)
        if released_at == first:
            yield first, release_due(wallet, first)
        elif hold is not None and hold[0] == first:
            yield first, give_back(wallet, hold[1], hold[1].parts, first, state="expired")
        elif expiry == first:
            yield first, tuple(_expire(wallet, first))
        elif given_up_at == first:
            moment = Moment(first, wallet.version + 1, programs, shared=shared)
            yield first, give_up_ended(wallet, moment)
        elif review_at == first:
            yield first, _review(wallet, first, programs)
        elif conversion == first:
            # Too few points, or none from before that day: then it was only looked.
            facts = convert(wallet, first, programs)
            if facts:
                yield first, facts
        elif segments_end == first:
            yield first, over(wallet, first)
        else:
            yield first, celebrate(wallet, first, programs)


def _next_conversion(wallet: Wallet, until: datetime) -> datetime | None:
    """Return when points next may become vouchers, by `until`."""
    return wallet.converts_at if wallet.converts_at is not None and wallet.converts_at <= until else None


def _next_review(wallet: Wallet, until: datetime) -> datetime | None:
    """Return when the member's tier is looked at next, by `until`."""
    at = tier_due_at(wallet)
    return at if at is not None and at <= until else None


def _review(wallet: Wallet, at: datetime, programs: Programs) -> tuple[AnyFact, ...]:
    facts = reviewed(wallet, at, programs)
    if not facts:
        message = f"the review of {wallet.program}/{wallet.member} at {at} led to nothing"
        raise AssertionError(message)
    return facts


def _next_hold(wallet: Wallet, until: datetime) -> tuple[datetime, Hold] | None:
    """Return the open hold that times out next, by `until`."""
    if not wallet.holds:
        return None
    ends = [
        (hold.expires_at, hold.hold)
        for hold in wallet.holds.values()
        if hold.state == "held" and hold.expires_at is not None and hold.expires_at <= until
    ]
    if not ends:
        return None
    moment, name = min(ends)
    return moment, wallet.holds[name]


def _next_due(wallet: Wallet, until: datetime) -> datetime | None:
    first = None
    for lot in wallet.lots.values():
        end = wallet.end_of(lot)
        if end is not None and end <= until and lot.free > 0 and (first is None or end < first):
            first = end
    return first


def _expire(wallet: Wallet, moment: datetime) -> Iterator[AnyFact]:
    parts: dict[str, list[LotPart]] = {}
    for lot in sorted(wallet.lots.values(), key=lambda lot: lot.order()):
        end = wallet.end_of(lot)
        if lot.free > 0 and end is not None and end <= moment:
            parts.setdefault(lot.unit, []).append(LotPart(lot.name, lot.free))
    for unit, gone in parts.items():
        yield LotsExpired(unit=unit, parts=tuple(gone))
