"""What events say of points that went between two wallets, as callers are shown it. Pure: an event in, a view out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from laurel.contracts import sharing
from services.gateway.naming import EXCHANGE, HOUSEHOLD, MERGE, TRANSFER, UNMERGE

OTHER: Final = "_other"
"""Where an outcome names the other wallet and how far it must be shown; callers are not told."""

_EMPTY_LIST = msgspec.Raw(b"[]")


@dataclass(frozen=True, slots=True)
class Shared:
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


class _Half(msgspec.Struct, kw_only=True):
    direction: str
    unit: str
    amount: int
    lots: msgspec.Raw = _EMPTY_LIST
    balances: msgspec.Raw = _EMPTY_LIST


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


def read_shared(type_: str, program: str, member: str, body: bytes) -> Shared:
    """Read one of the events of `SHARED`; raises `msgspec.MsgspecError` where it is none."""
    return _READERS[type_](program, member, body)


def _transferred(program: str, member: str, body: bytes) -> Shared:
    said = _decode_transferred(body)
    # What a household lends is no gift, though one may be the reason.
    if said.direction != "sent" or said.reason != "gift":
        return Shared(TRANSFER, said.transfer)
    shown = {
        "transfer": said.transfer,
        "state": "posted",
        "from": member,
        "to": said.other,
        "unit": said.unit,
        "amount": said.amount,
        "lots": said.lots,
        "balances": said.balances,
    }
    return Shared(TRANSFER, said.transfer, shown, (program, said.other, said.other_version))


def _exchanged(_program: str, member: str, body: bytes) -> Shared:
    said = _decode_exchanged(body)
    if said.direction != "sent":
        return Shared(EXCHANGE, said.exchange)
    other = said.other
    shown = {
        "exchange": said.exchange,
        "state": "posted",
        "member": member,
        "unit": said.unit,
        "amount": said.amount,
        "to": {"program": other.program, "member": other.member, "unit": other.unit, "amount": other.amount},
        "lots": said.lots,
        "balances": said.balances,
    }
    return Shared(EXCHANGE, said.exchange, shown, (other.program, other.member, other.version))


def _refused(_program: str, member: str, body: bytes) -> Shared:
    said = _decode_refused(body)
    facts: dict[str, Any] = {"unit": said.unit, "amount": said.amount}
    if said.code == "insufficient_points":
        facts |= {"available": said.available, "shortfall": said.shortfall}
    if said.left is not None:
        facts["left"] = said.left
    if said.exchange:
        facts |= {"member": member, "to": {"program": said.to_program, "member": said.to}}
        return Shared(EXCHANGE, said.exchange, code=said.code, detail=said.detail, facts=facts)
    facts |= {"from": member, "to": said.to}
    return Shared(TRANSFER, said.transfer, code=said.code, detail=said.detail, facts=facts)


class _Merged(msgspec.Struct, kw_only=True):
    merge: str
    role: str
    other: str
    other_version: int = 0


class _MergeRefused(msgspec.Struct, kw_only=True):
    merge: str
    into: str
    code: str
    detail: str = ""
    asked: str = MERGE


_decode_merged = msgspec.json.Decoder(_Merged).decode
_decode_merge_refused = msgspec.json.Decoder(_MergeRefused).decode


def _merged(program: str, member: str, body: bytes) -> Shared:
    said = _decode_merged(body)
    if said.role != "merged":
        return Shared(MERGE, said.merge)
    shown = {"merge": said.merge, "state": "posted", "member": member, "into": said.other}
    return Shared(MERGE, said.merge, shown, (program, said.other, said.other_version), part_of=(said.other,))


def _unmerged(program: str, member: str, body: bytes) -> Shared:
    said = _decode_merged(body)
    if said.role != "merged":
        return Shared(UNMERGE, said.merge)
    shown = {"unmerge": said.merge, "state": "posted", "member": member, "out_of": said.other}
    return Shared(UNMERGE, said.merge, shown, (program, said.other, said.other_version), part_of=(None,))


def _merge_refused(_program: str, member: str, body: bytes) -> Shared:
    said = _decode_merge_refused(body)
    kind = UNMERGE if said.asked == UNMERGE else MERGE
    facts = {"member": member, "into": said.into}
    return Shared(kind, said.merge, code=said.code, detail=said.detail, facts=facts)


class _OfHousehold(msgspec.Struct):
    household: str


_decode_of_household = msgspec.json.Decoder(_OfHousehold).decode


def _household_changed(_program: str, _member: str, body: bytes) -> Shared:
    said = _decode_of_household(body)
    return Shared(HOUSEHOLD, said.household, {"household": said.household, "state": "posted"})


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
