"""What a condition may read, of which type, and how it is read from an activity, a line and a member."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, Literal

Kind = Literal["text", "integer", "boolean"]
Subject = Any
"""What a condition is asked of: a basis or a line, by their attributes."""
Member = Mapping[str, Any]
"""The attributes of the member, and under TIER and TENURE where it stands."""
TIER: Final = ":tier"
"""The member's tier among its attributes; no attribute can have that name."""
SEGMENTS: Final = ":segments"
"""The names of the segments that it belongs to, where there are any."""
TENURE: Final = ":tenure"
"""Its complete calendar years above the first tier."""
Scalar = Any
"""A text, a whole number, true or false, or None for what is not there."""
Read = Callable[[Subject, Member], Scalar]
"""Reads one scalar of a subject (a basis or a line) and of the member's attributes; None where there is none."""

PYTHON_TYPES: Final[Mapping[Kind, type]] = {"text": str, "integer": int, "boolean": bool}
ACTIVITY_FIELDS: Final[Mapping[str, Kind]] = {
    "type": "text",
    "amount": "integer",
    "currency": "text",
    "channel": "text",
    "store": "text",
    "partner": "text",
    "campaign": "text",
}
LINE_FIELDS: Final[Mapping[str, Kind]] = {
    "sku": "text",
    "category": "text",
    "brand": "text",
    "quantity": "integer",
    "amount": "integer",
}


REQUEST_FIELDS: Final[Mapping[str, Kind]] = {
    "quantity": "integer",
    "party": "integer",
    "amount": "integer",
    "currency": "text",
    "partner": "text",
}


@dataclass(frozen=True, slots=True)
class ScopeField:
    """A name that a condition may read. `key` is the attribute's own name, or that of the plain field."""

    path: str
    kind: Kind
    read: Read
    key: str
    is_attribute: bool


Scope = Mapping[str, ScopeField]


def where_scope(
    activity: Mapping[str, Kind],
    member: Mapping[str, Kind],
    *,
    day_parts: bool = False,
    stores: bool = False,
    tiers: bool = False,
) -> dict[str, ScopeField]:
    """What `where` reads: the activity and the member, with the attributes that the program declares.

    The part of the day, the type of the store and the member's tier are there where the program says what they are.
    """
    names = [*ACTIVITY_FIELDS.items()]
    names += [("day_part", "text")] if day_parts else []
    names += [("store_type", "text")] if stores else []
    scope = {f"activity.{name}": _plain(f"activity.{name}", name, kind) for name, kind in names}
    return scope | _attributes("activity", activity) | member_scope(member, tiers=tiers)


def member_scope(member: Mapping[str, Kind], *, tiers: bool = False) -> dict[str, ScopeField]:
    """What a condition reads that asks the member alone."""
    scope = {}
    for name, kind in member.items():
        path = f"member.attributes.{name}"
        scope[path] = ScopeField(path, kind, _read_member(name, PYTHON_TYPES[kind]), name, is_attribute=True)
    if tiers:
        scope["member.tier"] = ScopeField("member.tier", "text", _read_member(TIER, str), TIER, is_attribute=True)
    return scope


def reward_scope(
    request: Mapping[str, Kind], member: Mapping[str, Kind], *, tiers: bool = False
) -> dict[str, ScopeField]:
    """What the conditions of a reward read: what is asked for, with the attributes it declares, and who asks."""
    scope = {f"request.{name}": _plain(f"request.{name}", name, kind) for name, kind in REQUEST_FIELDS.items()}
    return scope | _attributes("request", request) | member_scope(member, tiers=tiers)


def lines_scope(line: Mapping[str, Kind]) -> dict[str, ScopeField]:
    """What `lines` reads: one line, with the attributes that the program declares."""
    scope = {f"line.{name}": _plain(f"line.{name}", name, kind) for name, kind in LINE_FIELDS.items()}
    scope["line.quantity"] = ScopeField("line.quantity", "integer", _read_quantity, "quantity", is_attribute=False)
    return scope | _attributes("line", line)


def _attributes(subject: str, declared: Mapping[str, Kind]) -> dict[str, ScopeField]:
    fields = {}
    for name, kind in declared.items():
        path = f"{subject}.attributes.{name}"
        fields[path] = ScopeField(path, kind, _read_attribute(name, PYTHON_TYPES[kind]), name, is_attribute=True)
    return fields


def _plain(path: str, name: str, kind: Kind) -> ScopeField:
    get = attrgetter(name)
    return ScopeField(path, kind, lambda subject, _member: get(subject), name, is_attribute=False)


def _read_quantity(line: Subject, _member: Member) -> int:
    quantity: int | None = line.quantity
    return 1 if quantity is None else quantity


def _read_attribute(name: str, expected: type) -> Read:
    # A value of another type than declared is treated as not there, so that no condition meets a type it was
    # not checked for (and True is never taken for 1).
    def read(subject: Subject, _member: Member) -> Scalar:
        value = subject.attributes.get(name)
        return value if type(value) is expected else None

    return read


def _read_member(name: str, expected: type) -> Read:
    def read(_subject: Subject, member: Member) -> Scalar:
        value = member.get(name)
        return value if type(value) is expected else None

    return read
