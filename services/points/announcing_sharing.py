"""What went between two wallets becomes events: each wallet says its own half, under its own key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from laurel.contracts import sharing as said
from laurel.shapes import struct_of
from services.points.announcing_parts import lots_made, lots_said
from services.points.domain import facts as f
from services.points.ports import Decided

_OtherSide: Any = struct_of(said.OtherSide)


_Told = tuple[Any, dict[str, Any]]


def _sent(fact: f.PointsSent, decided: Decided) -> _Told | None:
    if decided.journal.kind in _MERGING:
        return None
    lots = lots_said(fact.parts)
    fields = {"direction": "sent", "unit": fact.unit, "amount": fact.amount, "lots": lots}
    if not fact.into:
        return said.PointsTransferred, {**fields, **_pair(fact, decided)}
    other = _OtherSide(
        program=fact.program, member=fact.member, unit=fact.into, amount=fact.arrived, version=fact.journal
    )
    return said.PointsExchanged, {**fields, "exchange": fact.transfer, "other": other}


def _received(fact: f.PointsReceived, decided: Decided) -> _Told | None:
    if decided.journal.kind in _MERGING:
        return None
    lots = lots_made(decided, f.LotReceived)
    fields = {"direction": "received", "unit": fact.unit, "amount": fact.amount, "lots": lots}
    if not fact.out_of:
        return said.PointsTransferred, {**fields, **_pair(fact, decided)}
    other = _OtherSide(
        program=fact.program, member=fact.member, unit=fact.out_of, amount=fact.left, version=fact.journal
    )
    return said.PointsExchanged, {**fields, "exchange": fact.transfer, "other": other}


def _pair(fact: f.PointsSent | f.PointsReceived, decided: Decided) -> dict[str, Any]:
    reason = "pooling" if decided.journal.kind == "pooling" else "gift"
    return {"transfer": fact.transfer, "other": fact.member, "other_version": fact.journal, "reason": reason}


def _refused(fact: f.TransferRefused, decided: Decided) -> tuple[Any, dict[str, Any]]:
    fields = {
        "to": fact.member,
        "unit": fact.unit,
        "amount": fact.amount,
        "code": fact.code,
        "detail": fact.detail,
        "available": fact.available,
        "shortfall": fact.shortfall,
    }
    if decided.journal.kind == "exchange":
        return said.ExchangeRefused, {**fields, "exchange": fact.transfer, "to_program": fact.program}
    return said.TransferRefused, {**fields, "transfer": fact.transfer, "left": fact.left}


def _merged(fact: f.MemberMerged, _decided: Decided) -> _Told:
    fields = {"merge": fact.merge, "other": fact.into, "other_version": fact.journal}
    return said.MemberMerged, {**fields, "role": "merged", "part_of": fact.part_of or None}


def _absorbed(fact: f.MemberAbsorbed, _decided: Decided) -> _Told:
    fields = {"merge": fact.merge, "other": fact.member, "other_version": fact.journal}
    return said.MemberMerged, {**fields, "role": "survivor", "counters": fact.counted}


def _unmerged(fact: f.MemberUnmerged, _decided: Decided) -> _Told:
    fields = {"merge": fact.merge, "other": fact.into, "other_version": fact.journal}
    return said.MemberUnmerged, {**fields, "role": "merged"}


def _parted(fact: f.MemberParted, _decided: Decided) -> _Told:
    fields = {"merge": fact.merge, "other": fact.member, "other_version": fact.journal}
    return said.MemberUnmerged, {**fields, "role": "survivor", "counters": fact.counted}


def _merge_refused(fact: f.MergeRefused, _decided: Decided) -> _Told:
    fields = {"merge": fact.merge, "into": fact.into, "asked": fact.asked}
    return said.MergeRefused, {**fields, "code": fact.code, "detail": fact.detail}


def _household_changed(fact: f.HouseholdChanged, _decided: Decided) -> _Told:
    now = fact.now
    told: dict[str, Any] = {"members": list(now.members), "pooling": now.pooling} if now is not None else {}
    return said.HouseholdChanged, {"household": fact.household, **told}


_MERGING = frozenset({"merge", "unmerge"})
"""Journals of which one event tells, that of the merge."""

EVENTS: dict[type, Callable[[Any, Decided], _Told | None]] = {
    f.MemberMerged: _merged,
    f.MemberAbsorbed: _absorbed,
    f.MemberUnmerged: _unmerged,
    f.MemberParted: _parted,
    f.MergeRefused: _merge_refused,
    f.HouseholdChanged: _household_changed,
    f.PointsSent: _sent,
    f.PointsReceived: _received,
    f.TransferRefused: _refused,
}
