"""Members who refer each other: what both get with the first payment, and accounts that become one."""

from __future__ import annotations

from typing import Any

from services.points.testing import Note, note
from tests.points.till import START, Till

ONCE = {"times": 1, "per": "lifetime", "counts": "activities"}
MINE = {"rule": "mine", "on": ["payment"], "fixed": {"points": 200}, "given": "referrer", "limit": ONCE}
THEIRS = {"rule": "theirs", "on": ["payment"], "fixed": {"points": 200}, "to": "referrer", "limit": ONCE}
SAID = {"rule": "said", "on": ["referral"], "fixed": {"points": 1}}


def paid(id_: str, type_: str = "payment", **fields: Any) -> dict[str, Any]:
    return {
        "id": id_, "type": type_, "occurred_at": START.isoformat(), "currency": "GBP", "amount": 1000, **fields,
    }  # fmt: skip


def joining(till: Till, member: str, into: str, *, undo: bool = False) -> Note:
    type_ = "member.unmerge_requested.v1" if undo else "member.merge_requested.v1"
    name = f"{type_}-{member}-{into}"
    return note(
        type_, "sample", member, at=till.at, cause={"kind": "request", "id": name}, merge=name, into=into,
        versions={"program": 1},
    )  # fmt: skip
