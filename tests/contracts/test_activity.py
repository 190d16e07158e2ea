"""The rules across an activity's fields, and the hash by which a repeat is known."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laurel.contracts.activity import Activity, ReportedActivity, check, content_hash, problem_of
from laurel.contracts.asking import ActivityReported
from laurel.contracts.reading import read
from laurel.errors import Problem
from laurel.shapes import decoder_of, encode

PURCHASE: dict[str, Any] = {
    "id": "till-7-000123",
    "type": "purchase",
    "member": {"scheme": "card", "value": "6340000"},
    "occurred_at": "2026-03-14T09:26:53+00:00",
    "currency": "GBP",
    "amount": 1098,
    "partner": "acme",
    "store": "s-12",
    "channel": "store",
    "lines": [
        {
            "id": "1",
            "sku": "5000168",
            "quantity": 2,
            "amount": 598,
            "category": "BISCUITS",
            "brand": "national",
            "attributes": {"manufacturer": 1234, "organic": False},
        },
        {"id": "2", "amount": 500},
    ],
    "tenders": [{"kind": "voucher", "amount": 250, "ref": "use-1"}, {"kind": "card", "amount": 848}],
    "attributes": {"b": 1, "a": "x"},
}
RETURN: dict[str, Any] = {
    "id": "r-1",
    "type": "return",
    "of": "till-7-000123",
    "occurred_at": "2026-03-15T09:26:53+00:00",
}


def activity(base: dict[str, Any] = PURCHASE, **changes: Any) -> Activity:
    kept = {name: value for name, value in {**base, **changes}.items() if value is not ...}
    return read(Activity, json.dumps(kept).encode())


def codes(said: Activity) -> list[tuple[str, str]]:
    return [(fault.pointer, fault.code) for fault in check(said)]


def test_the_contracts_own_purchase_is_right() -> None:
    assert codes(activity()) == []
    assert check(Activity.model_validate(PURCHASE)) == []


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"amount": 1099}, [("/lines", "lines_do_not_sum")]),
        ({"amount": ...}, []),
        ({"lines": []}, []),
        ({"lines": ..., "amount": ..., "tenders": ..., "currency": ...}, []),
        ({"lines": [{"id": "1", "amount": 1098}, {"id": "1", "amount": 0}]}, [("/lines/1/id", "repeated")]),
        ({"lines": [{"id": "1"}], "tenders": ...}, [("/lines/0/amount", "missing")]),
        ({"tenders": [{"kind": "card", "amount": 1099}]}, [("/tenders", "tenders_exceed_amount")]),
        ({"tenders": [{"kind": "card", "amount": 1098}]}, []),
        ({"tenders": [{"kind": "card", "amount": 1}]}, []),
        ({"amount": ..., "tenders": [{"kind": "card", "amount": 1099}]}, [("/tenders", "tenders_exceed_amount")]),
        ({"amount": ..., "lines": ...}, [("/amount", "missing")]),
        ({"currency": ...}, [("/currency", "missing")]),
        ({"by": "member"}, [("/by", "not_allowed")]),
        (
            {"amount": 5, "currency": ...},
            [("/lines", "lines_do_not_sum"), ("/tenders", "tenders_exceed_amount"), ("/currency", "missing")],
        ),
    ],
)
def test_rules_of_a_purchase(changes: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    assert codes(activity(**changes)) == faults


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, []),
        ({"amount": 5}, []),
        ({"amount": 0}, [("/amount", "out_of_range")]),
        ({"of": ...}, [("/of", "missing")]),
        ({"of": "r-1"}, [("/of", "not_allowed")]),
        ({"by": "provider", "tenders": []}, []),
        ({"lines": [{"id": "1", "quantity": 1}]}, []),
        ({"lines": [{"id": "1", "quantity": 1}], "amount": 299}, []),
        ({"lines": [{"id": "1", "amount": 299}], "amount": 299}, []),
        ({"lines": [{"id": "1", "amount": 299}], "amount": 300}, [("/lines", "lines_do_not_sum")]),
        ({"lines": [{"id": "1"}]}, [("/lines/0", "quantity_or_amount")]),
        ({"lines": [{"id": "1", "quantity": 1, "amount": 1}]}, [("/lines/0", "quantity_or_amount")]),
        ({"lines": [{"id": "1", "quantity": 0}]}, [("/lines/0/quantity", "out_of_range")]),
        ({"lines": [{"id": "1", "amount": 0}]}, [("/lines/0/amount", "out_of_range")]),
    ],
)
def test_rules_of_a_return(changes: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    assert codes(activity(RETURN, **changes)) == faults


def test_other_types_may_name_another_activity() -> None:
    closed = {"id": "c-1", "type": "product_closed", "of": "o-1", "occurred_at": "2026-03-15T09:26:53Z"}
    assert codes(activity(closed)) == []


def test_a_fault_with_a_code_of_its_own_is_the_problem() -> None:
    problem = problem_of(check(activity(amount=1099)))
    assert (problem.code, problem.status) == ("lines_do_not_sum", 422)
    assert problem.errors[0].pointer == "/lines"
    both = problem_of(check(activity(amount=1099, currency=...)))
    assert (both.code, len(both.errors)) == ("invalid", 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"occurred_at": "2026-03-14T09:26:53"},
        {"occurred_at": ...},
        {"amount": -1},
        {"amount": 10**15 + 1},
        {"amount": 4730.0},
        {"amount": "4730"},
        {"amount": True},
        {"currency": "gbp"},
        {"id": "a b"},
        {"id": ...},
        {"type": "Purchase"},
        {"member": {"scheme": "card"}},
        {"member": 42},
        {"attributes": {"rate": 1.5}},
        {"attributes": {"nested": {}}},
        {"store": "s\x00"},
        {"surprise": 1},
        {"lines": [{"id": "1", "amount": 1, "surprise": 1}]},
        {"lines": [{"id": str(n), "amount": 1} for n in range(2001)]},
        {"by": "nobody"},
    ],
)
def test_bad_input_is_one_fault_each(changes: dict[str, Any]) -> None:
    with pytest.raises(Problem) as told:
        activity(**changes)
    assert told.value.code == "invalid"
    assert len(told.value.errors) == 1


def test_events_carry_no_identifier_and_ignore_what_they_do_not_know() -> None:
    event = {
        "program": "grocery",
        "member": "m-1",
        "at": "2026-03-14T09:26:54Z",
        "cause": {"kind": "activity", "id": "till-7-000123"},
        "partner": "acme",
        "hash": "1:abc",
        "versions": {"program": 1},
        "activity": {**PURCHASE, "member": "m-1", "later": 1, "lines": [{"id": "1", "amount": 5, "later": 2}]},
    }
    decoded = decoder_of(ActivityReported).decode(encode(event))
    assert decoded.activity.member == "m-1"
    assert decoded.activity.lines[0].amount == 5
    with pytest.raises(Exception, match="member"):
        decoder_of(ReportedActivity).decode(encode(PURCHASE))


# The hash: kept for ever with activities, so its values may never change under one version.


def test_the_hash_of_version_1_stays_what_it_was() -> None:
    assert content_hash(activity()) == GOLDEN
    assert content_hash(activity(), version=1) == GOLDEN


GOLDEN = "1:d007033c1a8961b0d34a2bc4c7df5e3dfbe9e9214488bbffefd5469d20cc25cf"


def test_a_version_that_never_was_is_refused() -> None:
    with pytest.raises(ValueError, match="hash version 2"):
        content_hash(activity(), version=2)


def test_either_kind_of_object_has_the_same_hash() -> None:
    assert content_hash(Activity.model_validate(PURCHASE)) == content_hash(activity())


@pytest.mark.parametrize(
    "changes",
    [
        {"occurred_at": "2026-03-14T09:26:53Z"},
        {"occurred_at": "2026-03-14T10:26:53+01:00"},
        {"occurred_at": "2026-03-14T09:26:53.000Z"},
        {"partner": ...},
        {"attributes": {"a": "x", "b": 1}},
        {"payer": None},
    ],
)
def test_the_same_request_said_otherwise_has_the_same_hash(changes: dict[str, Any]) -> None:
    assert content_hash(activity(**changes)) == content_hash(activity())


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_fields_does_not_count(random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, list):
            return [shuffled(inner) for inner in value]
        if isinstance(value, dict):
            names = list(value)
            random.shuffle(names)
            return {name: shuffled(value[name]) for name in names}
        return value

    assert content_hash(activity(shuffled(PURCHASE))) == GOLDEN


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "till-7-000124"},
        {"member": "m-42"},
        {"member": ...},
        {"occurred_at": "2026-03-14T09:26:54Z"},
        {"occurred_at": "2026-03-14T09:26:53.001Z"},
        {"amount": ...},
        {"currency": "USD"},
        {"store": ...},
        {"lines": list(reversed(PURCHASE["lines"]))},
        {"tenders": ...},
        {"attributes": {"b": True, "a": "x"}},
        {"attributes": {"b": "1", "a": "x"}},
        {"campaign": "c"},
    ],
)
def test_another_request_has_another_hash(changes: dict[str, Any]) -> None:
    assert content_hash(activity(**changes)) != content_hash(activity())


def test_defaults_said_aloud_do_not_count() -> None:
    bare = content_hash(activity(RETURN))
    assert content_hash(activity(RETURN, by="provider")) == bare
    assert content_hash(activity(RETURN, lines=[], attributes={}, member=None)) == bare
    assert content_hash(activity(RETURN, by="member")) != bare


def test_no_tenders_and_an_empty_list_are_two_things_only_in_a_return() -> None:
    assert content_hash(activity(RETURN, tenders=[])) != content_hash(activity(RETURN))
    assert content_hash(activity(tenders=[])) == content_hash(activity(tenders=...))
