"""What was said, held against what is published of it: as outsiders do, with the schemas of the AsyncAPI document."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache, partial
from typing import Any

import jsonschema

from laurel.contracts.documents import asyncapi

_FORMATS = {
    "date-time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z"),
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|\+00:00)")
_ATTRIBUTES = {"id", "source", "time", "partitionkey", "sequence", "specversion"}


class Published:
    """The schemas of a document, with nothing beside the fields that they name: what is relied on was read of."""

    def __init__(self, document: Any) -> None:
        self._parts = _strict(document["components"])
        self._checks: dict[str, Any] = {}

    def faults(self, events: Iterable[Any]) -> str:
        """Say what is otherwise than it is published, and how often, a line for each place."""
        wrong: Counter[str] = Counter()
        for event in events:
            type_ = event["type"]
            if not event.keys() >= _ATTRIBUTES or _TIME.fullmatch(event["time"]) is None:
                wrong[f"{type_}: {sorted(event)}, at {event.get('time')}"] += 1
            for fault in self._check(type_).iter_errors(event["data"]):
                place = "/".join("n" if isinstance(each, int) else each for each in fault.absolute_path)
                wrong[f"{type_} /{place}: {fault.validator}, {fault.message[:80]}"] += 1
        return "\n".join(f"{count} x {what}" for what, count in sorted(wrong.items()))

    def _check(self, type_: str) -> Any:
        if type_ not in self._checks:
            formats = jsonschema.FormatChecker(formats=())
            for name, pattern in _FORMATS.items():
                formats.checks(name)(partial(_has_form, pattern))
            schema = {**self._parts["messages"][type_]["payload"], "components": self._parts}
            self._checks[type_] = jsonschema.Draft202012Validator(schema, format_checker=formats)
        return self._checks[type_]


@cache
def committed() -> Published:
    """Return what the classes say is published."""
    return Published(json.loads(json.dumps(asyncapi())))


def _has_form(pattern: re.Pattern[str], value: object) -> bool:
    return not isinstance(value, str) or pattern.fullmatch(value) is not None


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _strict(value) for key, value in schema.items()}
    if isinstance(found.get("properties"), dict) and "additionalProperties" not in found:
        found["additionalProperties"] = False
    return found
