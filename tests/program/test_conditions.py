"""Conditions mean what CEL means, nonsense is refused before it runs, and remembering changes nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laurel.program import conditions
from laurel.program.conditions import Condition, compile_condition, condition_faults
from laurel.program.scopes import lines_scope, where_scope

LINES = lines_scope({"maker": "text", "organic": "boolean", "grams": "integer"})
WHERE = where_scope({"miles": "integer", "cabin": "text"}, {"card": "text", "age": "integer"})


def a_line(**fields: Any) -> SimpleNamespace:
    empty = dict.fromkeys(("sku", "category", "brand", "quantity", "amount"))
    return SimpleNamespace(**{"attributes": {}, **empty, **fields})


def an_activity(**fields: Any) -> SimpleNamespace:
    empty = dict.fromkeys(("amount", "currency", "channel", "store", "partner", "campaign"))
    return SimpleNamespace(**{"type": "purchase", "attributes": {}, **empty, **fields})


def lines(source: str) -> Condition:
    assert condition_faults(source, LINES) == []
    return compile_condition(source, LINES)


def holds(source: str, **fields: Any) -> bool:
    return lines(source).holds(a_line(**fields), {})


@pytest.mark.parametrize(
    ("source", "guard", "uses_cel"),
    [
        ('line.category == "FRUIT"', ("line.category", {"FRUIT"}), False),
        ('"FRUIT" == line.category', ("line.category", {"FRUIT"}), False),
        ('line.category in ["A", "B"] && line.amount >= 100', ("line.category", {"A", "B"}), False),
        ('line.brand == "N" && line.sku == "1" && line.attributes.maker == "m"', ("line.sku", {"1"}), False),
        ('line.brand == "N" && line.attributes.maker == "m"', ("line.attributes.maker", {"m"}), False),
        ('line.category == "A" || line.category == "B"', None, True),
        ('line.category == "A" && line.attributes.organic', ("line.category", {"A"}), True),
        ("line.quantity > 2", None, False),
        ("2 < line.quantity && line.amount != 0", None, False),
        ('line.category != "A"', None, True),
    ],
)
def test_a_conjunction_is_split_into_a_guard_and_the_rest(
    source: str, guard: tuple[str, set[str]] | None, uses_cel: bool
) -> None:
    condition = lines(source)
    found = condition.guard and (condition.guard.field.path, set(condition.guard.values))
    assert found == guard
    assert condition.uses_cel is uses_cel


@pytest.mark.parametrize(
    ("source", "fields", "answer"),
    [
        ('line.category == "A" && line.brand in ["N", "P"]', {"category": "A", "brand": "P"}, True),
        ('line.category == "A" && line.brand in ["N", "P"]', {"category": "A", "brand": "X"}, False),
        ("line.amount >= 100 && line.quantity < 3", {"amount": 100, "quantity": 2}, True),
        ("line.amount >= 50 * line.quantity", {"amount": 100, "quantity": 2}, True),
        ("line.amount >= 50 * line.quantity", {"amount": 99, "quantity": 2}, False),
        ("line.amount / line.quantity > 1", {"amount": 99, "quantity": 0}, False),
        ('line.sku.startsWith("50")', {"sku": "5000"}, True),
        ('line.sku.contains("00") && !line.sku.endsWith("1")', {"sku": "5001"}, False),
        ("line.attributes.organic", {"attributes": {"organic": True}}, True),
        ("line.attributes.organic ? line.amount > 1 : line.amount > 9", {"amount": 5}, False),
    ],
)
def test_conditions_answer(source: str, fields: dict[str, Any], answer: bool) -> None:
    assert holds(source, **fields) is answer


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ('line.category == "A"', False),
        ('line.category != "A"', False),
        ("line.attributes.grams < 5", False),
        ("line.attributes.grams != 5", False),
        ("!line.attributes.organic", False),
        ('line.category != "A" || line.amount == 7', True),
        ("has(line.category)", False),
        ('!has(line.category) || line.category == "A"', True),
        ("has(line.amount)", True),
        ("line.quantity == 1", True),
    ],
)
def test_what_is_not_there_is_an_error_and_an_error_is_false(source: str, answer: bool) -> None:
    assert holds(source, amount=7) is answer


@pytest.mark.parametrize("value", [True, 1, "1", None])
def test_a_value_of_another_type_than_declared_is_not_there(value: Any) -> None:
    attributes = {} if value is None else {"grams": value, "organic": value, "maker": value}
    assert holds("line.attributes.grams == 1", attributes=attributes) is (type(value) is int)
    assert holds("line.attributes.organic == true", attributes=attributes) is (value is True)
    assert holds('line.attributes.maker == "1"', attributes=attributes) is (value == "1")
    assert holds("has(line.attributes.grams)", attributes=attributes) is (type(value) is int)


def test_where_reads_the_activity_and_the_member() -> None:
    source = 'activity.channel == "store" && member.attributes.card == "gold" && activity.attributes.miles >= 500'
    condition = compile_condition(source, WHERE)
    activity = an_activity(channel="store", attributes={"miles": 500})
    assert condition.holds(activity, {"card": "gold"})
    assert not condition.holds(activity, {"card": "blue"})
    assert not condition.holds(activity, {})
    assert not condition.holds(an_activity(channel="store", attributes={"miles": 499}), {"card": "gold"})


@pytest.mark.parametrize(
    ("source", "code", "column"),
    [
        ("line.colour == 'x'", "unknown_name", 1),
        ("line.amount > 1 && line.attributes.colour == 'x'", "unknown_name", 20),
        ("activity.channel == 'x'", "unknown_name", 1),
        ("has(line.colour)", "unknown_name", 5),
        ("line.category == 5", "condition_type", 15),
        ("5 == line.category", "condition_type", 3),
        ("line.category in ['a', 5]", "condition_type", 24),
        ("line.amount in ['a']", "condition_type", 17),
        ("line.category < 5", "condition_type", 15),
        ("line.amount", "condition_type", 1),
        ("line.category", "condition_type", 1),
        ("'x'", "condition_type", 1),
        ("line.amount + line.category > 1", "condition_type", 15),
        ("line.category + 'x' == 'yx'", "condition_type", 1),
        ("!line.amount", "condition_type", 2),
        ("-line.category == 1", "condition_type", 2),
        ("line.amount && true", "condition_type", 1),
        ("line.attributes.organic == 'yes'", "condition_type", 25),
        ("line.attributes.organic < true", "condition_type", 25),
        ("line.amount.startsWith('x')", "condition_type", 1),
        ("line.sku.startsWith(1)", "condition_type", 21),
        ("line.amount > 1 ? 1 : 2", "condition_type", 17),
        ("line.amount ? true : false", "condition_type", 1),
        ("line.category in []", "condition_type", 18),
        ("line.category in 'abc'", "condition_type", 18),
        ("[1] == [1]", "condition_type", 1),
    ],
)
def test_what_makes_no_sense_is_refused_before_it_runs(source: str, code: str, column: int) -> None:
    faults = condition_faults(source, LINES)
    assert faults
    assert (faults[0].code, faults[0].column) == (code, column)
    assert str(faults[0]).startswith(f"column {column}: ")


def test_every_fault_of_a_condition_is_told() -> None:
    faults = condition_faults("line.colour == 1 && line.category == 5 && line.size > 'x'", LINES)
    assert [(fault.code, fault.column) for fault in faults] == [
        ("unknown_name", 1),
        ("condition_type", 35),
        ("unknown_name", 43),
    ]


def test_an_unknown_name_is_answered_with_those_that_exist() -> None:
    (fault,) = condition_faults("basket.total > 1", WHERE)
    assert fault.detail == "basket.total is not known here; conditions here read activity.* and member.*"
    (fault,) = condition_faults("line.price > 1", LINES)
    assert "line.sku, line.category, line.brand, line.quantity, line.amount" in fault.detail


_TEXTS = st.sampled_from(["A", "B", "AB", ""])
_NUMBERS = st.integers(-3, 3)


def _numbers() -> st.SearchStrategy[str]:
    leaves = st.sampled_from(["line.amount", "line.quantity", "line.attributes.grams"]) | _NUMBERS.map(str)
    return st.recursive(
        leaves, lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*/%"), inner), max_leaves=3
    )


def _conditions() -> st.SearchStrategy[str]:
    texts = st.sampled_from(["line.category", "line.brand", "line.attributes.maker"]) | _TEXTS.map(repr)
    numbers = _numbers()
    leaves = st.one_of(
        st.builds("{} {} {}".format, texts, st.sampled_from(["==", "!=", "<", ">="]), texts),
        st.builds("{} {} {}".format, numbers, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), numbers),
        st.builds("{} in [{}, {}]".format, texts, texts, texts),
        st.builds("{}.{}({})".format, texts, st.sampled_from(["startsWith", "endsWith", "contains"]), texts),
        st.sampled_from(["line.attributes.organic", "has(line.attributes.maker)", "true", "false"]),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds("({} && {})".format, inner, inner),
            st.builds("({} || {})".format, inner, inner),
            st.builds("!({})".format, inner),
            st.builds("({} ? {} : {})".format, inner, inner, inner),
        ),
        max_leaves=6,
    ).flatmap(lambda one: st.sampled_from([one, f"line.category == 'A' && {one}", f"{one} && line.amount > 0"]))


_LINES = st.builds(
    a_line,
    category=_TEXTS | st.none(),
    brand=_TEXTS | st.none(),
    quantity=st.integers(0, 3),
    amount=_NUMBERS | st.none(),
    attributes=st.fixed_dictionaries({}, optional={"maker": _TEXTS, "organic": st.booleans(), "grams": _NUMBERS}),
)


def _as_cel(source: str, line: SimpleNamespace) -> bool:
    """What the CEL library itself says, on the nested values and the text as it was written."""
    plain = {name: value for name, value in vars(line).items() if value is not None}
    try:
        return cel.evaluate(source, {"line": plain}) is True
    except (TypeError, ValueError, RuntimeError, ArithmeticError, KeyError):
        return False


@given(_conditions(), _LINES)
def test_a_compiled_condition_answers_as_cel_does(source: str, line: SimpleNamespace) -> None:
    faults = condition_faults(source, LINES)
    assert faults == []
    condition = compile_condition(source, LINES)
    assert condition.holds(line, {}) is _as_cel(source, line)
    assert condition.holds(line, {}) is (condition.words_hold(line, {}) and condition.numbers_hold(line, {}))


@given(st.lists(_LINES, min_size=1, max_size=8))
def test_remembering_changes_no_answer(several: list[SimpleNamespace]) -> None:
    source = 'line.attributes.organic || line.category.startsWith("A") && line.amount > line.quantity'
    remembering = compile_condition(source, LINES)
    for line in several:
        assert remembering.holds(line, {}) is compile_condition(source, LINES).holds(line, {})


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "MEMO_MAX", 3)
    condition = lines('line.sku.startsWith("5")')
    for number in range(20):
        assert condition.holds(a_line(sku=f"{number}"), {}) is str(number).startswith("5")
    assert len(condition.words[0]._memory) <= 3  # type: ignore[attr-defined]  # the memory of the CEL part
