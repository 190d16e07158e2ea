"""Points of one program for those of another, on paper: an exact rate, an end that the other program sets."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from laurel.contracts.processing import CannotProcessError
from services.points.domain.facts import LotReceived
from services.points.domain.state import Wallet
from services.points.ports import WalletKey
from services.points.testing import note
from tests.points.till import START, Till, document, enrolment

pytestmark = pytest.mark.anyio

TERMS = {"unit": "point", "to": "worldwide", "into": "mile", "rate": "2/3", "least": 10, "step": 5,
         "funding": {"funder": "air", "price": "1.5"}}  # fmt: skip
MILES = {"scale": 0, "validity": {"kind": "end_of_period", "period": "year", "after": 1}}


class Border(Till):
    """A member of `clubcard`, and its account in `worldwide`."""

    def __init__(self, *, terms: dict[str, Any] | None = None, clock: str = "wall", **there: Any) -> None:
        super().__init__(document("clubcard", clock=clock, exchanges=[{**TERMS, **(terms or {})}]))
        units = {"mile": MILES, "point": MILES}
        self.programs.publish(document("clubcard", **{"program": "worldwide", "clock": clock, "units": units, **there}))
        self.there_as_of: datetime | None = None

    async def open(self) -> None:
        await self.enrol()
        await self.send(enrolment("worldwide", "w-1", self.at))
        await self.buy("b-1", 10000)

    async def swap(self, name: str, amount: int, *, to: str = "w-1", **fields: Any) -> list[dict[str, Any]]:
        here = {"program": 1, **({"as_of": self.as_of} if self.as_of is not None else {})}
        there = {"program": 1, **({"as_of": self.there_as_of} if self.there_as_of is not None else {})}
        return await self.send(note(
            "exchange.requested.v1", self.program, self.member, at=self.at, cause={"kind": "request", "id": name},
            **{"exchange": name, "to_program": "worldwide", "to_member": to, "unit": "point", "amount": amount,
               "partner": "shop", "versions": here, "to_versions": there, **fields},
        ))  # fmt: skip

    @property
    def abroad(self) -> Wallet:
        return self.ledger.wallets[WalletKey("worldwide", "w-1")]


async def test_it_is_rounded_down_once_and_lasts_as_the_other_program_says() -> None:
    border = Border()
    await border.open()
    sent, received = await border.swap("x-1", 25)
    assert (sent["amount"], sent["other"]["amount"]) == (25, 16)
    assert received["balances"][0]["available"] == 16
    (lot,) = border.abroad.lots.values()
    assert (lot.rule, lot.funder, lot.partner, lot.earned_at) == ("exchange", "air", "air", START)
    assert lot.expires_at == datetime(2026, 1, 1, tzinfo=UTC)
    balance = border.abroad.balance("mile")
    assert (balance.earned, balance.adjusted, border.balance.adjusted, border.balance.spent) == (0, 16, -25, 0)
    facts = [fact for journal in border.ledger.journals for fact in journal.facts]
    prices = [(fact.price, fact.currency) for fact in facts if isinstance(fact, LotReceived)]
    assert prices == [("1.5", "GBP")], "the price that was agreed goes with the lot"


@pytest.mark.parametrize(
    ("border", "fields", "code"),
    [
        ({}, {"amount": 5}, "below_minimum"),
        ({}, {"amount": 12}, "below_minimum"),
        ({}, {"amount": 105}, "insufficient_points"),
        ({}, {"to": "nobody"}, "member_unknown"),
        ({}, {"to_program": "clubcard", "to_versions": {"program": 1}}, "member_unknown"),
        ({"terms": {"to": "elsewhere"}}, {}, "not_offered"),
        ({"terms": {"into": "dollar"}}, {}, "not_offered"),
        ({"closes_at": START.isoformat()}, {}, "program_closed"),
    ],
)
async def test_what_is_refused_moves_nothing(border: dict[str, Any], fields: dict[str, Any], code: str) -> None:
    two = Border(**border)
    await two.open()
    said = await two.swap("x-1", **{"amount": 30, **fields})
    assert [(one["type"], one["code"]) for one in said] == [("points.exchange_refused.v1", code)]
    assert (two.balance.available, two.abroad.balance("mile").available) == (100, 0)


async def test_each_program_is_at_its_own_time() -> None:
    border = Border(clock="manual")
    await border.open()
    await border.turn(START + timedelta(days=3))
    border.there_as_of = START + timedelta(days=400)
    sent, received = await border.swap("x-1", 30)
    assert (sent["at"], received["at"]) == ("2024-03-04T12:00:00Z", "2025-04-05T12:00:00Z")
    (lot,) = border.abroad.lots.values()
    assert lot.expires_at == datetime(2026, 12, 31, 23, tzinfo=UTC) + timedelta(hours=1)


async def test_a_version_of_the_other_program_that_does_not_come_parks_the_request() -> None:
    border = Border()
    await border.open()
    with pytest.raises(CannotProcessError, match="worldwide:7 has not come"):
        await border.swap("x-1", 30, to_versions={"program": 7})


async def test_points_that_end_by_inactivity_are_kept_by_the_exchange() -> None:
    inactive = {"scale": 0, "validity": {"kind": "inactivity", "months": 12, "kept_by": ["purchase"]}}
    border = Border(units={"mile": inactive, "point": inactive})
    await border.open()
    await border.swap("x-1", 30)
    assert border.abroad.balance("mile").active_until == datetime(2025, 3, 1, tzinfo=UTC)
