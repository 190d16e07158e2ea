"""Which messages may wait for others, so that one transaction does for all of them."""

from __future__ import annotations

import pytest

from services.points.deciders import AMONG, DECIDERS, OF_PROGRAMS, may_wait


def test_a_capture_that_redemption_asks_for_may_wait_and_nothing_that_a_caller_asks_for() -> None:
    asked = {*DECIDERS, *AMONG, *OF_PROGRAMS}
    assert {type_ for type_ in asked if may_wait(type_)} == {"hold.capture_requested.v1"}


@pytest.mark.parametrize("type_", ["redemption.requested.v1", "voucher.issued.v1", "message.parked.v1"])
def test_what_is_meant_for_others_may_wait(type_: str) -> None:
    assert may_wait(type_)


def test_a_request_of_a_newer_gateway_may_not() -> None:
    assert not may_wait("member.promoted_requested.v1")
