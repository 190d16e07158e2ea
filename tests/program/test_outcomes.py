"""Rules that find nothing: what they say follows from the version, the type and the instant, and is shared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laurel.program.explaining import whole_decision
from laurel.program.outcomes import why_silent
from tests.program.samples import a_program, a_purchase, reasons

JUNE = {"starts_at": "2021-06-01T00:00:00+02:00", "ends_at": "2021-07-01T00:00:00+02:00"}
MAY = datetime(2021, 5, 20, tzinfo=UTC)
RULES: list[dict[str, Any]] = [
    {"rule": "base", "rate": {"points": 1, "per": 100}},
    {"rule": "june", "rate": {"points": 1, "per": 100}, **JUNE},
    {"rule": "june-lines", "fixed": {"points": 5}, "lines": 'line.category == "A"', **JUNE},
    {"rule": "big", "fixed": {"points": 5}, "where": "activity.amount >= 5000"},
    {"rule": "store", "fixed": {"points": 5}, "where": 'activity.store == "s-1"'},
    {"rule": "lines", "fixed": {"points": 5}, "lines": 'line.category == "B"', "where": "activity.amount >= 5000"},
    {"rule": "share", "multiplier": {"of": "june", "percent": 50}},
    {"rule": "june-share", "multiplier": {"of": "base", "percent": 50}, **JUNE},
    {"rule": "flights", "on": ["flight"], "fixed": {"points": 5}},
]


@pytest.mark.parametrize(
    ("occurred_at", "runs"),
    [
        ("2021-05-31T21:59:59.999999Z", False),
        ("2021-05-31T22:00:00Z", True),
        ("2021-06-30T23:59:59.999999+02:00", True),
        ("2021-06-30T22:00:00+00:00", False),
    ],
)
def test_rules_run_from_their_first_instant_to_before_their_last(occurred_at: str, runs: bool) -> None:
    program = a_program(*RULES)
    said = reasons(program.judge(a_purchase(amount=1000, occurred_at=occurred_at), {}))
    outside = "outside_dates"
    assert (said[1], said[2], said[7]) == (
        ("earned", "no_line_matches", "earned") if runs else (outside, outside, outside)
    )
    assert said[6] == ("earned" if runs else "base_not_fired")


def test_what_is_told_are_the_rules_that_are_not_silent() -> None:
    program = a_program(*RULES)
    basket = a_purchase(amount=1000, lines=[{"amount": 1000, "category": "B"}], occurred_at="2021-05-01T00:00:00Z")
    judged = program.judge(basket, {})
    assert [(each.rule.id, each.reason) for each in judged.spoken()] == [
        ("base", "earned"),
        ("lines", "condition_false"),
        ("share", "base_not_fired"),
    ]


def test_silence_is_one_value_for_all_baskets_of_a_season() -> None:
    program = a_program(*RULES)
    first, again, later = (
        program.judge(a_purchase(amount=1, occurred_at=f"{day}T00:00:00Z"), {})
        for day in ("2021-06-02", "2021-06-29", "2021-08-01")
    )
    assert first.silent is again.silent
    assert first.silent is not later.silent


instants = st.integers(0, 50 * 86_400_000_000).map(lambda us: (MAY + timedelta(microseconds=us)).isoformat())
lines = st.lists(
    st.fixed_dictionaries({"amount": st.integers(0, 9000), "category": st.sampled_from("ABC")}), max_size=3
)


@given(instants, lines, st.sampled_from([None, "s-1", "s-2"]), st.sampled_from(["purchase", "flight", "survey"]))
def test_a_decision_is_made_whole_from_what_is_told(
    occurred_at: str, lines: list[dict[str, Any]], store: str | None, type_: str
) -> None:
    program = a_program(*RULES)
    activity = a_purchase(type=type_, occurred_at=occurred_at, lines=lines, store=store)
    judged = program.judge(activity, {})
    whole = [
        {
            "rule": each.rule.id,
            "fired": each.fired,
            "reason": each.reason,
            "computed": each.computed,
            "amount": each.computed,
            "capped_by": [],
        }
        for each in judged
    ]
    told = [whole[place] for place in judged.told]
    assert whole_decision(program.rules, type_, activity.occurred_at, told) == whole


def test_without_an_instant_every_rule_runs() -> None:
    program = a_program(*RULES)
    assert why_silent(program.rules[1], "purchase", None) == "condition_false"
    assert why_silent(program.rules[8], "purchase", None) == "type_not_covered"
