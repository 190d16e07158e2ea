"""Whatever happens by chance: the road over tables says what it says where all is at hand, and every sum agrees (S17).

In memory a wallet has all its lots, postings and counters; from tables it has what was thought to be needed. What is
said has to be the same, event by event, and each event tells the balances that the wallet then has (S19).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.program import load_program
from services.points.domain.facts import decode_facts, encode_facts
from services.points.domain.folding import fold
from services.points.domain.state import Balance, Wallet
from services.points.ports import Announcement, Store, WalletKey
from services.points.road import Road
from services.points.store.ledger import Ledger
from services.points.store.retelling import Retold
from services.points.store.views import LedgerViews
from services.points.testing import FixedPrograms, MemoryLedger
from tests.points.lives import MEMBERS, Lives, programs
from tests.points.stored import findings
from tests.points.till import as_heard

pytestmark = pytest.mark.anyio

STEPS = 90
TOTALS = ("available", "pending", "held", "owed", "earned", "spent", "expired", "reversed", "adjusted")


def plainly(said: Any) -> Any:
    """Return what was said without what only tables know, and in an order of its own."""
    if isinstance(said, dict):
        return {name: plainly(each) for name, each in said.items() if name != "next_expiry"}
    if isinstance(said, list):
        return sorted(map(plainly, said), key=str)
    return said


def differing(here: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return what tables and memory say differently: an event at a time, and no more of it than what differs."""
    if [each["type"] for each in here] != [each["type"] for each in there]:
        return [[(each["type"], each["member"], each["cause"]) for each in said] for said in (here, there)]
    return [
        (one["type"], one["member"], one["cause"], name, one.get(name), other.get(name))
        for one, other in zip(here, there, strict=True)
        for name in {**one, **other}
        if plainly(one.get(name)) != plainly(other.get(name))
    ]


def told_totals(said: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {each["unit"]: tuple({**each, **each["lifetime"]}[name] for name in TOTALS) for each in said["balances"]}


def totals(wallet: Wallet) -> dict[str, tuple[int, ...]]:
    return {unit: totals_of(balance) for unit, balance in wallet.balances.items() if any(totals_of(balance))}


def totals_of(balance: Balance) -> tuple[int, ...]:
    return tuple(getattr(balance, name) for name in TOTALS)


class Played:
    """One history, in memory and in tables; `folded` are all facts again, `told` what was said of each last."""

    def __init__(self, seed: int, database: Database) -> None:
        self.lives = Lives(seed)
        first, second = map(load_program, programs(self.lives.chance))
        self.programs = FixedPrograms(first, second)
        if self.lives.chance.random() < 0.6:
            self.programs.say("lives", "ahead", "approved", billing="prepaid")
        self.database = database
        self.memory = MemoryLedger()
        self.road = Road(self.programs)
        self.folded = {member: Wallet("lives", member) for member in MEMBERS}
        self.told: dict[str, dict[str, tuple[int, ...]]] = {}
        self.seen = 0

    async def both(self, deed: Callable[[Store], Awaitable[Sequence[Announcement]]]) -> None:
        there = as_heard(await deed(self.memory))
        async with self.database.transaction() as connection:
            here = as_heard(await deed(Ledger(connection)))
        found = differing(here, there)
        assert not found, "\n".join(map(str, found))
        for said in here:
            if said["member"] and said["type"] != "member.enrolled.v1":
                self.told[said["member"]] = told_totals(said)
        for journal in self.memory.journals[self.seen :]:
            for fact in decode_facts(encode_facts(journal.facts)):
                fold(self.folded[journal.wallet.member], journal.number, fact)
        self.seen = len(self.memory.journals)
        for wallet in self.folded.values():
            told = self.told.get(wallet.member, {})
            assert {unit: each for unit, each in told.items() if any(each)} == totals(wallet)
            for balance in wallet.balances.values():
                came = balance.earned - balance.spent - balance.expired - balance.reversed + balance.adjusted
                assert balance.available + balance.held - balance.owed == came
                assert not (balance.available and balance.owed)

    async def live(self, steps: int) -> None:
        for told in self.lives.enrolments():
            await self.both(lambda store, told=told: self.road.run(store, [told]))  # type: ignore[misc]
        for _ in range(steps):
            told = self.lives.next()
            if self.lives.chance.random() < 0.15:
                await self.both(self._time)
            await self.both(lambda store, told=told: self.road.run(store, [told]))  # type: ignore[misc]

    async def _time(self, store: Store) -> Sequence[Announcement]:
        return await self.road.run_due(store, [WalletKey("lives", member) for member in MEMBERS], self.lives.now)

    async def reports_agree(self) -> None:
        """Compare what is outstanding with the fold: in sum, by funder and by year."""
        zone = self.programs.zone("lives")
        report = await LedgerViews(self.database).liability("lives", zone)
        for unit in report["units"]:
            name = unit["unit"]
            balances = [wallet.balance(name) for wallet in self.folded.values()]
            lots = [lot for wallet in self.folded.values() for lot in wallet.lots.values() if lot.unit == name]
            told = (
                unit["available"], unit["pending"], unit["held"], unit["owed"], unit["granted"], unit["redeemed"],
                unit["expired"], unit["reversed"], unit["adjusted"],
            )  # fmt: skip
            assert told == tuple(sum(each) for each in zip(*map(totals_of, balances), strict=True))
            assert unit["outstanding"] == unit["available"] + unit["held"] - unit["owed"]
            funders: Counter[str] = Counter()
            years: Counter[int | None] = Counter()
            for lot in lots:
                ends = lot.expires_at
                funders[lot.funder] += lot.remaining
                years[None if ends is None else (ends.astimezone(zone) - timedelta(days=1)).year] += lot.remaining
            assert {each["partner"]: each["outstanding"] for each in unit["by_funder"]} == +funders
            assert {each["year"]: each["outstanding"] for each in unit["by_expiry_year"]} == +years
            assert sum(funders.values()) == sum(years.values()) == unit["available"] + unit["held"]

    async def told_again(self) -> None:
        """Have everything said again from the journals; it leads where the events had led."""
        last: dict[str, dict[str, tuple[int, ...]]] = {}
        async with self.database.reading() as connection:
            async for member, told in Retold(self.programs).rows(connection, "lives", MEMBERS):
                assert "broken" not in told
                if "type" in told and told["type"] != "member.enrolled.v1":
                    last[member] = told_totals(msgspec.json.decode(told["data"]))
        assert {member: {unit: each for unit, each in told.items() if any(each)} for member, told in last.items()} == {
            member: totals(self.folded[member]) for member in last
        }


@pytest.mark.parametrize("seed", range(600, 605))
async def test_all_is_alike_and_every_sum_agrees(database: Database, database_urls: DatabaseUrls, seed: int) -> None:
    played = Played(seed, database)
    await played.live(STEPS)
    await played.reports_agree()
    await played.told_again()
    assert await findings(database_urls) == []
