"""Examples for the OpenAPI document: made from the shapes themselves, with values that belong to one story.

A new shape gets an example by the names of its fields. Where that tells too little, it has a whole one in `WHOLE`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from laurel.errors import PROBLEMS, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

_REF: Final = "#/components/schemas/"
_AT: Final = "2026-03-14T09:26:53Z"
_DEPTH_MAX: Final = 8

VALUES: Final[dict[str, Any]] = {
    "program": "grocery", "member": "m-42", "partner": "acme", "person": "p-7", "tier": "gold", "unit": "point",
    "activity": "till-7-000123", "of": "till-7-000123", "id": "till-7-000123", "hold": "h-0mhq2x1k7",
    "voucher": "v-9f2c",
    "redemption": "r-0mhq2x1k9", "reward": "five-off", "resource": "seats", "adjustment": "a-0mhq2x1ka",
    "transfer": "g-0mhq2x1kb", "exchange": "e-0mhq2x1kc", "merge": "mg-0mhq2x1kd", "unmerge": "mu-0mhq2x1ke",
    "match": "s-0mhq2x1kf", "household": "smiths", "batch": "b-0mhq2x1kg", "key": "k-0mhq2x1kh",
    "prefix": "lk_0123456789",
    "secret": "lk_0123456789_shown-only-once", "into": "m-43", "from": "m-42", "to": "m-43", "referred_by": "m-7",
    "account": "m-42", "currency": "USD", "code": "7GQ2-7GQ2-7GQ2-7GQ2", "suffix": "7GQ2", "reference": "till-7-000123",
    "reason": "goodwill", "note": "Sorry for the wait.", "scheme": "card", "value": "6340001", "rule": "base",
    "lot": "2.1", "name": "5 off", "url": "https://example.com/hooks", "line": 1, "percent": 50, "limit": 500,
    "amount": 47, "points": 47, "granted": 47, "available": 47, "earned": 47, "computed": 47, "remaining": 47,
    "price": 100, "quantity": 1, "units": 10_000, "version": 1, "status": "active", "state": "posted",
    "until": "2027-02-28",
    "since": "2026-03-01", "on": "2026-04-01", "dated": "2026-02-01", "issuer": "rival", "type": "purchase",
    "scopes": ["earn", "read"], "programs": ["grocery"], "types": ["points.*"], "attributes": {}, "document": {},
    "detail": "The points are held.", "as_of": "2026-04-01T00:00:00Z", "title": "The request was refused",
    "next_cursor": None, "data": [], "errors": [],
}  # fmt: skip
"""What a field is called says what stands in it, where its schema lets that be."""

WHOLE: Final[dict[str, Any]] = {
    "Activity": {
        "id": "till-7-000123", "type": "purchase", "member": {"scheme": "card", "value": "6340001"},
        "occurred_at": "2026-03-14T09:26:53-04:00", "currency": "USD", "amount": 4730, "store": "s-12",
        "lines": [{"id": "1", "sku": "5000168", "quantity": 2, "amount": 598, "category": "BISCUITS"},
                  {"id": "2", "sku": "5000201", "quantity": 1, "amount": 4132}],
        "tenders": [{"kind": "card", "amount": 4730}],
    },
    "QuotedActivity": {"type": "purchase", "occurred_at": _AT, "currency": "USD", "amount": 4730},
    "EnrolMember": {"member": "m-42", "identifiers": [{"scheme": "card", "value": "6340001"}], "enrolled_at": _AT},
    "ChangeMember": {"attributes": {"card": "gold"}},
    "ClaimActivity": {"member": "m-42"},
    "RequestRedemption": {"member": "m-42", "reward": "five-off"},
    "PlaceHold": {"member": "m-42", "unit": "point", "amount": 47, "reference": "till-7-000123"},
    "AdjustPoints": {"member": "m-42", "unit": "point", "amount": 50, "reason": "goodwill",
                     "note": "Sorry for the wait."},
    "TransferPoints": {"from": "m-42", "to": "m-43", "unit": "point", "amount": 47},
    "ExchangePoints": {"member": "m-42", "to": {"program": "sister", "member": "s-1"}, "unit": "point", "amount": 300},
    "PutHousehold": {"members": ["m-42", "m-43"], "pooling": True},
    "PublishReward": {"name": "5 off", "kind": "voucher", "unit": "point", "price": 100,
                      "value": {"amount": 500, "currency": "USD"}},
    "RedeemVoucher": {"reference": "till-7-000124", "basket": {"amount": 2150, "currency": "USD"}},
    "JoinPartner": {"state": "approved"},
    "CopyProgram": {"to": "grocery-copy", "changes": {"/name": "Try-out"}},
    "CreateKey": {"scopes": ["earn", "read"], "programs": ["grocery"]},
    "MergeMember": {"into": "m-43"},
    "CancelHold": {"by": "member", "reason": "changed plans"},
}  # fmt: skip

PROGRAM: Final[dict[str, Any]] = {
    "name": "Corner Shop", "effective_from": "2026-01-01T00:00:00-05:00", "time_zone": "America/New_York",
    "currency": "USD",
    "units": {"point": {"scale": 0}},
    "earning": [{"rule": "base", "on": ["purchase"], "unit": "point", "rate": {"points": 1, "per": 100},
                 "funding": {"funder": "operator"}}],
}  # fmt: skip
FILE: Final = (
    '{"id": "t-1", "type": "purchase", "member": "m-42", "occurred_at": "2026-03-14T09:26:53Z", "amount": 4730}\n'
)


_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")


def example_of(schema: Mapping[str, Any], components: Mapping[str, Any], *, whole: bool) -> Any:  # noqa: ANN401
    """Return an example of a schema: with `whole` all fields, as in answers, else those that are needed."""
    return _example(schema, components, "", whole=whole, depth=0)


def _example(schema: Mapping[str, Any], components: Mapping[str, Any], field: str, *, whole: bool, depth: int) -> Any:  # noqa: ANN401
    name = str(schema.get("$ref", "")).removeprefix(_REF)
    if name:
        if name in WHOLE:
            return WHOLE[name]
        schema = components[name]
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return VALUES[field] if VALUES.get(field) in schema["enum"] else schema["enum"][0]
    for either in ("anyOf", "oneOf"):
        if either in schema:
            shapes = [each for each in schema[either] if each.get("type") != "null"]
            return _example(shapes[0], components, field, whole=whole, depth=depth)
    if field in VALUES and _is_of(VALUES[field], schema):
        return VALUES[field]
    return _of_type(schema, components, whole=whole, depth=depth)


def _of_type(schema: Mapping[str, Any], components: Mapping[str, Any], *, whole: bool, depth: int) -> Any:  # noqa: ANN401
    match schema.get("type"):
        case "object":
            needed = schema.get("required", ())
            wanted = schema.get("properties", {}) if depth < _DEPTH_MAX else {}
            return {
                name: _example(each, components, name, whole=whole, depth=depth + 1)
                for name, each in wanted.items()
                if whole or name in needed
            }
        case "array":
            few = schema.get("minItems", 0) or (1 if depth < 3 and whole else 0)
            return [_example(schema["items"], components, "", whole=whole, depth=depth + 1)] * few
        case "integer" | "number":
            return max(schema.get("minimum", 0), min(1, schema.get("maximum", 1)))
        case "boolean":
            return bool(schema.get("default", False))
        case "string":
            return _text(schema)
        case _:
            return {}


def _text(schema: Mapping[str, Any]) -> str:
    formats = {"date-time": _AT, "date": "2026-03-14"}
    return formats.get(schema.get("format", ""), "some-text")


def _is_of(value: object, schema: Mapping[str, Any]) -> bool:
    kinds = {"string": str, "integer": int, "number": int, "array": list, "object": dict, "boolean": bool}
    kind = kinds.get(schema.get("type", ""))
    if kind is None or not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        return False
    if isinstance(value, str):
        form = schema.get("format")
        if form == "date":
            return _DAY.fullmatch(value) is not None
        return form is None or (form == "date-time") == ("T" in value)
    if isinstance(value, list):
        return not value or "$ref" not in schema.get("items", {})
    return True


def problem_example(code: str, path: str) -> dict[str, Any]:
    """Return a problem as a caller is told it."""
    errors = []
    if code == "invalid":
        errors = [{"pointer": "/amount", "code": "not_an_integer", "detail": "Expected `int`, got `str`"}]
    document = Problem(code).document(path)
    return {"summary": PROBLEMS[code].title, "value": {**document, "errors": errors}}
