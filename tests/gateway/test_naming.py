"""Requests and their correlation ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laurel.values import ID_PATTERN, PLAIN_ID_PATTERN
from services.gateway.naming import (
    ACTIVITY,
    MEMBER,
    REDEMPTION,
    REWARD,
    Correlation,
    RequestKey,
    new_id,
    parse_correlation,
)

PLAIN = st.from_regex(PLAIN_ID_PATTERN.removesuffix("$") + r"\Z")


@given(
    st.sampled_from([ACTIVITY, MEMBER, REDEMPTION, REWARD]),
    PLAIN,
    PLAIN | st.just(""),
    st.from_regex(ID_PATTERN.removesuffix("$") + r"\Z"),
    st.integers(1, 99_999),
)
def test_a_correlation_id_says_which_request_it_is(
    kind: str, program: str, partner: str, id_: str, attempt: int
) -> None:
    correlation = Correlation(RequestKey(program, kind, partner, id_), attempt)
    text = str(correlation)
    assert parse_correlation(text) == correlation
    assert len(text) <= 400, "it travels in a header of limited length"


@pytest.mark.parametrize("text", ["", "a", "a:p:q:1", "x:p:q:1:i", "a:p:q:one:i", "4bf92f3577b34da6a3ce929d0e0e4736"])
def test_what_others_correlate_by_is_not_ours(text: str) -> None:
    assert parse_correlation(text) is None


def test_made_ids_differ_and_are_in_order_of_time() -> None:
    ids = [new_id("m") for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [each[:11] for each in ids] == sorted(each[:11] for each in ids)
