"""What is committed is what the classes say, and writing keeps the promises made to readers."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from laurel.contracts.documents import asyncapi
from laurel.contracts.generate import HERE, broken_promises, differences, generated, main, write
from laurel.contracts.registry import DEAD_TOPICS, EVENTS, POINTS_TOPIC, REDEMPTION_TOPIC, TOPICS, EventKind
from laurel.shapes import encode


def test_the_committed_files_are_what_the_classes_say() -> None:
    assert list(differences(generated())) == []
    assert main(["--check"]) == 0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(generated(), tmp_path)
    return tmp_path


def edit(file: Path, change: Any) -> None:
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document)
    file.write_text(json.dumps(document), encoding="utf-8")


def test_a_difference_fails_the_check(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"], root) == 0
    (root / "asyncapi.json").unlink()
    edit(root / "schemas" / "points.awarded.v1.json", lambda schema: schema["properties"].pop("activity"))
    (root / "schemas" / "points.invented.v1.json").write_text("{}", encoding="utf-8")
    assert main(["--check"], root) == 1
    assert capsys.readouterr().err.splitlines() == [
        "schemas/points.awarded.v1.json differs from its class",
        "asyncapi.json is missing",
        "schemas/points.invented.v1.json belongs to no class",
    ]


def test_a_new_field_is_written(root: Path) -> None:
    edit(root / "schemas" / "points.awarded.v1.json", lambda schema: schema["properties"].pop("awards"))
    assert main([], root) == 0
    assert main(["--check"], root) == 0


def test_a_broken_promise_is_not_written_unless_asked(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(root / "schemas" / "points.held.v1.json", lambda schema: schema["properties"].update(gone={"type": "string"}))
    (root / "schemas" / "points.invented.v1.json").write_text("{}", encoding="utf-8")
    before = (root / "schemas" / "points.held.v1.json").read_text(encoding="utf-8")
    assert list(broken_promises(generated(), root)) == [
        "schemas/points.held.v1.json: /gone is gone",
        "schemas/points.invented.v1.json: the event is gone",
    ]
    assert main([], root) == 1
    assert "is gone" in capsys.readouterr().err
    assert (root / "schemas" / "points.held.v1.json").read_text(encoding="utf-8") == before
    assert main(["--breaking"], root) == 0
    assert main(["--check"], root) == 0
    assert not (root / "schemas" / "points.invented.v1.json").exists()


# The documents themselves.


@pytest.mark.parametrize("kind", EVENTS.values(), ids=lambda kind: kind.name)
def test_each_schema_is_one(kind: EventKind) -> None:
    schema = json.loads((HERE / "schemas" / f"{kind.name}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:laurel:event:{kind.name}"
    assert schema["type"] == "object"
    assert {"program", "at", "cause"} <= set(schema["required"])
    assert "member" in schema["properties"]


def test_a_schema_accepts_what_its_class_does() -> None:
    event = {
        "program": "grocery",
        "member": "m-1",
        "at": "2026-03-14T09:26:53Z",
        "cause": {"kind": "activity", "id": "a"},
        "hold": "h-1",
        "unit": "point",
        "amount": 5,
        "lots": [{"lot": "a:base", "amount": 5}],
        "added_later": True,
    }
    kind = EVENTS["points.held.v1"]
    schema = json.loads(generated()["schemas/points.held.v1.json"])
    jsonschema.validate(event, schema)
    jsonschema.validate(json.loads(encode(kind.decoder.decode(encode(event)))), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**event, "amount": -5}, schema)


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [reference for inner in value for reference in references(inner)]
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [reference for inner in value.values() for reference in references(inner)]
    return []


def test_asyncapi_describes_every_topic_and_type() -> None:
    document = asyncapi()
    assert document["asyncapi"] == "3.0.0"
    assert set(document["channels"]) == set(TOPICS)
    assert set(document["components"]["messages"]) == set(EVENTS)
    for topic, kinds in TOPICS.items():
        channel = document["channels"][topic]
        assert channel["address"] == topic
        assert list(channel["messages"]) == [kind.name for kind in kinds]
        public = topic in {POINTS_TOPIC, REDEMPTION_TOPIC}
        assert channel["tags"] == [{"name": "public" if public else "internal"}]


def test_every_reference_in_asyncapi_leads_somewhere() -> None:
    document = asyncapi()
    found = references(document)
    assert found
    for reference in found:
        here: Any = document
        for part in reference.removeprefix("#/").split("/"):
            here = here[part]


def test_every_name_has_a_version_and_stands_once() -> None:
    for name, kind in EVENTS.items():
        assert name == kind.name == kind.model.TYPE
        assert name.rsplit(".", 1)[1] == "v1"
        assert name.count(".") == 2
    assert len({kind.model for kind in EVENTS.values()}) == len(EVENTS)
    assert all(EVENTS["message.parked.v1"] in TOPICS[topic] for topic in DEAD_TOPICS)


def test_the_page_on_events_names_every_type_and_topic() -> None:
    page = (HERE.parents[1] / "docs" / "events.md").read_text(encoding="utf-8")
    assert [name for name in (*EVENTS, *TOPICS) if f"`{name}`" not in page] == []


_ROW = re.compile(r"\| `([a-z_]+\.[a-z_]+\.v1)` \| .* \| (.*) \|")
_EVERYWHERE = {"program", "member", "at", "cause", "balances", "version", "tier_standing", "segments"}
"""What the page says of all events, or of all of a topic."""


def test_the_page_on_events_names_each_type_once_with_all_of_its_fields() -> None:
    """A reader makes tables of them."""
    page = (HERE.parents[1] / "docs" / "events.md").read_text(encoding="utf-8")
    rows = [found.groups() for line in page.splitlines() if (found := _ROW.fullmatch(line))]
    assert [name for name, count in Counter(name for name, _ in rows).items() if count > 1] == []
    for name, said in rows:
        outside = re.sub(r"\([^)]*\)", "", said)
        if "as " in outside:
            continue
        fields = set(re.findall(r"`([a-z_]+)(?:\[\])?`", outside))
        known = {field.alias or own for own, field in EVENTS[name].model.model_fields.items()}
        assert (name, fields - known, known - fields - _EVERYWHERE) == (name, set(), set())


def test_no_event_has_room_for_an_identifier_a_name_or_a_code_of_a_voucher() -> None:
    for text in generated().values():
        schema = json.loads(text)
        fields = set(_names(schema))
        assert not fields & {"identifiers", "scheme", "email", "phone", "secret"}
        assert "code" not in schema.get("$defs", {}).get("VoucherMade", {}).get("properties", {})


def _names(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for inner in value for name in _names(inner)]
    if isinstance(value, dict):
        own = list(value["properties"]) if isinstance(value.get("properties"), dict) else []
        return own + [name for inner in value.values() for name in _names(inner)]
    return []
