"""Points that wait: until a date, an activity, or a block that covers them; what is owed is paid when they come."""

from datetime import timedelta
from typing import Any

import pytest

from laurel.program import load_program
from tests.points.pending import CAPS, STAY
from tests.points.till import START, Till
from tests.program.samples import a_document

pytestmark = pytest.mark.anyio

BASE = {"rule": "base", "rate": {"points": 1, "per": 100}}


async def waiting(pending: dict[str, Any], *others: dict[str, Any], **changes: Any) -> Till:
    """A till of a program whose base waits, on a wall clock."""
    document = load_program(a_document({**BASE, "pending": pending}, *others, clock="wall", **changes))
    till = Till(document)
    await till.enrol()
    return till


def sums(till: Till) -> tuple[int, int, int, int]:
    balance = till.balance
    return balance.available, balance.pending, balance.owed, balance.earned


async def test_points_of_fourteen_days_come_on_the_fifteenth_midnight() -> None:
    till = await waiting({"days": 14})
    said = await till.buy("a", 1000)
    award = said["awards"][0]
    assert (award["state"], award["available_at"], award["amount"]) == ("pending", "2024-03-15T00:00:00Z", 10)
    assert sums(till) == (0, 10, 0, 0)
    assert till.wallet.next_due_at is not None
    till.at = till.wallet.next_due_at - timedelta(seconds=1)
    await till.run_due()
    assert sums(till) == (0, 10, 0, 0)
    till.pass_time(seconds=1)
    await till.run_due()
    assert sums(till) == (10, 0, 0, 10)
    assert till.ledger.journals[-1].kind == "release_of_pending"


async def test_what_is_pending_cannot_be_spent() -> None:
    till = await waiting({"days": 14})
    await till.buy("a", 1000)
    said = await till.hold("h", 1)
    assert (said[0]["type"], said[0]["shortfall"]) == ("points.hold_refused.v1", 1)


async def test_a_release_is_said_with_its_lots() -> None:
    till = await waiting({"days": 14})
    await till.buy("a", 1000)
    till.pass_time(days=20)
    said = await till.hold("h", 4)
    assert [one["type"] for one in said] == ["points.available.v1", "points.held.v1"]
    assert (said[0]["amount"], said[0]["reason"], said[0]["lots"]) == (10, "date", [{"lot": "2.1", "amount": 10}])


async def test_what_is_reported_too_late_to_wait_does_not_wait() -> None:
    till = await waiting({"days": 14})
    till.pass_time(days=30)
    await till.report({**_bought("a", 1000), "occurred_at": START.isoformat()})
    assert sums(till) == (10, 0, 0, 10)


async def test_a_return_before_the_release_takes_what_waits() -> None:
    till = await waiting({"days": 14})
    await till.buy("a", 1000)
    back = await till.give_back("r", "a", amount=400)
    reversal = back["reversals"][0]
    assert (reversal["amount"], reversal["taken"], reversal["owed"]) == (4, 4, 0)
    assert sums(till) == (0, 6, 0, 0)
    till.pass_time(days=15)
    await till.run_due()
    assert sums(till) == (6, 0, 0, 6)
    await till.give_back("r-2", "a")
    assert sums(till) == (0, 0, 0, 6)
    assert till.balance.reversed == 6


async def test_a_full_return_leaves_nothing_to_come() -> None:
    till = await waiting({"days": 14})
    await till.buy("a", 1000)
    await till.give_back("r", "a")
    till.pass_time(days=15)
    await till.run_due()
    assert sums(till) == (0, 0, 0, 0)


async def test_the_end_of_waiting_pays_what_is_owed_first() -> None:
    """S11: 10 are spent and their purchase comes back; of the 25 that wait 15 are left."""
    till = await waiting({"days": 14}, STAY)
    await till.report({**_bought("s", 500), "type": "stay"})
    await till.hold("h", 10)
    await till.capture("h")
    await till.give_back("r", "s")
    await till.buy("a", 2500)
    assert sums(till) == (0, 25, 10, 10)
    till.pass_time(days=15)
    await till.run_due()
    assert sums(till) == (15, 0, 0, 35)


async def test_at_one_instant_points_come_before_they_go() -> None:
    units = {"point": {"scale": 0, "validity": {"kind": "rolling", "days": 14}}}
    till = await waiting({"days": 14}, units=units)
    await till.buy("a", 1000)
    till.pass_time(days=15)
    await till.run_due()
    kinds = [journal.kind for journal in till.ledger.journals]
    assert kinds == ["enrolment", "activity", "release_of_pending"]
    assert sums(till) == (0, 0, 0, 10)
    assert till.balance.expired == 10


async def test_points_come_with_the_activity_that_they_await() -> None:
    till = await waiting({"until_event": "stay"}, STAY)
    said = await till.buy("booked", 1000)
    assert (said["awards"][0]["state"], said["awards"][0]["available_at"]) == ("pending", "2024-03-01T12:00:00Z")
    await till.buy("other", 500)
    till.pass_time(days=40)
    await till.run_due()
    assert sums(till) == (0, 15, 0, 0)
    await till.report({**_bought("came", 100), "type": "stay", "of": "booked", "occurred_at": till.at.isoformat()})
    assert sums(till) == (12, 5, 0, 12)
    # One that names no other is that of all.
    await till.report({**_bought("again", 100), "type": "stay", "occurred_at": till.at.isoformat()})
    assert sums(till) == (19, 0, 0, 19)


async def test_what_comes_and_what_is_earned_pay_a_debt_once() -> None:
    till = await waiting({"until_event": "stay"}, STAY)
    await till.report({**_bought("s", 500), "type": "stay"})
    await till.hold("h", 10)
    await till.capture("h")
    await till.give_back("r", "s")
    await till.buy("booked", 600)
    assert sums(till) == (0, 6, 10, 10)
    await till.report({**_bought("came", 300), "type": "stay"})
    assert sums(till) == (2, 0, 0, 22)


async def test_counters_count_what_waits() -> None:
    caps = [{"cap": "a-year", "unit": "point", "window": "calendar_year", "limit": 12}]
    till = await waiting({"days": 14}, caps=caps)
    await till.buy("a", 1000)
    said = await till.buy("b", 1000)
    assert [award["amount"] for award in said["awards"]] == [2]
    assert sums(till) == (0, 12, 0, 0)


async def test_a_correction_takes_what_waits_and_writes_nothing_off() -> None:
    till = await waiting({"days": 14})
    await till.buy("a", 1000)
    said = await till.correct("c", "a", 4)
    assert (said[0]["reversed"], said[0]["written_off"]) == (0, 0)
    assert sums(till) == (0, 4, 0, 0)
    till.pass_time(days=15)
    await till.run_due()
    assert sums(till) == (4, 0, 0, 4)


async def test_points_come_when_somebody_approves() -> None:
    till = await waiting({"approval": True})
    await till.buy("a", 1000)
    said = await _decide(till, "a", approve=True, limit=9)
    assert (said[0]["type"], said[0]["code"]) == ("points.pending_decided.v1", "needs_approval")
    said = await _decide(till, "a", approve=True)
    assert [one["type"] for one in said] == ["points.pending_decided.v1", "points.available.v1"]
    assert sums(till) == (10, 0, 0, 10)
    assert (await _decide(till, "a", approve=False))[0]["code"] == "nothing_pending"
    assert sums(till) == (10, 0, 0, 10)


async def test_points_that_are_given_up_are_not_taken_back_again() -> None:
    till = await waiting({"approval": True}, STAY)
    await till.buy("a", 1000)
    await till.report({**_bought("s", 500), "type": "stay"})
    await _decide(till, "a", approve=False)
    assert sums(till) == (10, 0, 0, 10)
    back = await till.give_back("r", "a")
    assert back["reversals"] == []
    assert sums(till) == (10, 0, 0, 10)


async def test_what_is_given_up_makes_room_and_what_was_refused_is_granted_after_all() -> None:
    till = await waiting({"approval": True}, STAY, caps=CAPS, returns={"refill_on_return": True})
    await till.report({**_bought("s", 500), "type": "stay"})
    await till.buy("a", 1000)
    assert sums(till) == (10, 2, 0, 10)
    await till.report({**_bought("t", 200), "type": "stay"})
    await _decide(till, "a", approve=False)
    # The cap of 12 let "a" wait for 2 and refused all 4 of "t"; what "a" was refused is nobody's any more.
    assert sums(till) == (12, 0, 0, 12)
    assert _counted(till) == [12]
    await till.give_back("r", "a")
    assert (sums(till), _counted(till)) == ((12, 0, 0, 12), [12])
    await till.give_back("r-2", "t")
    # 2 more of "t" had been refused and came back themselves.
    assert (sums(till), _counted(till)) == ((10, 0, 0, 12), [10])


async def test_without_refill_there_is_room_for_what_comes() -> None:
    till = await waiting({"approval": True}, caps=CAPS, returns={"refill_on_return": False})
    await till.buy("a", 1000)
    await till.buy("b", 1000)
    said = await _decide(till, "a", approve=False)
    assert [(each["granted"], each["limit"]) for each in said[0]["counters"]] == [(2, 12)]
    assert (sums(till), _counted(till)) == ((0, 2, 0, 0), [2])
    await till.buy("c", 2000)
    assert (sums(till), _counted(till)) == ((0, 12, 0, 0), [12])


async def test_what_is_refilled_pays_what_is_owed_and_is_told() -> None:
    till = await waiting({"approval": True}, STAY, caps=CAPS, returns={"refill_on_return": True})
    await till.report({**_bought("s", 600), "type": "stay"})
    await till.hold("h", 12)
    await till.capture("h")
    await till.give_back("r", "s")
    await till.buy("a", 1200)
    await till.report({**_bought("t", 500), "type": "stay"})
    said = await _decide(till, "a", approve=False)
    assert [(each["activity"], each["amount"], each["state"]) for each in said[0]["awards"]] == [("t", 10, "available")]
    assert sums(till) == (0, 0, 2, 22)


async def test_what_a_return_left_waiting_is_given_up_once() -> None:
    till = await waiting({"approval": True}, caps=CAPS)
    await till.buy("a", 1000)
    await till.give_back("r", "a", amount=400)
    assert _counted(till) == [6]
    await _decide(till, "a", approve=False)
    assert _counted(till) == [0]
    await till.give_back("r-2", "a")
    assert (sums(till), _counted(till)) == ((0, 0, 0, 0), [0])


async def test_a_limit_is_free_again_once_for_what_was_given_up() -> None:
    once = {"rule": "once", "on": ["stay"], "fixed": {"points": 7}, "limit": {"times": 2, "per": "year"}}
    till = await waiting({"approval": True}, {**once, "pending": {"approval": True}})
    for name in ("a", "b", "c"):
        await till.report({**_bought(name, 100), "type": "stay"})
    assert till.balance.pending == 14
    await _decide(till, "a", approve=False)
    await till.give_back("r", "a")
    for name in ("d", "e"):
        await till.report({**_bought(name, 100), "type": "stay"})
    assert till.balance.pending == 14


SHORT = {"point": {"scale": 0, "validity": {"kind": "rolling", "days": 30}}}


@pytest.mark.parametrize("pending", [{"until_event": "stay"}, {"approval": True}])
async def test_what_never_comes_is_given_up_at_the_end_of_the_points(pending: dict[str, Any]) -> None:
    till = await waiting(pending, STAY, units=SHORT)
    await till.buy("a", 1000)
    assert till.wallet.next_due_at is not None
    till.at = till.wallet.next_due_at - timedelta(seconds=1)
    await till.run_due()
    assert sums(till) == (0, 10, 0, 0)
    till.pass_time(seconds=1)
    said = await till.report({**_bought("s", 500), "type": "stay", "occurred_at": till.at.isoformat()})
    # It came too late: what awaited it was given up before.
    assert (said["type"], sums(till)) == ("points.awarded.v1", (10, 0, 0, 10))
    assert [journal.kind for journal in till.ledger.journals] == ["enrolment", "activity", "end_of_pending", "activity"]
    assert (till.balance.expired, till.balance.reversed) == (0, 0)
    assert (await _decide(till, "a", approve=True))[0]["code"] == "nothing_pending"
    back = await till.give_back("r", "a")
    assert (back["reversals"], sums(till)) == ([], (10, 0, 0, 10))


async def test_the_end_is_told_as_a_decision_that_nobody_took() -> None:
    till = await waiting({"approval": True}, units=SHORT)
    await till.buy("a", 1000)
    till.pass_time(days=40)
    said = await till.hold("h", 4)
    assert [one["type"] for one in said] == ["points.pending_decided.v1", "points.hold_refused.v1"]
    told = {name: said[0][name] for name in ("activity", "approved", "amount", "ended", "at", "cause")}
    assert told == {
        "activity": "a",
        "approved": False,
        "amount": 10,
        "ended": True,
        "at": "2024-03-31T00:00:00Z",
        "cause": {"kind": "end_of_pending", "id": "2024-03-31T00:00:00Z"},
    }


async def test_what_has_ended_makes_room_and_what_was_refused_comes_after_all() -> None:
    units = {"point": {"scale": 0, "validity": {"kind": "rolling", "days": 90}}}
    short = {"kind": "rolling", "days": 30}
    document = a_document(
        {**BASE, "pending": {"approval": True}, "validity": short}, STAY,
        clock="wall", units=units, caps=CAPS, returns={"refill_on_return": True},
    )  # fmt: skip
    till = Till(load_program(document))
    await till.enrol()
    await till.buy("a", 1000)
    await till.report({**_bought("t", 200), "type": "stay"})
    await till.report({**_bought("u", 300), "type": "stay"})
    assert (sums(till), _counted(till)) == ((2, 10, 0, 2), [12])
    till.pass_time(days=31)
    await till.run_due()
    # The other 2 of "t" and all 6 of "u" had been refused.
    assert (sums(till), _counted(till)) == ((10, 0, 0, 10), [10])


async def test_what_waits_ends_when_the_member_was_inactive_too_long() -> None:
    validity = {"kind": "inactivity", "months": 2, "kept_by": ["purchase"]}
    till = await waiting({"approval": True}, units={"point": {"scale": 0, "validity": validity}})
    await till.buy("a", 1000)
    till.pass_time(days=50)
    await till.buy("b", 500)
    till.pass_time(days=30)
    await till.run_due()
    # The second purchase put the end off for both.
    assert sums(till) == (0, 15, 0, 0)
    till.pass_time(days=40)
    await till.run_due()
    assert sums(till) == (0, 0, 0, 0)


async def test_what_is_reported_after_its_end_is_given_up_at_once() -> None:
    till = await waiting({"approval": True}, units=SHORT)
    till.pass_time(days=60)
    await till.report({**_bought("a", 1000), "occurred_at": START.isoformat()})
    assert (sums(till), till.ledger.journals[-1].kind) == ((0, 0, 0, 0), "end_of_pending")


def _counted(till: Till) -> list[int]:
    return [counter.counted for counter in till.wallet.counters.values()]


async def _decide(till: Till, activity: str, *, approve: bool, limit: int | None = None) -> list[dict[str, Any]]:
    fields = {"activity": activity, "partner": "shop", "approve": approve, "limit": limit, "versions": {"program": 1}}
    return await till.ask("pending.decision_requested.v1", **fields)


def _bought(id_: str, amount: int) -> dict[str, Any]:
    return {
        "id": id_,
        "type": "purchase",
        "occurred_at": START.isoformat(),
        "currency": "GBP",
        "amount": amount,
    }
