"""YAML and JSON as an author means them, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laurel.program import ProgramFaults, load_program
from laurel.program.reading import DEPTH_MAX, TEXT_MAX, read_json, read_plain, read_yaml


def faults(read: Any, source: Any) -> list[tuple[str, str]]:
    with pytest.raises(ProgramFaults) as found:
        read(source)
    return [(fault.pointer, fault.code) for fault in found.value.faults]


def test_yaml_reads_what_it_shows() -> None:
    text = """
on: [yes, no, true, false, null, ~, 12, -3, "12", 2017-01-01, 12:30, "", on]
text: >
  folded
  text
empty:
# a comment
{a: b}: c
""".replace("{a: b}: c\n", "")
    assert read_yaml(text) == {
        "on": ["yes", "no", True, False, None, None, 12, -3, "12", "2017-01-01", "12:30", "", "on"],
        "text": "folded text\n",
        "empty": None,
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: {b: 1.5}", ("/a/b", "float")),
        ("a: [1, .5]", ("/a/1", "float")),
        ("a: 1e3", ("/a", "float")),
        ("a: .inf", ("/a", "float")),
        ("a: .nan", ("/a", "float")),
        ("a: 1.", ("/a", "float")),
        ("a: 0x10", ("/a", "wrong_type")),
        ("a: 010", ("/a", "wrong_type")),
        ("a: 1_000", ("/a", "wrong_type")),
        ("a: 99999999999999999999", ("/a", "out_of_range")),
        ("a: 1\nb: 2\na: 3", ("/a", "repeated")),
        ("x: {a: 1, a: 1}", ("/x/a", "repeated")),
        ("1: a", ("", "wrong_type")),
        ("true: a", ("", "wrong_type")),
        ("[a]: b", ("", "wrong_type")),
        ("a: &x 1\nb: *x", ("/a", "not_allowed")),
        ("a: !!python/object:os.system x", ("/a", "not_allowed")),
        ("a: !mine x", ("/a", "not_allowed")),
        ("a: b\n---\nc: d", ("", "malformed")),
        ("a: [", ("", "malformed")),
        ("a: b: c", ("", "malformed")),
        ("\ta: b", ("", "malformed")),
        ('a: "\\0"', ("/a", "bad_format")),
        ("[" * 100 + "]" * 100, ("/0" * (DEPTH_MAX + 1), "too_deep")),
        ("a: " + "x" * TEXT_MAX, ("", "too_large")),
    ],
)
def test_what_yaml_may_not_contain(text: str, fault: tuple[str, str]) -> None:
    assert fault in faults(read_yaml, text)


def test_a_fault_in_yaml_names_its_line() -> None:
    with pytest.raises(ProgramFaults) as found:
        read_yaml("a: 1\nb:\n  c: 0.05\n")
    assert "quotes" in found.value.faults[0].detail
    assert found.value.faults[0].detail.endswith("(line 3)")
    with pytest.raises(ProgramFaults) as found:
        read_yaml("a: 1\nb: [\n")
    assert "line 3" in found.value.faults[0].detail


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": 1.5}', ("/a", "float")),
        ('{"a": [NaN]}', ("/a/0", "float")),
        ('{"a": -Infinity}', ("/a", "float")),
        ('{"a": 1e2}', ("/a", "float")),
        ('{"a": {"b": 1, "b": 2}}', ("/a/b", "repeated")),
        ('{"a": ' + "9" * 5000 + "}", ("/a", "out_of_range")),
        ('{"a": "\\ud800"}', ("/a", "bad_format")),
        ('{"a": "\\u0000"}', ("/a", "bad_format")),
        ('{"a\\u0000": 1}', ("", "bad_format")),
        ('{"a": 1', ("", "malformed")),
        ('{"a": 1} x', ("", "malformed")),
        ('{"a":' + "[" * 100 + "]" * 100 + "}", ("/a" + "/0" * DEPTH_MAX, "too_deep")),
        ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", ("", "malformed")),
    ],
)
def test_what_json_may_not_contain(text: str, fault: tuple[str, str]) -> None:
    assert fault in faults(read_json, text)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"a": 0.5}, ("/a", "float")),
        ({"a": [1, {2: 3}]}, ("/a/1", "wrong_type")),
        ({"a": b"x"}, ("/a", "wrong_type")),
        ({"a": 10**18}, ("/a", "out_of_range")),
        ({"a": {1, 2}}, ("/a", "wrong_type")),
    ],
)
def test_what_plain_values_may_not_contain(value: Any, fault: tuple[str, str]) -> None:
    assert faults(read_plain, value) == [fault]


def test_bytes_are_utf8() -> None:
    with pytest.raises(ProgramFaults) as found:
        load_program(b"name: \xff")
    assert [fault.code for fault in found.value.faults] == ["malformed"]
    with pytest.raises(ProgramFaults) as found:
        load_program(b"\xef\xbb\xbfprogram: 5")
    assert ("/program", "wrong_type") in [(fault.pointer, fault.code) for fault in found.value.faults]


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text("ab:#'\" \n/~1.", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(_PLAIN)
def test_json_and_yaml_read_the_same(value: Any) -> None:
    import json

    text = json.dumps(value)
    assert read_json(text) == value
    assert read_yaml(text) == value


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    for source in (text, "{" + text, f"program: {text}"):
        with pytest.raises(ProgramFaults):
            load_program(source)
