"""Codes of partners: each handed out once, those that end first before all, and none that has ended."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from laurel.contracts.vouchers import VoucherTerms
from laurel.io.database import Database
from services.redemption.domain.state import RewardKey
from services.redemption.ports import CodeGiven, CodesTaken
from services.redemption.store.pools import PostgresPools
from services.redemption.store.vault import Vault
from services.redemption.store.views import PostgresViews
from services.redemption.testing import (
    NOON,
    PROGRAM,
    points_captured,
    points_held,
    points_released,
    redemption_requested,
    reward_published,
    voucher_used,
)
from tests.redemption.finding import findings
from tests.redemption.store.vouchers import listed, types

pytestmark = pytest.mark.anyio

SOON = NOON + timedelta(minutes=5)
LATE = NOON + timedelta(days=90)


class Shop:
    """A reward whose codes are a partner's."""

    def __init__(self, counter: Any, database: Database, vault: Vault) -> None:
        self.counter, self.database, self.pools = counter, database, PostgresPools(vault)

    async def offer(self, **terms: Any) -> None:
        voucher = VoucherTerms(codes="pool", **terms)
        await self.counter.hear(reward_published(value=None, valid_days=None, stock=None, voucher=voucher))

    async def give(self, *codes: str, expires_at: datetime | None = None, program: str = PROGRAM) -> CodesTaken | None:
        given = [CodeGiven(line, code, expires_at) for line, code in enumerate(codes, 1)]
        async with self.database.transaction() as connection:
            return await self.pools.fill(connection, RewardKey(program, "cup"), given)

    async def ask(self, name: str, quantity: int = 1, at: datetime = NOON) -> list[str]:
        said = await self.counter.hear(redemption_requested("m-1", name, quantity=quantity, at=at))
        return [each.type for each in said]

    async def hold(self, name: str, quantity: int = 1, at: datetime = NOON) -> list[str]:
        said = await self.counter.hear(points_held("m-1", name, 100 * quantity, at=at))
        await self.counter.hear(points_captured("m-1", name, 100 * quantity, at=at))
        return [each.type for each in said]


@pytest.fixture
def shop(counter: Any, database: Database, vault: Vault) -> Shop:
    return Shop(counter, database, vault)


async def test_each_code_is_handed_out_once_and_then_it_is_sold_out(
    shop: Shop, vault: Vault, auditor: asyncpg.Connection[Any]
) -> None:
    await shop.offer()
    assert await shop.ask("r-0") == ["redemption.refused.v1"], "there are none yet"
    codes = [f"CINEMA-{number:04}" for number in range(7)]
    assert await shop.give(*codes) == CodesTaken(7, ())
    for number in range(7):
        assert await shop.ask(f"r-{number + 1}") == ["hold.requested.v1"]
    assert await shop.ask("r-8") == ["redemption.refused.v1"]
    await asyncio.gather(*(shop.hold(f"r-{number + 1}") for number in range(7)))
    shown = await listed(shop.database, vault)
    assert sorted(each["code"] for each in shown) == codes
    assert {each["used_here"] for each in shown} == {False}
    for each in shown:
        assert each["suffix"] == each["code"][-4:]
    assert await auditor.fetchval("select count(*) from pool_codes where voucher is null") == 0
    assert await auditor.fetchval("select count(sealed) from pool_codes") == 0, "whoever has it alone can read it"
    for table in ("outbox", "saga_decisions", "vouchers", "pool_codes"):
        everything = repr(await auditor.fetch(f"select * from {table}"))
        assert not [code for code in codes if code in everything]
    assert await findings(auditor, across=False) == []


async def test_the_same_file_twice_changes_nothing_and_says_so_by_line(
    shop: Shop, auditor: asyncpg.Connection[Any]
) -> None:
    await shop.offer()
    first = await shop.give("A-1", "A-2", "A-1")
    assert first is not None
    assert (first.added, [(fault.line, fault.code) for fault in first.faults]) == (2, [(3, "duplicate")])
    again = await shop.give("A-1", "A-2", "A-3", expires_at=LATE)
    assert again is not None
    assert (again.added, [fault.line for fault in again.faults]) == (1, [1, 2])
    assert await auditor.fetchval("select total from stock") == 3
    await shop.ask("r-1")
    await shop.hold("r-1")
    handed = await shop.give("A-1", "A-2", "A-3")
    assert handed is not None
    assert handed.added == 0, "what was handed out is not given anew"
    assert await shop.give("A-4", program="other") is None
    assert await findings(auditor, across=False) == []


async def test_what_is_refused_or_given_up_leaves_its_code_to_the_next(
    shop: Shop, auditor: asyncpg.Connection[Any]
) -> None:
    await shop.offer()
    await shop.give("A-1")
    assert await shop.ask("r-1") == ["hold.requested.v1"]
    assert await shop.ask("r-2") == ["redemption.refused.v1"]
    late = NOON + timedelta(minutes=15)
    assert await shop.hold("r-1", at=late) == ["hold.release_requested.v1", "redemption.refused.v1"]
    await shop.counter.hear(points_released("m-1", "r-1", 100, at=late))
    assert await shop.ask("r-3") == ["hold.requested.v1"]
    assert "voucher.issued.v1" in await shop.hold("r-3")
    assert await findings(auditor, across=False) == []


async def test_codes_that_end_first_go_first_and_none_that_has_ended(
    shop: Shop, vault: Vault, auditor: asyncpg.Connection[Any]
) -> None:
    await shop.offer(product="A film")
    await shop.give("NEVER-1")
    await shop.give("LATE-1", expires_at=LATE)
    await shop.give("SOON-1", "SOON-2", expires_at=SOON)
    assert await shop.ask("r-1", 2) == ["hold.requested.v1"]
    assert "voucher.issued.v1" in await shop.hold("r-1", 2)
    shown = {each["code"]: each for each in await listed(shop.database, vault)}
    assert sorted(shown) == ["SOON-1", "SOON-2"]
    assert {each["expires_at"] for each in shown.values()} == {SOON.isoformat()}
    await shop.give("SOON-3", expires_at=SOON)
    assert await shop.ask("r-2", 3, at=SOON) == ["redemption.refused.v1"], "one of three has ended"
    assert await shop.ask("r-3", 3, at=SOON - timedelta(seconds=1)) == ["hold.requested.v1"]
    # While points were asked for, one of the codes that were set aside has ended.
    assert await shop.hold("r-3", 3, at=SOON) == ["hold.release_requested.v1", "redemption.refused.v1"]
    await shop.counter.hear(points_released("m-1", "r-3", 300, at=SOON))
    assert await shop.ask("r-4", 2, at=SOON) == ["hold.requested.v1"]
    await shop.hold("r-4", 2, at=SOON)
    ends = {each["code"]: each["expires_at"] for each in await listed(shop.database, vault)}
    assert (ends["LATE-1"], ends["NEVER-1"]) == (LATE.isoformat(), None)
    assert await findings(auditor, across=False) == []


async def test_a_partners_code_is_used_there_unless_the_terms_say_so(
    shop: Shop, vault: Vault, auditor: asyncpg.Connection[Any]
) -> None:
    await shop.offer(product="A film")
    await shop.give("FILM-1")
    await shop.ask("r-1")
    await shop.hold("r-1")
    voucher = str(await auditor.fetchval("select voucher from vouchers"))
    said = await shop.counter.hear(voucher_used("m-1", voucher, "till-1", basket=None))
    assert (types(said), b"voucher_not_here" in said[0].body) == (["refused"], True)

    await shop.offer(product="A film", used_here=True)
    refused = await shop.give("1234-5678-9012-3456", "FILM-2")
    assert refused is not None
    assert [(fault.line, fault.code) for fault in refused.faults] == [(1, "looks_like_ours")]
    await shop.ask("r-2")
    await shop.hold("r-2")
    async with shop.database.reading() as connection:
        found = await PostgresViews(vault).by_code(connection, PROGRAM, "FILM-2", NOON)
        assert await PostgresViews(vault).by_code(connection, PROGRAM, "FILM-3", NOON) is None
    assert found is not None
    used = await shop.counter.hear(voucher_used("m-1", found["voucher"], "till-2", basket=None))
    assert types(used) == ["redeemed"]
    assert await findings(auditor, across=False) == []


@pytest.mark.parametrize(
    ("damage", "proof"),
    [
        ("update redemption.pool_codes set voucher = null where voucher is not null", "pools are what was given"),
        ("update redemption.pool_lots set codes = codes + 1", "pools are what was given"),
        ("delete from redemption.pool_codes where voucher is null", "pools are what was given"),
        (
            "update redemption.pool_codes set member = 'm-2' where voucher is not null",
            "a code of a pool is that of one",
        ),
        (
            "update redemption.pool_codes set sealed = 'again' where voucher is not null",
            "a code of a pool can be read by the pool until",
        ),
        (
            "update redemption.pool_codes set sealed = null where voucher is null",
            "a code of a pool can be read by the pool until",
        ),
        ("update redemption.stock set total = 5", "stock follows the newest terms"),
    ],
)
async def test_auditor_finds_damage(
    shop: Shop, database_urls: Any, auditor: asyncpg.Connection[Any], damage: str, proof: str
) -> None:
    await shop.offer()
    await shop.give("A-1", "A-2")
    await shop.ask("r-1")
    await shop.hold("r-1")
    assert await findings(auditor, across=False) == []
    owner = await asyncpg.connect(database_urls.owner)
    assert not (await owner.execute(damage)).endswith(" 0")
    await owner.close()
    assert any(found.proof.startswith(proof) for found in await findings(auditor, across=False))
