"""What earns: an activity, less what was paid by points and vouchers.

A `Basis` is what rules look at. Kept whole it shares the activity's own lines; `returning` makes one of what is left
after returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

EXCLUDED_TENDERS: Final = frozenset({"voucher", "points"})


class LineLike(Protocol):
    """What a line must show; the contract's line does."""

    @property
    def id(self) -> str: ...
    @property
    def sku(self) -> str | None: ...
    @property
    def quantity(self) -> int | None: ...
    @property
    def amount(self) -> int | None: ...
    @property
    def category(self) -> str | None: ...
    @property
    def brand(self) -> str | None: ...
    @property
    def attributes(self) -> Mapping[str, Any]: ...


class TenderLike(Protocol):
    """What a tender must show."""

    @property
    def kind(self) -> str: ...
    @property
    def amount(self) -> int: ...


class ActivityLike(Protocol):
    """What an activity must show; the contract's activity does."""

    @property
    def type(self) -> str: ...
    @property
    def occurred_at(self) -> datetime: ...
    @property
    def currency(self) -> str | None: ...
    @property
    def amount(self) -> int | None: ...
    @property
    def partner(self) -> str | None: ...
    @property
    def store(self) -> str | None: ...
    @property
    def channel(self) -> str | None: ...
    @property
    def campaign(self) -> str | None: ...
    @property
    def lines(self) -> Sequence[LineLike]: ...
    @property
    def tenders(self) -> Sequence[TenderLike] | None: ...
    @property
    def attributes(self) -> Mapping[str, Any]: ...


class Basis(msgspec.Struct, frozen=True, gc=False):
    """What rules look at. `tender_excluded` of the amount was paid by points and vouchers, spread over the lines in
    `line_excluded` (empty where nothing was). `kept` is false once everything came back: then nothing earns.
    `paid_wholly`: points and vouchers paid, and money for nothing of what there is, or is left after returns.
    `day_part` and `store_type` are what the program makes of the time and the store.
    """

    type: str
    amount: int | None
    currency: str | None
    channel: str | None
    store: str | None
    partner: str | None
    campaign: str | None
    lines: Sequence[LineLike]
    attributes: Mapping[str, Any]
    tender_excluded: int = 0
    line_excluded: tuple[int, ...] = ()
    kept: bool = True
    occurred_at: datetime | None = None
    day_part: str | None = None
    store_type: str | None = None
    paid_wholly: bool = False


def basis_of(activity: ActivityLike, *, partner: str | None = None) -> Basis:
    """Return what an activity brings to the rules. `partner` is who reported it, where the body leaves that out."""
    lines = activity.lines
    amount = total_of(activity)
    excluded = 0
    line_excluded: tuple[int, ...] = ()
    if activity.tenders:
        excluded = excluded_of(activity.tenders, amount or 0)
        if excluded and lines:
            line_excluded = spread(excluded, [line.amount or 0 for line in lines])
    return Basis(
        activity.type,
        amount,
        activity.currency,
        activity.channel,
        activity.store,
        activity.partner or partner,
        activity.campaign,
        lines,
        activity.attributes,
        excluded,
        line_excluded,
        occurred_at=activity.occurred_at,
        paid_wholly=excluded > 0 and (amount or 0) <= excluded,
    )


def total_of(activity: ActivityLike) -> int | None:
    """Return what an activity cost before points and vouchers; None where it has no price."""
    amount = activity.amount
    if amount is None and activity.lines:
        return sum(line.amount or 0 for line in activity.lines)
    return amount


def excluded_of(tenders: Sequence[TenderLike], amount: int) -> int:
    """Return how much of an amount was paid by points and vouchers."""
    return min(sum(tender.amount for tender in tenders if tender.kind in EXCLUDED_TENDERS), amount)


def spread(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Split a total by weights into whole parts that sum to it, by largest remainder.

    Each part is its share rounded down; what is missing goes, one each, to the largest remainders, earlier ones first.
    No part exceeds its weight unless the total exceeds them all.
    """
    whole = sum(weights)
    if whole == 0:
        return (0,) * len(weights)
    parts = [total * weight // whole for weight in weights]
    missing = total - sum(parts)
    if missing:
        remainders = sorted(range(len(weights)), key=lambda place: -(total * weights[place] % whole))
        for place in remainders[:missing]:
            parts[place] += 1
    return tuple(parts)


def quantity_of(line: LineLike) -> int:
    """Return the pieces of a line; one where it does not say."""
    return 1 if line.quantity is None else line.quantity
