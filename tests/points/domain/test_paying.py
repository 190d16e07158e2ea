"""What another paid for is credited to the payer where the program, or the report, says so (AA-7)."""

from typing import Any

import pytest

from services.points.ports import WalletKey
from tests.points.till import Till, document, enrolment

pytestmark = pytest.mark.anyio


async def traveller() -> Till:
    till = Till(document("aadvantage"))
    await till.enrol()
    await till.send(enrolment("aadvantage", "city"), enrolment("aadvantage", "m-2"))
    return till


def flight(till: Till, id_: str, **payer: Any) -> dict[str, Any]:
    paid = {"payer": {"id": "city", "kind": "public_body", **payer}} if payer.get("kind") != "nobody" else {}
    return {
        "id": id_,
        "type": "flight",
        "occurred_at": till.at.isoformat(),
        "attributes": {"miles": 1200, "cabin": "economy"},
        **paid,
    }


def miles(till: Till) -> list[int]:
    wallets = [till.ledger.wallets[WalletKey("aadvantage", member)] for member in ("m-1", "city", "m-2")]
    return [wallet.balance("mile").available for wallet in wallets]


async def test_a_public_body_gets_what_it_paid_for() -> None:
    till = await traveller()
    said = await till.report(flight(till, "a"))
    assert [(award["member"], award["amount"]) for award in said["awards"]] == [("city", 1200)]
    assert said["member"] == "city"
    await till.report(flight(till, "b", kind="nobody"))
    assert miles(till) == [1200, 1200, 0]


@pytest.mark.parametrize(
    ("payer", "credited"),
    [
        ({"kind": "company"}, [1200, 0, 0]),
        ({"kind": "company", "policy": "return_to_payer"}, [0, 1200, 0]),
        ({"policy": "traveller_keeps"}, [1200, 0, 0]),
    ],
)
async def test_the_report_goes_before_the_program(payer: dict[str, str], credited: list[int]) -> None:
    till = await traveller()
    await till.report(flight(till, "a", **payer))
    assert miles(till) == credited


async def test_the_same_report_again_is_answered_again() -> None:
    till = await traveller()
    first = await till.report(flight(till, "a"))
    again = await till.report(flight(till, "a"))
    assert again["awards"] == first["awards"]
    assert miles(till) == [0, 1200, 0]


@pytest.mark.parametrize("by", ["m-1", "city"])
async def test_a_return_finds_the_wallet_that_was_credited(by: str) -> None:
    till = await traveller()
    await till.report(flight(till, "a"))
    till.member = by
    back = await till.give_back("r", "a")
    assert (back["type"], back["member"]) == ("points.clawed_back.v1", "city")
    till.member = "m-1"
    assert miles(till) == [0, 0, 0]


async def test_nobody_else_takes_it_back() -> None:
    till = await traveller()
    await till.report(flight(till, "a"))
    await till.report(flight(till, "b", kind="nobody"))
    till.member = "m-2"
    for of in ("a", "b"):
        assert (await till.give_back(f"r-{of}", of))["code"] == "activity_unknown"
    till.member = "m-1"
    assert miles(till) == [1200, 1200, 0]


async def test_a_payer_who_is_no_member_frees_the_id() -> None:
    till = await traveller()
    assert (await till.report(flight(till, "a", id="stranger")))["code"] == "member_unknown"
    assert (await till.report(flight(till, "a")))["type"] == "points.awarded.v1"
