"""What became of points that went between two wallets, as callers are shown it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from laurel.contracts import sharing
from services.gateway.details import CounterTold, counters_seen
from services.gateway.naming import EXCHANGE, HOUSEHOLD, MERGE, TRANSFER, UNMERGE, parse_correlation
from services.gateway.told.telling import (
    POSTED,
    REFUSED,
    Heard,
    MergeSeen,
    OperationSeen,
    Outcome,
    Told,
    encode,
    place_of,
    refusal,
    refusal_body,
)
from services.gateway.told.wallets import EMPTY_LIST, decode_wallet, summary_of

OTHER: Final = "_other"
"""Where an outcome names the other wallet and how far it must be shown; callers are not told."""


@dataclass(frozen=True, slots=True)
class _Shared:
    """What became of a transfer, an exchange or a merge. `code`: it was refused; `facts` explain it.

    The half of whom the points came from answers the request; `shown` is None for the other one.
    """

    kind: str
    id: str
    shown: dict[str, Any] | None = None
    other: tuple[str, str, int] | None = None
    code: str | None = None
    detail: str = ""
    facts: dict[str, Any] | None = None
    part_of: tuple[str | None] | None = None
    """Which account this one is a part of now, if the event says so; None in it: of none any more."""
    counters: Sequence[CounterTold] = ()


class _Half(msgspec.Struct, kw_only=True):
    direction: str
    unit: str
    amount: int
    lots: msgspec.Raw = EMPTY_LIST
    balances: msgspec.Raw = EMPTY_LIST


class _Transferred(_Half, kw_only=True):
    transfer: str
    other: str
    other_version: int = 0
    reason: str = "gift"


class _Side(msgspec.Struct):
    program: str
    member: str
    unit: str
    amount: int
    version: int = 0


class _Exchanged(_Half, kw_only=True):
    exchange: str
    other: _Side


class _Refused(msgspec.Struct, kw_only=True):
    to: str
    unit: str
    amount: int
    code: str
    detail: str = ""
    available: int = 0
    shortfall: int = 0
    left: int | None = None
    to_program: str = ""
    transfer: str = ""
    exchange: str = ""


_decode_transferred = msgspec.json.Decoder(_Transferred).decode
_decode_exchanged = msgspec.json.Decoder(_Exchanged).decode
_decode_refused = msgspec.json.Decoder(_Refused).decode


def _read_shared(type_: str, program: str, member: str, body: bytes) -> _Shared:
    """Read one of the events of `SHARED`; raises `msgspec.MsgspecError` where it is none."""
    return _READERS[type_](program, member, body)


def _transferred(program: str, member: str, body: bytes) -> _Shared:
    said = _decode_transferred(body)
    # What a household lends is no gift, though one may be the reason.
    if said.direction != "sent" or said.reason != "gift":
        return _Shared(TRANSFER, said.transfer)
    shown = {
        "transfer": said.transfer,
        "state": POSTED,
        "from": member,
        "to": said.other,
        "unit": said.unit,
        "amount": said.amount,
        "lots": said.lots,
        "balances": said.balances,
    }
    return _Shared(TRANSFER, said.transfer, shown, (program, said.other, said.other_version))


def _exchanged(_program: str, member: str, body: bytes) -> _Shared:
    said = _decode_exchanged(body)
    if said.direction != "sent":
        return _Shared(EXCHANGE, said.exchange)
    other = said.other
    shown = {
        "exchange": said.exchange,
        "state": POSTED,
        "member": member,
        "unit": said.unit,
        "amount": said.amount,
        "to": {"program": other.program, "member": other.member, "unit": other.unit, "amount": other.amount},
        "lots": said.lots,
        "balances": said.balances,
    }
    return _Shared(EXCHANGE, said.exchange, shown, (other.program, other.member, other.version))


def _refused(_program: str, member: str, body: bytes) -> _Shared:
    said = _decode_refused(body)
    facts: dict[str, Any] = {"unit": said.unit, "amount": said.amount}
    if said.code == "insufficient_points":
        facts |= {"available": said.available, "shortfall": said.shortfall}
    if said.left is not None:
        facts["left"] = said.left
    if said.exchange:
        facts |= {"member": member, "to": {"program": said.to_program, "member": said.to}}
        return _Shared(EXCHANGE, said.exchange, code=said.code, detail=said.detail, facts=facts)
    facts |= {"from": member, "to": said.to}
    return _Shared(TRANSFER, said.transfer, code=said.code, detail=said.detail, facts=facts)


class _Merged(msgspec.Struct, kw_only=True):
    merge: str
    role: str
    other: str
    other_version: int = 0
    counters: list[CounterTold] = msgspec.field(default_factory=list)
    part_of: str | None = None


class _MergeRefused(msgspec.Struct, kw_only=True):
    merge: str
    into: str
    code: str
    detail: str = ""
    asked: str = MERGE


_decode_merged = msgspec.json.Decoder(_Merged).decode
_decode_merge_refused = msgspec.json.Decoder(_MergeRefused).decode


def _merged(program: str, member: str, body: bytes) -> _Shared:
    said = _decode_merged(body)
    if said.role != "merged":
        return _Shared(MERGE, said.merge, counters=said.counters)
    shown = {"merge": said.merge, "state": POSTED, "member": member, "into": said.other}
    part_of = (said.part_of or said.other,)
    return _Shared(MERGE, said.merge, shown, (program, said.other, said.other_version), part_of=part_of)


def _unmerged(program: str, member: str, body: bytes) -> _Shared:
    said = _decode_merged(body)
    if said.role != "merged":
        return _Shared(UNMERGE, said.merge, counters=said.counters)
    shown = {"unmerge": said.merge, "state": POSTED, "member": member, "out_of": said.other}
    return _Shared(UNMERGE, said.merge, shown, (program, said.other, said.other_version), part_of=(None,))


def _merge_refused(_program: str, member: str, body: bytes) -> _Shared:
    said = _decode_merge_refused(body)
    kind = UNMERGE if said.asked == UNMERGE else MERGE
    facts = {"member": member, "into": said.into}
    return _Shared(kind, said.merge, code=said.code, detail=said.detail, facts=facts)


class _OfHousehold(msgspec.Struct):
    household: str


_decode_of_household = msgspec.json.Decoder(_OfHousehold).decode


def _household_changed(_program: str, _member: str, body: bytes) -> _Shared:
    said = _decode_of_household(body)
    return _Shared(HOUSEHOLD, said.household, {"household": said.household, "state": POSTED})


_READERS = {
    sharing.HouseholdChanged.TYPE: _household_changed,
    sharing.MemberMerged.TYPE: _merged,
    sharing.MemberUnmerged.TYPE: _unmerged,
    sharing.MergeRefused.TYPE: _merge_refused,
    sharing.PointsTransferred.TYPE: _transferred,
    sharing.TransferRefused.TYPE: _refused,
    sharing.PointsExchanged.TYPE: _exchanged,
    sharing.ExchangeRefused.TYPE: _refused,
}

SHARED: Final = frozenset(_READERS)
"""The types that say what became of a transfer, an exchange, a merge or a household."""


def shared(message: Heard) -> Told:
    """Points that went between two wallets: the half of whom they came from answers."""
    summary = summary_of(message, decode_wallet(message.body))
    shared = _read_shared(message.type, message.program, message.member, message.body)
    place = place_of(message.source, message.sequence)
    correlation = parse_correlation(message.correlation)
    # What a merged account passes on later is caused by something else, which answers for itself.
    if correlation is not None and correlation.key.kind != shared.kind:
        correlation = None
    if shared.code is not None:
        body = refusal_body({shared.kind: shared.id}, shared.code, shared.detail, shared.facts or {})
        seen = OperationSeen(message.program, shared.kind, shared.id, REFUSED, body, place)
        return Told(refusal(correlation, shared.code, body) if correlation is not None else None, summary,
                    operation=seen)  # fmt: skip
    if shared.shown is None:
        counters = counters_seen(message.program, message.member, shared.counters, place.epoch, place.sequence)
        return Told(summary=summary, details=counters)
    outcome = None
    if correlation is not None:
        outcome = Outcome(correlation, POSTED, None, encode({**shared.shown, OTHER: shared.other}))
    seen = OperationSeen(message.program, shared.kind, shared.id, POSTED, encode(shared.shown), place)
    merged = None
    if shared.part_of is not None:
        merged = MergeSeen(message.program, message.member, shared.part_of[0], place)
    return Told(outcome, summary, operation=seen, merged=merged)
