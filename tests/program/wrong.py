"""Programs that contradict themselves, one way each, with the place and the code of what is found."""

from __future__ import annotations

from typing import Any

from tests.program.samples import a_document

_RATE = {"rate": {"points": 1, "per": 100}}
_PRICED = {"funding": {"funder": "shop", "price": "1", "currency": "USD"}}
_FIXED: dict[str, Any] = {"fixed": {"points": 5}, "group": "g"}
_TIERS = {
    "counters": {"steps": {"unit": "step", "window": "calendar_year"}},
    "levels": [
        {"tier": "member"},
        {"tier": "silver", "needs": {"steps": 50}},
        {"tier": "gold", "needs": {"steps": 20}},
    ],
}
_UNITS = {"point": {"scale": 0, "validity": {"kind": "never"}}, "step": {"scale": 0, "counts_only": True}}
_NIGHT = {"night": {"from": "22:00", "to": "05:00"}, "morning": {"from": "05:00", "to": "10:59"}}
_DAY = {"noon": {"from": "11:00", "to": "15:59"}}

WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown unit": (a_document({**_RATE, "unit": "mile"}), "/earning/0/unit", "unknown_reference"),
    "cap without a window": (
        a_document(_RATE, caps=[{"cap": "c", "unit": "point", "limit": 5}]), "/caps/0/window", "missing",
    ),
    "tiers out of order": (
        a_document(_RATE, units=_UNITS, tiers=_TIERS), "/tiers/levels/2/needs/steps", "out_of_order",
    ),
    "day parts that overlap": (a_document(_RATE, day_parts=_NIGHT), "/day_parts/morning", "not_allowed"),
    "condition of the wrong type": (
        a_document({**_RATE, "where": 'activity.channel == "app" && activity.amount == "5"'}),
        "/earning/0/where", "condition_type",
    ),
    "budget in a foreign currency": (
        a_document({**_RATE, **_PRICED, "budget": {"amount": 100}}), "/earning/0/budget/amount", "foreign_currency",
    ),
    "rule for a type that it does not cover": (
        a_document({**_RATE, "where": 'activity.type == "flight"'}), "/earning/0/where", "unreachable",
    ),
    "rule for a part of the day that is none": (
        a_document({**_RATE, "where": 'activity.day_part in ["evening"]'}, day_parts=_DAY),
        "/earning/0/where", "unreachable",
    ),
    "rule for two things at once": (
        a_document({**_RATE, "where": 'activity.channel == "app" && activity.channel == "web"'}),
        "/earning/0/where", "unreachable",
    ),
    "rule behind one that always earns": (
        a_document(_FIXED, {**_RATE, "group": "g"}, groups={"g": {"stack": "first"}}),
        "/earning/1/group", "unreachable",
    ),
    "rule that starts when all has ended": (
        a_document({**_RATE, "starts_at": "2030-01-01T00:00:00Z"}, closes_at="2030-01-01T00:00:00Z"),
        "/earning/0/starts_at", "unreachable",
    ),
}  # fmt: skip
