"""Every operation says its name, who may ask, what is sent and answered, and how it refuses; and it is so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from laurel.contracts import http as asked
from laurel.contracts import http_redeeming
from laurel.contracts.activity import Activity, QuotedActivity
from laurel.contracts.reading import read
from laurel.errors import PROBLEMS
from services.gateway import documenting
from services.gateway.completing import JSON, PROBLEM
from services.gateway.promising import PROMISES
from services.gateway.routes import ROUTERS

Operation = tuple[str, str, dict[str, Any]]
TEXTS: Final = {"application/x-ndjson", "application/yaml", "text/event-stream", "text/csv"}


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document as it is served."""
    app = FastAPI(title="Laurel", version="1")
    for router in ROUTERS:
        app.include_router(router)
    found: dict[str, Any] = json.loads(json.dumps(documenting.document(app, "")))
    return found


def test_every_operation_has_a_line_in_the_table(document: dict[str, Any]) -> None:
    named = [operation["operationId"] for _, _, operation in operations(document)]
    assert sorted(named) == sorted(set(named)), "operations have names of their own"
    assert set(named) == set(PROMISES), "add or drop its line in services/gateway/promising.py"
    assert {code for promise in PROMISES.values() for code in promise.codes} <= set(PROBLEMS)


def test_every_operation_is_told_in_words(document: dict[str, Any]) -> None:
    known = {tag["name"] for tag in document["tags"] if tag["description"]}
    for _, path, operation in operations(document):
        assert operation["summary"], path
        assert len(operation["description"]) > 8, path
        assert set(operation["tags"]) <= known, "describe the tag in services/gateway/completing.py"
        for parameter in operation["parameters"]:
            assert parameter["in"] == "path" or parameter["description"], (path, parameter["name"])


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield "request", media, content
    for status, response in operation["responses"].items():
        for media, content in response.get("content", {}).items():
            yield status, media, content


def test_every_body_and_answer_has_an_example_that_is_right(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        for where, media, content in contents(operation):
            examples = [each["value"] for each in content.get("examples", {}).values()]
            examples += [content["example"]] if "example" in content else []
            assert examples, (path, where, media)
            if media in TEXTS:
                continue
            validator = Draft202012Validator({**content["schema"], "components": document["components"]})
            for example in examples:
                faults = [f"{list(fault.path)}: {fault.message}" for fault in validator.iter_errors(example)]
                assert not faults, (path, where, faults)


def test_an_example_of_a_body_is_read_like_any_other(document: dict[str, Any]) -> None:
    shapes: dict[str, Any] = {
        **vars(asked),
        **vars(http_redeeming),
        "Activity": Activity,
        "QuotedActivity": QuotedActivity,
    }
    read_so_far = 0
    for _, _, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get(JSON, {})
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        if name:
            read(shapes[name], json.dumps(content["example"]).encode())
            read_so_far += 1
    assert read_so_far > 20


def test_every_refusal_says_its_codes(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) < 400:
                continue
            content = response["content"][PROBLEM]
            codes = content["schema"]["properties"]["code"]["enum"]
            assert codes, (path, status)
            assert set(content["examples"]) == set(codes)
            assert {PROBLEMS[code].status for code in codes} == {int(status)}
        promised = set(PROMISES[operation["operationId"]].codes)
        told = {str(PROBLEMS[code].status) for code in promised}
        assert told <= set(operation["responses"]), (path, "a code has a status that the route does not describe")


def test_headers_are_told_where_they_are_given(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        for status, response in operation["responses"].items():
            headers = set(response["headers"])
            assert "X-Request-Id" in headers, path
            assert ("Retry-After" in headers) == (status in {"429", "503"}), path
            assert ("Location" in headers) == (status in {"201", "202"}), path
