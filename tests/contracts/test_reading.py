"""A body that is wrong is told fault by fault, each with its pointer."""

import json
from typing import Any

import pytest

from laurel.contracts.activity import Activity
from laurel.contracts.http import CreateKey, EnrolMember
from laurel.contracts.http_redeeming import PublishReward
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


def test_pointers_are_escaped() -> None:
    assert pointer_to(["a/b", 0, "c~d", ""]) == "/a~1b/0/c~0d/"
    assert pointer_to([]) == ""
