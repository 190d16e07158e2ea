"""What one activity means for several wallets, over real tables: the auditor agrees, whoever comes first."""

import asyncio

import asyncpg
import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from tests.points.referring import joining, paid
from tests.points.store.bank import bank
from tests.points.stored import findings, insist
from tests.points.till import enrolment, report

pytestmark = pytest.mark.anyio


async def points(database: Database, member: str) -> tuple[int, int]:
    async with database.connection() as connection:
        row = await connection.fetchrow("select available, owed from balances where member = $1", member)
    return tuple(row) if row is not None else (0, 0)


async def test_both_sides_and_back_again(database: Database, database_urls: DatabaseUrls) -> None:
    till = await bank(database)
    await till.send(report("sample", "m-1", paid("p-1"), till.at))
    assert [await points(database, member) for member in ("m-1", "m-2")] == [(200, 0), (200, 0)]
    assert await findings(database_urls) == []
    again = await till.send(report("sample", "m-1", paid("p-1"), till.at))
    assert [(award["member"], award["amount"]) for award in again[0]["others"]] == [("m-2", 200)]
    # The return comes in another batch, and finds what it needs of both.
    back = await till.send(report("sample", "m-1", paid("b-1", "return", of="p-1"), till.at))
    assert [(one["member"], one["reversals"][0]["taken"]) for one in back] == [("m-1", 200), ("m-2", 200)]
    assert [await points(database, member) for member in ("m-1", "m-2")] == [(0, 0), (0, 0)]
    assert await findings(database_urls) == []


async def test_a_referral_its_payment_and_its_return_in_one_batch(
    database: Database, database_urls: DatabaseUrls
) -> None:
    till = await bank(database, referrer="m-1")
    await till.send(
        report("sample", "m-1", paid("r-1", "referral", referrer="m-3"), till.at),
        report("sample", "m-1", paid("p-1"), till.at),
        report("sample", "m-1", paid("b-1", "return", of="p-1"), till.at),
        report("sample", "m-1", paid("p-2"), till.at),
    )
    # All of the first came back, so the next is the first again.
    assert [await points(database, member) for member in ("m-1", "m-3")] == [(201, 0), (200, 0)]
    async with database.connection() as connection:
        assert await connection.fetchval("select referred_by from wallets where member = 'm-1'") == "m-3"
    assert await findings(database_urls) == []


async def test_a_referrer_that_became_a_part_of_another_gives_back_by_that_one(
    database: Database, database_urls: DatabaseUrls
) -> None:
    till = await bank(database, "m-1", "m-4")
    await till.send(report("sample", "m-1", paid("p-1"), till.at))
    await till.send(joining(till, "m-2", "m-3"))
    # One transaction: the first payment of another friend, and the return of what the first one's had given.
    await till.send(
        report("sample", "m-4", paid("p-4"), till.at),
        report("sample", "m-1", paid("b-1", "return", of="p-1"), till.at),
    )
    assert [await points(database, f"m-{number}") for number in (1, 2, 3, 4)] == [(0, 0), (0, 0), (200, 0), (200, 0)]
    assert await findings(database_urls) == []
    await till.send(joining(till, "m-3", "m-4"))
    await till.send(report("sample", "m-4", paid("b-4", "return", of="p-4"), till.at))
    assert [await points(database, f"m-{number}") for number in (1, 2, 3, 4)] == [(0, 0), (0, 0), (0, 0), (0, 0)]
    assert await findings(database_urls) == []


async def test_many_friends_of_one_at_once(database: Database, database_urls: DatabaseUrls) -> None:
    friends = [f"f-{number}" for number in range(30)]
    till = await bank(database, *friends)
    await asyncio.gather(*(insist(till, report("sample", each, paid(f"p-{each}"), till.at)) for each in friends))
    assert await points(database, "m-2") == (6_000, 0)
    assert await findings(database_urls) == []


async def test_two_who_refer_each_other_wait_for_nobody_in_a_circle(
    database: Database, database_urls: DatabaseUrls
) -> None:
    till = await bank(database, "m-1")
    await till.send(enrolment("sample", "m-9", referred_by="m-1"))
    payments = [(member, f"{member}-{number}") for number in range(10) for member in ("m-1", "m-9")]
    await asyncio.gather(*(insist(till, report("sample", who, paid(id_), till.at)) for who, id_ in payments))
    assert await points(database, "m-1") == (400, 0)
    assert await findings(database_urls) == []


async def test_auditor_finds_another_referrer(database: Database, database_urls: DatabaseUrls) -> None:
    till = await bank(database)
    await till.send(report("sample", "m-1", paid("p-1"), till.at))
    owner = await asyncpg.connect(database_urls.owner)
    await owner.execute("update points.wallets set referred_by = 'm-3' where member = 'm-1'")
    await owner.close()
    assert [finding.where for finding in await findings(database_urls)] == ["sample/m-1"]
