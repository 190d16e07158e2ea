"""The written form of a condition: what is understood, what is refused and at which column."""

from __future__ import annotations

import cel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laurel.program.expressions import (
    Binary,
    ConditionFault,
    Literal,
    Name,
    conjuncts,
    names_in,
    render,
)
from laurel.program.parsing import DEPTH_MAX, LENGTH_MAX, parse


def test_a_dotted_name_becomes_a_flat_scalar() -> None:
    assert render(parse("line.attributes.size == 3")) == "(line__attributes__size == 3)"


def test_a_name_inside_a_text_stays_as_it_is() -> None:
    assert render(parse("line.sku == 'line.sku && \\'x\\''")) == "(line__sku == \"line.sku && 'x'\")"


@pytest.mark.parametrize(
    ("source", "value"),
    [
        (r'"a\"b"', 'a"b'),
        (r"'\x41\u00e9\U0001F600\101'", "Aé😀A"),
        (r"r'\n'", r"\n"),
        ("'''it's'''", "it's"),
        ('"""a\nb"""', "a\nb"),
        (r"'\\'", "\\"),
        ("''", ""),
    ],
)
def test_texts_are_read_as_cel_reads_them(source: str, value: str) -> None:
    tree = parse(source)
    assert isinstance(tree, Literal)
    assert tree.value == value
    assert cel.evaluate(source) == value
    assert cel.evaluate(render(tree)) == value


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_survives_rendering(value: str) -> None:
    assert cel.evaluate(render(Literal(value, 1))) == value


@pytest.mark.parametrize(
    ("source", "rendered"),
    [
        ("a || b && c", "(a || (b && c))"),
        ("a && b || c && d", "((a && b) || (c && d))"),
        ("1 + 2 * 3 == 7", "((1 + (2 * 3)) == 7)"),
        ("!a && -b < -1", "((!a) && ((-b) < (-1)))"),
        ("a ? b : c ? d : e", "(a ? b : (c ? d : e))"),
        ("a in ['x', 'y',] // says why", '(a in ["x", "y"])'),
        ("a.startsWith('x')", 'a.startsWith("x")'),
        ("has(a.b) == true", "(has__a__b == true)"),
        ("0x10 == 16", "(16 == 16)"),
    ],
)
def test_precedence_is_that_of_cel(source: str, rendered: str) -> None:
    assert render(parse(source)) == rendered


def test_a_conjunction_comes_apart_in_the_order_written() -> None:
    parts = conjuncts(parse("a == 1 && (b == 2 && c == 3) && (d || e)"))
    assert [render(part) for part in parts] == ["(a == 1)", "(b == 2)", "(c == 3)", "(d || e)"]


def test_columns_count_from_one() -> None:
    tree = parse("  a.b == 1")
    assert isinstance(tree, Binary)
    assert tree.left == Name("a.b", 3)
    assert [name.column for name in names_in(tree)] == [3]


@pytest.mark.parametrize(
    ("source", "code", "column"),
    [
        ("", "condition_syntax", 1),
        ("a ==", "condition_syntax", 5),
        ("a == 1 b", "condition_syntax", 8),
        ("a = 1", "condition_syntax", 3),
        ("(a == 1", "condition_syntax", 8),
        ("a == 'x", "condition_syntax", 6),
        ("a == [1, 2", "condition_syntax", 11),
        ("a == 1 & b", "condition_syntax", 8),
        ("a == '\\q'", "condition_syntax", 6),
        ("a == '\\ud800'", "condition_syntax", 6),
        ("a == '\\u0000'", "condition_syntax", 6),
        ("a == 1.5", "condition_type", 6),
        ("a == 2u", "condition_type", 6),
        ("a == 9223372036854775808", "condition_type", 6),
        ("size(a) == 1", "unknown_function", 1),
        ("a.matches('x')", "unknown_function", 3),
        ("'x'.y == 1", "condition_syntax", 5),
        ("has(1)", "condition_syntax", 1),
        ("null == a", "condition_syntax", 1),
        ("a.in == 1", "condition_syntax", 3),
        ("{'a': 1}", "condition_syntax", 1),
    ],
)
def test_what_is_not_understood_is_refused_with_its_column(source: str, code: str, column: int) -> None:
    with pytest.raises(ConditionFault) as found:
        parse(source)
    assert (found.value.code, found.value.column) == (code, column)


@pytest.mark.parametrize(
    "source",
    [
        "(" * (DEPTH_MAX + 1) + "a" + ")" * (DEPTH_MAX + 1),
        "!" * (DEPTH_MAX + 1) + "a",
        "[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1),
    ],
)
def test_deep_nesting_is_refused(source: str) -> None:
    with pytest.raises(ConditionFault) as found:
        parse(source)
    assert found.value.code == "condition_too_deep"


def test_a_long_condition_is_refused() -> None:
    with pytest.raises(ConditionFault) as found:
        parse("a" * (LENGTH_MAX + 1))
    assert found.value.code == "condition_too_long"


def test_a_long_conjunction_is_not_deep() -> None:
    assert len(conjuncts(parse(" && ".join(["a"] * 300)))) == 300


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(source: str) -> None:
    found: list[int] = []
    try:
        render(parse(source))
    except ConditionFault as fault:
        found.append(fault.column)
    assert all(1 <= column <= len(source) + 1 for column in found)
