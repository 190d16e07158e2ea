"""Which messages may wait for others, so that one transaction does for all of them."""

from __future__ import annotations

import pytest

from services.redemption.deciders import DECIDERS, FORGETTING, OF_PROGRAMS, may_wait


def test_a_capture_may_wait_and_nothing_else_that_is_answered() -> None:
    heard = {*DECIDERS, *FORGETTING, *OF_PROGRAMS}
    assert {type_ for type_ in heard if may_wait(type_)} == {"points.captured.v1"}


@pytest.mark.parametrize("type_", ["points.awarded.v1", "activity.reported.v1", "member.enrolled.v1"])
def test_what_is_of_no_concern_here_may_wait(type_: str) -> None:
    assert may_wait(type_)


def test_a_request_of_a_newer_gateway_may_not() -> None:
    assert not may_wait("voucher.extended_requested.v1")
