"""Small programs and baskets for tests, said in the words of the domain."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import msgspec

from laurel.contracts.activity import Activity
from laurel.program import CompiledProgram, RuleOutcome, load_program
from laurel.shapes import decoder_of

_decode = decoder_of(Activity).decode

POINT: dict[str, Any] = {"scale": 0, "validity": {"kind": "never"}}


def a_document(*rules: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A program in GBP with these rules; `rule`, `on`, `unit` and `funding` may be left out of each."""
    earning = [
        {"rule": f"rule-{place}", "on": ["purchase"], "unit": "point", "funding": {"funder": "shop"}, **rule}
        for place, rule in enumerate(rules)
    ]
    return {
        "program": "sample",
        "name": "Sample",
        "effective_from": "2020-01-01T00:00:00+00:00",
        "time_zone": "Europe/London",
        "clock": "manual",
        "currency": "GBP",
        "attributes": {
            "activity": {"miles": "integer", "cabin": "text", "gift": "boolean"},
            "line": {"manufacturer": "text", "organic": "boolean", "grams": "integer"},
            "member": {"card": "text", "staff": "boolean", "age": "integer"},
        },
        "units": {"point": deepcopy(POINT)},
        "earning": earning,
        **changes,
    }


def a_program(*rules: dict[str, Any], **changes: Any) -> CompiledProgram:
    """The same, compiled."""
    return CompiledProgram.from_document(load_program(a_document(*rules, **changes)), 1)


def a_purchase(**fields: Any) -> Activity:
    """A purchase at noon; lines get ids 1, 2, 3 where they have none."""
    lines = [{"id": str(place), **line} for place, line in enumerate(fields.pop("lines", ()), 1)]
    body = {
        "id": "a-1",
        "type": "purchase",
        "occurred_at": "2024-03-01T12:00:00+00:00",
        "currency": "GBP",
        "lines": lines,
        **fields,
    }
    return _decode(msgspec.json.encode(body))


def a_return(**fields: Any) -> Activity:
    """A return of a-1."""
    return a_purchase(**{"id": "r-1", "type": "return", "of": "a-1", **fields})


def computed(outcomes: Any) -> list[int]:
    """The points of each rule."""
    return [outcome.computed for outcome in outcomes]


def reasons(outcomes: Any) -> list[str]:
    """The reason of each rule."""
    return [_reason(outcome) for outcome in outcomes]


def _reason(outcome: RuleOutcome) -> str:
    return outcome.reason
