"""The road on a real database: what is written is what is loaded, and locks keep everybody in line."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from laurel.codes import read_code
from laurel.contracts.processing import CannotProcessError
from laurel.io.database import Database
from services.redemption.domain.state import SagaKey
from services.redemption.store.loading import overdue
from services.redemption.store.secrecy import check_secret
from services.redemption.store.vault import SealBrokenError, Vault
from services.redemption.store.views import PostgresViews
from services.redemption.testing import (
    NOON,
    PROGRAM,
    hold_refused,
    points_captured,
    points_held,
    points_released,
    redemption_requested,
    reward_published,
)
from tests.redemption.finding import findings, pretend_points

pytestmark = pytest.mark.anyio


async def test_a_saga_from_request_to_capture(
    counter: Any, auditor: asyncpg.Connection[Any], database_urls: Any
) -> None:
    await counter.hear(reward_published(stock=7))
    await counter.hear(redemption_requested("m-1", "r-1", quantity=2))
    assert await auditor.fetchrow("select version, total, reserved, taken from stock") == (1, 7, 2, 0)
    said = await counter.hear(points_held("m-1", "r-1", 200))
    assert said[0].type == "redemption.fulfilled.v1"
    assert await auditor.fetchrow("select version, total, reserved, taken from stock") == (1, 7, 0, 2)
    await counter.hear(points_captured("m-1", "r-1", 200))
    row = await auditor.fetchrow("select state, hold, step, waits_until, outcome from sagas")
    assert row is not None
    assert (row["state"], row["hold"], row["step"], row["waits_until"]) == ("fulfilled", "captured", 3, None)
    assert row["outcome"] == said[0].body
    kinds = await auditor.fetch("select kind from saga_decisions order by step")
    assert [kind for (kind,) in kinds] == ["request", "held", "captured"]
    await pretend_points(database_urls, [("m-1", "r-1", 200, "captured")])
    assert await findings(auditor) == []


async def test_codes_are_shown_by_the_vault_and_stand_nowhere_else(
    counter: Any, database: Database, vault: Vault, auditor: asyncpg.Connection[Any]
) -> None:
    await counter.hear(reward_published(), redemption_requested("m-1", "r-1", quantity=3))
    said = await counter.hear(points_held("m-1", "r-1", 300))
    async with database.reading() as connection:
        shown = await PostgresViews(vault).vouchers(connection, PROGRAM, "r-1", "m-1")
    codes = [voucher["code"] for voucher in shown]
    assert len(set(codes)) == 3
    assert [read_code(code) for code in codes] == codes
    announced = msgspec.json.decode(said[0].body)["vouchers"]
    assert [(v["voucher"], v["suffix"]) for v in announced] == [(v["voucher"], v["suffix"]) for v in shown]
    assert all(code.endswith(voucher["suffix"]) for code, voucher in zip(codes, shown, strict=True))
    digests = {digest for (digest,) in await auditor.fetch("select digest from vouchers")}
    assert digests == {vault.digest(PROGRAM, code) for code in codes}
    for table in ("outbox", "saga_decisions", "sagas", "vouchers", "members"):
        everything = repr(await auditor.fetch(f"select * from {table}"))
        assert not [code for code in codes if code in everything or code.replace("-", "") in everything]


async def test_forgetting_a_members_key_forgets_its_codes_only(counter: Any, database: Database, vault: Vault) -> None:
    await counter.hear(reward_published())
    await counter.hear(redemption_requested("m-1", "r-1"), redemption_requested("m-2", "r-2"))
    await counter.hear(points_held("m-1", "r-1", 100), points_held("m-2", "r-2", 100))
    async with database.transaction() as connection:
        await connection.execute("update members set key = null where member = 'm-1'")
    async with database.reading() as connection:
        gone = await PostgresViews(vault).vouchers(connection, PROGRAM, "r-1", None)
        kept = await PostgresViews(vault).vouchers(connection, PROGRAM, "r-2", None)
    assert [voucher["code"] for voucher in gone] == [None]
    assert read_code(kept[0]["code"]) is not None


async def test_another_secret_stops_the_start(counter: Any, database: Database) -> None:
    async with database.reading() as connection:
        await check_secret(connection, Vault(b"x" * 48))
    await counter.hear(reward_published(), redemption_requested("m-1", "r-1"))
    await counter.hear(points_held("m-1", "r-1", 100))
    async with database.reading() as connection:
        await check_secret(connection, counter.vault)
        with pytest.raises(SealBrokenError):
            await check_secret(connection, Vault(b"x" * 48))


async def test_refusal_gives_stock_back(counter: Any, auditor: asyncpg.Connection[Any]) -> None:
    await counter.hear(reward_published(stock=1), redemption_requested("m-1", "r-1"))
    await counter.hear(redemption_requested("m-2", "r-2"))
    await counter.hear(hold_refused("m-1", "r-1", 100))
    await counter.hear(redemption_requested("m-3", "r-3"))
    rows = await auditor.fetch("select redemption, state, code from sagas order by redemption")
    assert [tuple(row) for row in rows] == [
        ("r-1", "refused", "insufficient_points"), ("r-2", "refused", "sold_out"), ("r-3", "holding", ""),
    ]  # fmt: skip
    assert await findings(auditor, at_rest=False) == []
    assert {found.proof for found in await findings(auditor)} == {"no saga is open", "nothing is set aside"}


async def test_waits_end_and_late_points_are_asked_back(counter: Any, database: Database) -> None:
    await counter.hear(reward_published(), *[redemption_requested(f"m-{n}", f"r-{n}") for n in range(3)])
    await counter.hear(points_held("m-1", "r-1", 100))
    end = NOON + timedelta(minutes=15)
    async with database.connection() as connection:
        assert await overdue(connection, end - timedelta(seconds=1), 10) == []
        due = await overdue(connection, end, 10)
        assert [each.redemption for each in due] == ["r-0", "r-2"]
        assert len(await overdue(connection, end, 1)) == 1
    said = await counter.time_is_up(due)
    assert [each.type for each in said] == ["hold.release_requested.v1", "redemption.refused.v1"] * 2
    assert await counter.time_is_up(due) == []
    late = await counter.hear(points_held("m-0", "r-0", 100))
    assert [each.type for each in late] == ["hold.release_requested.v1"]
    assert await counter.hear(points_released("m-0", "r-0", 100)) == []


async def test_fifty_transactions_race_for_seven_pieces(
    counter: Any, auditor: asyncpg.Connection[Any], database_urls: Any
) -> None:
    await counter.hear(reward_published(stock=7))
    requests = [redemption_requested(f"m-{n % 20}", f"r-{n}") for n in range(50)]
    said = await asyncio.gather(*[counter.hear(told) for told in requests])
    asked = [msgspec.json.decode(each.body) for batch in said for each in batch if each.type == "hold.requested.v1"]
    assert len(asked) == 7
    held = [points_held(each["member"], each["hold"], 100) for each in asked]
    answers = await asyncio.gather(*[counter.hear(told) for told in held], return_exceptions=True)
    assert [each for each in answers if isinstance(each, BaseException)] == []
    await asyncio.gather(*[counter.hear(points_captured(each["member"], each["hold"], 100)) for each in asked])
    counts = await auditor.fetch("select state, count(*) from sagas group by state order by state")
    assert [tuple(row) for row in counts] == [("fulfilled", 7), ("refused", 43)]
    await pretend_points(database_urls, [(each["member"], each["hold"], 100, "captured") for each in asked])
    assert await findings(auditor) == []


async def test_answer_and_timer_race_for_one_saga(
    counter: Any, database: Database, auditor: asyncpg.Connection[Any]
) -> None:
    rounds = range(10)
    await counter.hear(reward_published(stock=10), *[redemption_requested("m-1", f"r-{n}") for n in rounds])
    async with database.connection() as connection:
        due = await overdue(connection, NOON + timedelta(hours=1), 100)
    answers = [counter.hear(points_held("m-1", f"r-{n}", 100)) for n in rounds]
    timers = [counter.time_is_up([each]) for each in due]
    said = await asyncio.gather(*[each for pair in zip(answers, timers, strict=True) for each in pair])
    ends = [each.type for batch in said for each in batch if each.type.startswith("redemption.")]
    assert len(ends) == 10
    assert await findings(auditor, across=False, at_rest=False) == []


async def test_what_cannot_be_decided_leaves_nothing_behind(counter: Any, auditor: asyncpg.Connection[Any]) -> None:
    await counter.hear(reward_published(), redemption_requested("m-1", "r-1"))
    before = await auditor.fetch("select * from sagas")
    with pytest.raises(CannotProcessError):
        await counter.hear(redemption_requested("m-2", "r-2"), points_held("m-1", "r-1", 1))
    assert await auditor.fetch("select * from sagas") == before
    assert await auditor.fetchval("select reserved from stock") == 1


async def test_versions_of_a_reward_are_kept(counter: Any, auditor: asyncpg.Connection[Any]) -> None:
    await counter.hear(reward_published(stock=7), redemption_requested("m-1", "r-1"))
    await counter.hear(reward_published(stock=None, price=999), reward_published(stock=3, price=5))
    assert await auditor.fetchval("select count(*) from rewards") == 3
    assert await auditor.fetchrow("select version, total, reserved from stock") == (3, 3, 1)
    said = await counter.hear(points_held("m-1", "r-1", 100))
    assert msgspec.json.decode(said[0].body)["points"] == 100


async def test_catalogue_shows_what_is_left(counter: Any, database: Database, vault: Vault) -> None:
    await counter.hear(reward_published("b", stock=2), reward_published("a", stock=None, value=None))
    await counter.hear(reward_published("c", program="other"), redemption_requested("m-1", "r-1", "b"))
    async with database.reading() as connection:
        shown = await PostgresViews(vault).rewards(connection, PROGRAM, after="", limit=10)
    assert [(each["reward"], each["stock"], each["left"]) for each in shown] == [("a", None, None), ("b", 2, 1)]
    assert shown[1]["price"] == {"unit": "point", "amount": 100}
    async with database.reading() as connection:
        rest = await PostgresViews(vault).rewards(connection, PROGRAM, after="a", limit=10)
    assert [each["reward"] for each in rest] == ["b"]


@pytest.mark.parametrize(
    "table", ["saga_decisions", "saga_decisions_p0", "partner_answers", "partner_answers_p0", "rewards"]
)
async def test_what_was_decided_cannot_be_changed(database: Database, table: str) -> None:
    for statement in (f"delete from {table}", f"update {table} set at = now()"):
        async with database.connection() as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


@pytest.mark.parametrize(
    ("damage", "proof"),
    [
        ("update stock set taken = taken + 1", "stock is what its sagas have"),
        ("update stock set total = 99", "stock follows the newest terms"),
        (
            "delete from vouchers",
            "a fulfilled redemption has its vouchers, a cancelled one none that is good, any other none",
        ),
        ("update vouchers set redemption = 'x'", "every voucher has its redemption, its key and a code of its own"),
        ("update sagas set hold = 'none'", "states and holds of a saga fit"),
        ("update sagas set step = step + 1", "decisions are numbered without gap"),
        ("update sagas set points = points + 1", "sagas are folds of their decisions"),
        (
            "update sagas set state = 'holding', waits_until = now() - interval '1 hour'",
            "no saga waits beyond its time",
        ),
    ],
)
async def test_damage_is_found(
    counter: Any, database: Database, auditor: asyncpg.Connection[Any], database_urls: Any, damage: str, proof: str
) -> None:
    await counter.hear(reward_published(), redemption_requested("m-1", "r-1"))
    await counter.hear(points_held("m-1", "r-1", 100), points_captured("m-1", "r-1", 100))
    await pretend_points(database_urls, [("m-1", "r-1", 100, "captured")])
    assert await findings(auditor) == []
    async with database.transaction() as connection:
        await connection.execute(damage)
    assert proof in {found.proof for found in await findings(auditor)}


@pytest.mark.parametrize(("state", "amount"), [("held", 100), ("released", 100), ("captured", 99)])
async def test_disagreement_with_points_is_found(
    counter: Any, auditor: asyncpg.Connection[Any], database_urls: Any, state: str, amount: int
) -> None:
    await counter.hear(reward_published(), redemption_requested("m-1", "r-1"))
    await counter.hear(points_held("m-1", "r-1", 100), points_captured("m-1", "r-1", 100))
    await pretend_points(database_urls, [("m-1", "r-1", amount, state), ("m-2", "r-9", 5, "held")])
    assert {found.proof for found in await findings(auditor)} == {
        "what redemption knows of holds is what points did", "no redemption's points are held without a saga",
    }  # fmt: skip


async def test_decision_keys_name_their_saga(counter: Any, auditor: asyncpg.Connection[Any]) -> None:
    await counter.hear(reward_published(), redemption_requested("m-1", "r-1", "saucer"))
    await counter.hear(redemption_requested("m-1", "r-1", "cup"), points_held("m-1", "r-1", 100))
    key = SagaKey(PROGRAM, "m-1", "r-1")
    rows = await auditor.fetch("select program, member, redemption, step, kind from saga_decisions order by step")
    assert [tuple(row) for row in rows] == [(*key, 1, "request"), (*key, 2, "request"), (*key, 3, "held")]
    assert await findings(auditor, across=False, at_rest=False) == []
