"""The machine of the village over a ledger in memory."""

from __future__ import annotations

from hypothesis import settings

from tests.points.reference import MOST
from tests.points.village_machine import VillageMachine

TestVillageMachine = VillageMachine.TestCase
TestVillageMachine.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, report_multiple_bugs=False
)


def test_what_was_pending_makes_no_room_under_a_balance_cap() -> None:
    village = VillageMachine()
    for amount, channel in ((99, "store"), (100, "web"), (5_000, "store"), (5_000, "store")):
        lines = [{"amount": amount, "quantity": 1, "category": "BREAD"}]
        village.buy(member="m-3", lines=lines, days_ago=0, channel=channel)
    village.fill(member="m-3")
    # It takes 5 and 3 that are there, and 20 that wait: room for 8 of what the month refused, not for 28.
    village.bring_back("x-002", "m-3", [])
    village.all_agree()
    assert village.reference.outstanding(village.reference.members["m-3"]) <= MOST
    village.teardown()
