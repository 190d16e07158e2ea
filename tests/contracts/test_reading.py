"""A body that is wrong is told fault by fault, each with its pointer."""

import json
from datetime import datetime
from typing import Any, get_args

import msgspec
import pytest
from pydantic import BaseModel

from laurel.contracts import http, http_redeeming
from laurel.contracts.activity import Activity
from laurel.contracts.http import AdjustPoints, CreateKey, EnrolMember, MatchStatus, TurnClock
from laurel.contracts.http_redeeming import PublishResource, PublishReward, RequestRedemption
from laurel.contracts.reading import pointer_to, read
from laurel.errors import Problem

GOOD = {"id": "a", "type": "purchase", "occurred_at": "2026-03-14T09:26:53Z"}


def told(body: bytes, model: Any = Activity) -> Problem:
    with pytest.raises(Problem) as caught:
        read(model, body)
    return caught.value


def faults(document: object, model: Any = Activity) -> set[tuple[str, str]]:
    problem = told(json.dumps(document).encode(), model)
    assert problem.code == "invalid"
    assert all(fault.detail for fault in problem.errors)
    assert len(problem.errors) == len({fault.pointer for fault in problem.errors})
    return {(fault.pointer, fault.code) for fault in problem.errors}


def test_a_good_body_is_read() -> None:
    assert read(Activity, json.dumps(GOOD).encode()).type == "purchase"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nope", b"\xff", b'{"id":"\xff"}', b'{"id":5,', b"[" * 100_000, b'{"id":"\\ud800"}', b"{}{}"]
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    problem = told(body)
    assert (problem.code, problem.status, problem.errors) == ("malformed", 400, ())
    assert problem.detail


@pytest.mark.parametrize("body", [b"null", b"[]", b"5", b'"x"', b"true"])
def test_what_is_no_object_is_invalid_as_a_whole(body: bytes) -> None:
    assert faults(json.loads(body)) == {("", "wrong_type")}


def test_every_fault_is_told_at_once() -> None:
    document = {
        "type": "Purchase!",
        "occurred_at": "2026-03-14T09:26:53",
        "amount": -1,
        "surprise": 1,
        "member": {"scheme": "card", "valeu": "1"},
        "lines": [{"id": "1", "amount": 1.5}, {"id": "2", "x/y~z": 1}, 5],
        "attributes": {"a": None, "b": 10**16, "c": "\x00"},
        "by": "nobody",
    }
    assert faults(document) == {
        ("/id", "missing"),
        ("/type", "bad_format"),
        ("/occurred_at", "naive_time"),
        ("/amount", "out_of_range"),
        ("/surprise", "unknown_field"),
        ("/member/value", "missing"),
        ("/member/valeu", "unknown_field"),
        ("/lines/0/amount", "wrong_type"),
        ("/lines/1/x~1y~0z", "unknown_field"),
        ("/lines/2", "wrong_type"),
        ("/attributes/a", "wrong_type"),
        ("/attributes/b", "out_of_range"),
        ("/attributes/c", "bad_format"),
        ("/by", "not_one_of"),
    }


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("id", "x" * 129, "bad_format"),
        ("id", 5, "wrong_type"),
        ("member", 42, "wrong_type"),
        ("member", "a b", "bad_format"),
        ("occurred_at", 1773480413, "wrong_type"),
        ("occurred_at", "yesterday", "not_an_instant"),
        ("amount", True, "wrong_type"),
        ("amount", 10**30, "out_of_range"),
        ("channel", "", "too_short"),
        ("channel", "x" * 129, "too_long"),
        ("lines", {}, "wrong_type"),
        ("lines", [{"id": str(n)} for n in range(2001)], "too_long"),
        ("tenders", "cash", "wrong_type"),
    ],
)
def test_each_fault_has_a_code(field: str, value: object, code: str) -> None:
    assert faults({**GOOD, field: value}) == {(f"/{field}", code)}


def test_a_name_that_is_nul_is_told_where_it_stands() -> None:
    assert faults({**GOOD, "attributes": {"a\x00": 1}}) == {("/attributes/a\x00", "bad_format")}


def test_a_number_beyond_all_bounds_is_no_crash() -> None:
    problem = told(b'{"id":"a","amount":' + b"9" * 5000 + b"}")
    assert problem.code == "invalid"


def test_the_sentence_names_every_way_to_say_it() -> None:
    problem = told(json.dumps({**GOOD, "attributes": {"a": 1.5}}).encode())
    assert problem.errors[0].detail == "This must be an integer, or text, or true or false"
    assert "regex" not in told(json.dumps({**GOOD, "channel": "\x00"}).encode()).errors[0].detail


@pytest.mark.parametrize(
    ("model", "document", "wrong"),
    [
        (EnrolMember, {"identifiers": [{"scheme": "card"}]}, {("/identifiers/0/value", "missing")}),
        (EnrolMember, {"enrolled_at": "2026-01-01"}, {("/enrolled_at", "not_an_instant")}),
        (
            CreateKey,
            {"scopes": ["earn", "fly"], "programs": []},
            {("/scopes/1", "not_one_of"), ("/programs", "too_short")},
        ),
        (
            PublishReward,
            {
                "name": "x",
                "kind": "trip",
                "unit": "point",
                "price": -1,
                "value": {"amount": 1, "currency": "GBP", "x": 1},
            },
            {("/kind", "not_one_of"), ("/price", "out_of_range"), ("/value/x", "unknown_field")},
        ),
    ],
)
def test_other_bodies(model: Any, document: object, wrong: set[tuple[str, str]]) -> None:
    assert faults(document, model) == wrong


@pytest.mark.parametrize(
    ("model", "document", "pointer"),
    [
        # What a clock says that was never set, and what stands for "never".
        (Activity, {**GOOD, "occurred_at": "0001-01-01T00:00:00Z"}, "/occurred_at"),
        (Activity, {**GOOD, "occurred_at": "0001-01-01T00:00:00+05:00"}, "/occurred_at"),
        (Activity, {**GOOD, "occurred_at": "9999-12-31T23:59:59-05:00"}, "/occurred_at"),
        (Activity, {**GOOD, "occurred_at": "1899-12-31T23:59:59Z"}, "/occurred_at"),
        (EnrolMember, {"enrolled_at": "0001-01-01T00:00:00Z"}, "/enrolled_at"),
        (TurnClock, {"as_of": "9999-12-31T23:59:59.999999Z"}, "/as_of"),
        (AdjustPoints, {"member": "m", "unit": "point", "expires_at": "9999-12-31T23:59:59Z"}, "/expires_at"),
        (MatchStatus, {"tier": "gold", "evidence": {"issuer": "x", "dated": "0001-01-01"}}, "/evidence/dated"),
        (PublishResource, {"capacity": 1, "from": "1899-12-31"}, "/from"),
        (
            RequestRedemption,
            {"member": "m", "reward": "r", "segments": [{"resource": "a", "on": "9999-12-31"}]},
            "/segments/0/on",
        ),
    ],
)
def test_times_that_cannot_be_reckoned_with_are_told(model: Any, document: object, pointer: str) -> None:
    assert faults(document, model) == {(pointer, "out_of_range")}


def test_a_time_that_cannot_be_reckoned_with_is_told_beside_other_faults() -> None:
    document = {**GOOD, "occurred_at": "0001-01-01T00:00:00Z", "amount": -1}
    assert faults(document) == {("/occurred_at", "out_of_range"), ("/amount", "out_of_range")}


@pytest.mark.parametrize("at", ["1900-01-01T00:00:00Z", "8999-12-31T23:59:59.999999Z", "2024-02-29T23:59:59+23:59"])
def test_times_within_are_read(at: str) -> None:
    assert read(Activity, json.dumps({**GOOD, "occurred_at": at}).encode()).occurred_at.tzinfo is not None


def test_instants_are_read_into_utc_whatever_zone_they_come_in() -> None:
    """What is decided from them is said to others, who are told that events have their instants in UTC."""
    for said in ("2026-03-14T09:26:53+05:30", "2026-03-14T03:56:53Z", "2026-03-13T19:56:53-08:00"):
        found = read(Activity, json.dumps({**GOOD, "occurred_at": said}).encode())
        assert msgspec.json.encode(found.occurred_at) == b'"2026-03-14T03:56:53Z"'


def test_instants_stand_where_they_are_read_into_utc() -> None:
    """At the top of a body. Whoever writes a body with one further in has to see to that one, too."""
    bodies: list[type[BaseModel]] = [Activity, *_bodies(http), *_bodies(http_redeeming)]
    assert len(bodies) > 40
    for body in bodies:
        for inner in {each for field in body.model_fields.values() for each in _models_in(field.annotation)}:
            assert datetime not in _types_of(inner), (body, inner)


def _bodies(module: Any) -> list[type[BaseModel]]:
    return [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, BaseModel)]


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values()
        return {annotation, *(each for field in fields for each in _models_in(field.annotation))}
    return {each for part in get_args(annotation) for each in _models_in(part)}


def _types_of(model: type[BaseModel]) -> set[object]:
    annotations = [field.annotation for field in model.model_fields.values()]
    return {part for annotation in annotations for part in (annotation, *get_args(annotation))}


def test_pointers_are_escaped() -> None:
    assert pointer_to(["a/b", 0, "c~d", ""]) == "/a~1b/0/c~0d/"
    assert pointer_to([]) == ""
