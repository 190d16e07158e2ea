"""Members are forgotten, on paper: the ledger stays as it is, and what is asked of them later is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.points.testing import note
from tests.points.couple import Couple, a_couple
from tests.points.family import a_family
from tests.points.till import Till, document

pytestmark = pytest.mark.anyio


async def erase(till: Till, member: str = "m-1", *accounts: str) -> list[dict[str, Any]]:
    common = {"at": till.at, "cause": {"kind": "request", "id": "x"}, "versions": {"program": 1}}
    asked = note("member.erase_requested.v1", till.program, member, change="x-1", accounts=accounts, **common)
    return await till.send(asked)


async def a_member(**fields: Any) -> Till:
    till = Till(document("clubcard", clock="wall"))
    await till.enrol(person="p-1", attributes={"birthday": "1980-02-29"}, **fields)
    await till.buy("b-1", 10_000)
    return till


async def test_the_points_stay_and_the_person_goes() -> None:
    till = await a_member()
    (said,) = await erase(till)
    assert (said["type"], said["change"], said["of"], said["accounts"]) == ("member.erased.v1", "x-1", None, [])
    assert said["balances"][0]["available"] == 100
    wallet = till.wallet
    assert (wallet.status, wallet.person, wallet.attributes, wallet.birthday_at) == ("erased", None, {}, None)
    assert sum(lot.remaining for lot in wallet.lots.values()) == 100


async def test_nothing_is_done_with_an_erased_member() -> None:
    till = await a_member()
    await erase(till)
    assert (await till.buy("b-2", 1000))["code"] == "member_not_active"
    assert (await till.hold("h-1", 5))[0]["code"] == "member_not_active"
    assert (await till.adjust("a-1", 5))[0]["code"] == "member_not_active"
    changed = await till.ask("member.change_requested.v1", change="c", person="p-2", versions={"program": 1})
    assert (changed[0]["type"], changed[0]["code"]) == ("member.change_refused.v1", "member_not_active")
    assert till.wallet.person is None


async def test_what_was_bought_before_can_still_come_back() -> None:
    till = await a_member()
    await erase(till)
    back = await till.give_back("r-1", "b-1")
    assert back["reversals"][0]["taken"] == 100


async def test_its_points_expire_in_their_time_and_become_no_voucher() -> None:
    till = await a_member()
    await erase(till)
    assert till.wallet.converts_at is None
    till.at += timedelta(days=400)
    await till.run_due()
    assert not [journal for journal in till.ledger.journals if journal.kind == "conversion"]


async def test_who_has_points_held_is_not_erased_before_they_are_let_go() -> None:
    till = await a_member()
    await till.hold("h-1", 5)
    (refused,) = await erase(till)
    assert (refused["type"], refused["asked"], refused["code"]) == ("member.change_refused.v1", "erase", "hold_open")
    assert till.wallet.person == "p-1"
    await till.release("h-1")
    assert (await erase(till))[0]["type"] == "member.erased.v1"


async def test_again_it_is_said_again_and_nothing_changes() -> None:
    till = await a_member()
    await erase(till)
    before = till.wallet.balance("point").available
    assert (await erase(till))[0]["type"] == "member.erased.v1"
    assert till.wallet.balance("point").available == before


async def test_a_closed_member_can_be_erased() -> None:
    till = await a_member()
    await till.ask("member.close_requested.v1", change="c", versions={"program": 1})
    assert (await erase(till))[0]["type"] == "member.erased.v1"
    assert till.wallet.status == "erased"


async def test_nobody_is_erased_who_was_never_enrolled() -> None:
    till = Till(document("clubcard", clock="wall"))
    assert (await erase(till))[0]["code"] == "member_unknown"


async def joined() -> Couple:
    couple = await a_couple()
    await couple.buy("b-1", 1000)
    await couple.join()
    return couple


async def test_accounts_that_became_a_part_go_along() -> None:
    couple = await joined()
    said = await erase(couple, "m-2", "m-1")
    assert [(one["member"], one["of"], one["accounts"]) for one in said] == [("m-2", None, ["m-1"]), ("m-1", "m-2", [])]
    assert [couple.of(member).status for member in ("m-1", "m-2")] == ["erased", "erased"]
    (apart,) = await couple.join("j-2", undo=True)
    assert (apart["type"], apart["code"]) == ("member.merge_refused.v1", "member_not_active")


async def test_what_was_joined_or_parted_meanwhile_is_asked_for_again() -> None:
    couple = await joined()
    assert (await erase(couple, "m-1"))[0]["code"] == "member_not_active"
    await couple.join("j-2", undo=True)
    assert (await erase(couple, "m-2", "m-1"))[0]["code"] == "member_not_active"
    assert [couple.of(member).status for member in ("m-1", "m-2")] == ["active", "active"]


async def test_it_leaves_its_household_and_pays_for_nobody() -> None:
    family = await a_family(("m-1", 10), ("m-2", 10))
    said = await erase(family, "m-2")
    assert [one["type"] for one in said] == ["member.erased.v1", "member.household_changed.v1"]
    assert said[1]["members"] == []
    assert (await family.hold("h-1", 15))[0]["code"] == "insufficient_points"
    await family.settle("m-1", "m-2", "m-3")
    assert family.of("m-2").household is None
