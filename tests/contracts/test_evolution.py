"""Fields are only added, with a default: each kind of broken promise is found."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from laurel.contracts.documents import schema_of
from laurel.contracts.evolution import breaks
from laurel.contracts.registry import EVENTS

OLD = schema_of(EVENTS["points.awarded.v1"])

Change = Callable[[dict[str, Any]], Any]


def changed(change: Change) -> list[str]:
    new = deepcopy(OLD)
    change(new)
    return breaks(OLD, new)


def test_nothing_changed_breaks_nothing() -> None:
    for kind in EVENTS.values():
        assert breaks(schema_of(kind), schema_of(kind)) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda new: new["properties"].update(later={"type": "integer", "default": 0}),
        lambda new: new["$defs"]["Award"]["properties"].update(later={"type": "string", "default": ""}),
        lambda new: new["properties"]["activity"].update(description="Another word for it"),
        lambda new: new["$defs"]["Award"]["properties"]["state"]["enum"].append("waiting"),
        lambda new: new["required"].remove("activity"),
    ],
)
def test_what_readers_can_bear(change: Change) -> None:
    assert changed(change) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda new: new["properties"].pop("activity"), "/activity is gone"),
        (lambda new: new["$defs"]["Award"]["properties"].pop("lot"), "/awards/*/lot is gone"),
        (lambda new: new["required"].append("awards"), "/awards has become required"),
        (lambda new: new["properties"]["activity"].update(type="integer"), "/activity was string, is integer"),
        (lambda new: new["properties"]["at"].pop("format"), "/at was string, is string"),
        (
            lambda new: new["$defs"]["Award"]["properties"]["state"]["enum"].remove("pending"),
            "/awards/*/state was 'available' or 'pending', is 'available'",
        ),
        (
            lambda new: new["$defs"]["Award"]["properties"]["expires_at"]["anyOf"].append({"type": "integer"}),
            "/awards/*/expires_at has a way more to be said",
        ),
        (
            lambda new: new["$defs"]["Award"]["properties"].update(
                expires_at={"type": "string", "format": "date-time"}
            ),
            "/awards/*/expires_at was one of several, is string",
        ),
        (
            lambda new: new["$defs"]["TierSeen"]["properties"].pop("name"),
            "/tier/name is gone",
        ),
    ],
)
def test_what_they_cannot(change: Change, said: str) -> None:
    # What others got has the shape of what the member did, and changes with it.
    assert [each for each in changed(change) if not each.startswith("/others/")] == [said]


def test_a_class_within_itself_comes_to_an_end() -> None:
    tree = {
        "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
        "$ref": "#/$defs/Node",
    }
    assert breaks(tree, tree) == []
