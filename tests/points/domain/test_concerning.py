"""One activity, several wallets: who referred the member, who pays, and what all of them give back."""

from typing import Any

import pytest

from laurel.program import load_program
from services.points.domain.state import Wallet
from services.points.ports import WalletKey
from tests.points.pending import WAITING
from tests.points.referring import MINE, SAID, THEIRS, joining, paid
from tests.points.till import START, Till, enrolment, report
from tests.program.samples import a_document

pytestmark = pytest.mark.anyio


async def bank(*rules: dict[str, Any], **friend: Any) -> Till:
    """A friend, m-1, and m-2 who may have referred it."""
    till = Till(load_program(a_document(*(rules or (MINE, THEIRS, SAID)))))
    await till.send(enrolment("sample", "m-2"), enrolment("sample", "m-3"))
    await till.enrol(**friend)
    return till


def wallet(till: Till, member: str) -> Wallet:
    return till.ledger.wallets[WalletKey("sample", member)]


def points(till: Till) -> list[int]:
    return [wallet(till, member).balance("point").available for member in ("m-1", "m-2", "m-3")]


async def test_both_sides_get_their_points_with_the_first_payment() -> None:
    till = await bank(referred_by="m-2")
    said = await till.send(report("sample", "m-1", paid("p-1"), till.at))
    assert [(one["type"], one["member"], one["share_of"]) for one in said] == [
        ("points.awarded.v1", "m-1", None),
        ("points.awarded.v1", "m-2", "m-1"),
    ]
    assert [(award["member"], award["rule"], award["amount"]) for award in said[0]["awards"]] == [("m-1", "mine", 200)]
    assert [(award["member"], award["amount"]) for award in said[0]["others"]] == [("m-2", 200)]
    assert [(award["member"], award["activity"]) for award in said[1]["awards"]] == [("m-2", "p-1")]
    assert said[1]["balances"][0]["available"] == 200
    await till.report(paid("p-2"))
    assert points(till) == [200, 200, 0]


async def test_the_same_payment_again_gives_nothing_more() -> None:
    till = await bank(referred_by="m-2")
    first, _ = await till.send(report("sample", "m-1", paid("p-1"), till.at))
    (again,) = await till.send(report("sample", "m-1", paid("p-1"), till.at))
    assert (again["awards"], again["others"]) == (first["awards"], first["others"])
    assert points(till) == [200, 200, 0]


async def test_a_referral_says_who_it_was_and_the_first_counts() -> None:
    till = await bank()
    await till.report(paid("r-1", "referral", referrer="m-2"))
    await till.report(paid("r-2", "referral", referrer="m-3"))
    assert wallet(till, "m-1").referred_by == "m-2"
    await till.report(paid("p-1"))
    assert points(till) == [201 + 1, 200, 0]


async def test_a_referral_and_a_payment_in_one_batch() -> None:
    till = await bank()
    await till.send(
        report("sample", "m-1", paid("r-1", "referral", referrer="m-2"), till.at),
        report("sample", "m-1", paid("p-1"), till.at),
    )
    assert points(till) == [201, 200, 0]


async def test_who_was_a_customer_before_is_no_friend_won() -> None:
    till = await bank()
    await till.report(paid("p-0"))
    await till.report(paid("r-1", "referral", referrer="m-2"))
    said = await till.report(paid("p-1"))
    assert {judged["reason"] for judged in said["decision"] if judged["rule"] != "said"} == {"limit_reached"}
    assert points(till) == [1, 0, 0]


@pytest.mark.parametrize("referrer", ["m-1", "nobody"])
async def test_nobody_refers_oneself_or_is_referred_by_nobody(referrer: str) -> None:
    till = await bank(referred_by=referrer)
    said = await till.report(paid("p-1"))
    assert {judged["reason"] for judged in said["decision"] if judged["rule"] != "said"} == {"nobody_there"}
    assert points(till) == [0, 0, 0]


async def test_nobody_refers_the_same_person_under_another_number() -> None:
    till = Till(load_program(a_document(MINE, THEIRS)))
    await till.send(enrolment("sample", "m-2", person="ann"), enrolment("sample", "m-3"))
    await till.enrol(person="ann", referred_by="m-2")
    await till.report(paid("p-1"))
    assert points(till) == [0, 0, 0]


async def test_a_return_rewinds_both_and_the_next_payment_is_the_first_again() -> None:
    till = await bank(referred_by="m-2")
    await till.report(paid("p-1"))
    await till.send(*_spend("m-2", 150))
    said = await till.send(report("sample", "m-1", paid("b-1", "return", of="p-1"), till.at))
    assert [(one["type"], one["member"]) for one in said] == [
        ("points.clawed_back.v1", "m-1"),
        ("points.clawed_back.v1", "m-2"),
    ]
    assert [(back["taken"], back["owed"]) for back in said[1]["reversals"]] == [(50, 150)]
    assert said[0]["others"] == said[1]["reversals"]
    assert points(till) == [0, 0, 0]
    assert wallet(till, "m-2").balance("point").owed == 150
    # It is taken back once.
    await till.send(report("sample", "m-1", paid("b-1", "return", of="p-1"), till.at))
    assert wallet(till, "m-2").balance("point").reversed == 200
    await till.report(paid("p-2"))
    assert points(till) == [200, 50, 0], "150 were owed"


async def test_a_part_that_comes_back_leaves_others_their_share_of_the_rest() -> None:
    agent = {"rule": "agent", "on": ["payment"], "rate": {"points": 1, "per": 100}, "to": "payer"}
    till = await bank(agent)
    await till.report(paid("p-1", payer={"id": "m-3", "kind": "firm"}))
    assert points(till) == [0, 0, 10]
    await till.report(paid("b-1", "return", of="p-1", amount=350))
    assert points(till) == [0, 0, 6]
    await till.report(paid("b-2", "return", of="p-1", amount=650))
    assert points(till) == [0, 0, 0]


async def test_others_pay_what_they_owe_first() -> None:
    till = await bank(referred_by="m-2")
    wallet(till, "m-2").moving("point").owed = 30
    await till.report(paid("p-1"))
    assert (points(till)[1], wallet(till, "m-2").balance("point").owed) == (170, 0)


def _spend(member: str, amount: int) -> list[Any]:
    from services.points.testing import note

    fields = {"hold": "h-1", "redemption": "h-1", "cause": {"kind": "hold", "id": "h-1"}, "at": START}
    held = note("hold.requested.v1", "sample", member, unit="point", amount=amount, **fields)
    return [held, note("hold.capture_requested.v1", "sample", member, **fields)]


async def decide(till: Till, activity: str, *, approve: bool, limit: int | None = None) -> list[dict[str, Any]]:
    fields = {"activity": activity, "partner": "shop", "approve": approve, "limit": limit, "versions": {"program": 1}}
    return await till.ask("pending.decision_requested.v1", **fields)


def pending(till: Till) -> list[int]:
    return [wallet(till, member).balance("point").pending for member in ("m-1", "m-2", "m-3")]


async def test_approval_reaches_both_sides_and_asks_for_the_limit_of_all() -> None:
    till = await bank({**MINE, **WAITING}, {**THEIRS, **WAITING}, referred_by="m-2")
    await till.report(paid("p-1"))
    assert (points(till), pending(till)) == ([0, 0, 0], [200, 200, 0])
    said = await decide(till, "p-1", approve=True, limit=399)
    assert [(one["code"], one["amount"]) for one in said] == [("needs_approval", 400)]
    said = await decide(till, "p-1", approve=True, limit=400)
    assert [(one["type"], one["member"], one["amount"]) for one in said] == [
        ("points.pending_decided.v1", "m-1", 400),
        ("points.available.v1", "m-1", 200),
        ("points.pending_decided.v1", "m-2", 200),
        ("points.available.v1", "m-2", 200),
    ]
    assert [one["share_of"] for one in said if "share_of" in one] == [None, "m-1"]
    assert (points(till), pending(till)) == ([200, 200, 0], [0, 0, 0])
    assert (await decide(till, "p-1", approve=False))[0]["code"] == "nothing_pending"


@pytest.mark.parametrize("mine", [MINE, {**MINE, **WAITING}])
async def test_what_others_gave_up_is_not_asked_of_them_again(mine: dict[str, Any]) -> None:
    till = await bank(mine, {**THEIRS, **WAITING}, referred_by="m-2")
    await till.report(paid("p-1"))
    await decide(till, "p-1", approve=False)
    assert pending(till) == [0, 0, 0]
    await till.report(paid("b-1", "return", of="p-1"))
    assert points(till) == [0, 0, 0]
    assert [wallet(till, member).balance("point").owed for member in ("m-1", "m-2")] == [0, 0]
    # The next is the first again, once.
    await till.report(paid("p-2"))
    await till.report(paid("p-3"))
    assert sum(points(till)) + sum(pending(till)) == 400


async def test_a_payment_whose_reward_is_rejected_was_not_the_first() -> None:
    till = await bank({**MINE, **WAITING}, {**THEIRS, **WAITING}, referred_by="m-2")
    await till.report(paid("p-1"))
    await decide(till, "p-1", approve=False)
    await till.report(paid("p-2"))
    await till.report(paid("p-3"))
    assert pending(till) == [200, 200, 0]


UNTIL_STAY = {"pending": {"until_event": "stay"}}


async def test_what_the_activity_awaited_releases_the_shares_of_others_too() -> None:
    till = await bank({**MINE, **UNTIL_STAY}, {**THEIRS, **UNTIL_STAY}, referred_by="m-2")
    await till.report(paid("p-1"))
    assert points(till) == [0, 0, 0]
    said = await till.send(report("sample", "m-1", paid("s-1", "stay", of="p-1"), till.at))
    assert [(one["type"], one["member"]) for one in said if "lots" in one] == [
        ("points.available.v1", "m-1"),
        ("points.available.v1", "m-2"),
    ]
    assert points(till) == [200, 200, 0]
    # Said again, it releases nothing again.
    await till.send(report("sample", "m-1", paid("s-1", "stay", of="p-1"), till.at))
    await till.send(report("sample", "m-1", paid("b-1", "return", of="p-1"), till.at))
    assert points(till) == [0, 0, 0]


async def test_it_releases_no_shares_of_another_activity() -> None:
    till = await bank({**{k: v for k, v in THEIRS.items() if k != "limit"}, **UNTIL_STAY}, referred_by="m-2")
    await till.send(*(report("sample", "m-1", paid(each), till.at) for each in ("p-1", "p-2")))
    await till.send(report("sample", "m-1", paid("s-1", "stay", of="p-2"), till.at))
    assert (wallet(till, "m-2").balance("point").available, wallet(till, "m-2").balance("point").pending) == (200, 200)
    await till.send(report("sample", "m-1", paid("s-2", "stay", of="nothing"), till.at))
    assert wallet(till, "m-2").balance("point").pending == 200


BACK = {"id": "back", "type": "return", "of": "p-1", "occurred_at": START.isoformat()}


async def test_a_share_of_an_account_that_became_a_part_of_another_is_given_back_by_that_one() -> None:
    till = await bank(referred_by="m-2")
    await till.report(paid("p-1"))
    await till.send(joining(till, "m-2", "m-3"))
    assert points(till) == [200, 0, 200]
    said = await till.send(report("sample", "m-1", BACK, till.at))
    assert [(one["type"], one["member"]) for one in said] == [
        ("points.clawed_back.v1", "m-1"),
        ("points.clawed_back.v1", "m-2"),
        ("member.merged.v1", "m-2"),
        ("member.merged.v1", "m-3"),
    ]
    assert points(till) == [0, 0, 0]
    assert [wallet(till, member).balance("point").owed for member in ("m-1", "m-2", "m-3")] == [0, 0, 0]


async def test_so_it_is_by_the_last_of_a_chain_and_by_the_member_itself() -> None:
    till = await bank(referred_by="m-2")
    await till.report(paid("p-1"))
    await till.send(joining(till, "m-2", "m-3"), joining(till, "m-3", "m-1"))
    assert points(till) == [400, 0, 0]
    await till.send(report("sample", "m-1", BACK, till.at))
    assert points(till) == [0, 0, 0]
    assert [wallet(till, member).balance("point").owed for member in ("m-1", "m-2", "m-3")] == [0, 0, 0]


async def test_whoever_answers_for_a_referrer_gets_what_it_would_have_got() -> None:
    till = await bank(referred_by="m-2")
    await till.send(joining(till, "m-2", "m-3"))
    said = await till.send(report("sample", "m-1", paid("p-1"), till.at))
    assert [(award["member"], award["amount"]) for award in said[0]["others"]] == [("m-3", 200)]
    assert points(till) == [200, 0, 200]
    await till.send(report("sample", "m-1", BACK, till.at))
    assert points(till) == [0, 0, 0]


async def test_who_referred_itself_by_another_account_gets_nothing() -> None:
    till = await bank(referred_by="m-2")
    await till.send(joining(till, "m-2", "m-1"))
    said = await till.report(paid("p-1"))
    assert {one["rule"]: one["reason"] for one in said["decision"]}["theirs"] == "nobody_there"
    assert points(till) == [0, 0, 0]


async def test_a_referrer_that_is_one_of_its_own_again_is_still_the_referrer() -> None:
    till = await bank()
    await till.send(joining(till, "m-2", "m-3"))
    await till.report(paid("r-1", "referral", referrer="m-2"))
    await till.send(joining(till, "m-2", "m-3", undo=True))
    await till.report(paid("p-1"))
    assert points(till) == [201, 200, 0]
