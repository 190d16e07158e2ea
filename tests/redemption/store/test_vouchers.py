"""Vouchers on a real database: one use whoever asks at once, codes nowhere, turns that wait for what is on its way."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from laurel.codes import read_code
from laurel.contracts.vouchers import VoucherTerms, VoucherWorth
from laurel.io.database import Database
from laurel.io.health import Health
from services.redemption.entry.timers import WaitTimer
from services.redemption.entry.turning import VoucherTurner
from services.redemption.store.store import PostgresStore
from services.redemption.store.vault import Vault
from services.redemption.store.views import PostgresViews
from services.redemption.store.vouchers import ended
from services.redemption.testing import (
    NOON,
    PROGRAM,
    clock_turned,
    points_captured,
    points_converted,
    points_held,
    points_returned,
    redemption_requested,
    reward_published,
    voucher_used,
    voucher_voided,
)
from tests.redemption.finding import findings
from tests.redemption.store.vouchers import listed, types

pytestmark = pytest.mark.anyio

ENDS = NOON + timedelta(days=730)


async def turner(counter: Any, batch_max: int = 3) -> VoucherTurner:
    def store_of(connection: Any) -> PostgresStore:
        return PostgresStore(connection, counter.vault)

    return VoucherTurner(counter.unit, counter.road, store_of, Health(), interval_seconds=0.01, batch_max=batch_max)


async def states(auditor: asyncpg.Connection[Any]) -> dict[str, int]:
    rows = await auditor.fetch("select state, count(*) from vouchers group by state")
    return {row[0]: row[1] for row in rows}


async def test_a_life_of_vouchers_holds_before_the_auditor(counter: Any, auditor: asyncpg.Connection[Any]) -> None:
    await counter.hear(reward_published(), redemption_requested("m-1", "r-1"))
    await counter.hear(points_held("m-1", "r-1", 100))
    await counter.hear(points_captured("m-1", "r-1", 100))
    of_reward = await auditor.fetchval("select voucher from vouchers")
    told = [points_converted("m-1", f"v-{number}") for number in range(4)]
    assert types(await counter.hear(*told, told[0])) == ["issued"] * 4
    assert await counter.hear(told[1]) == []
    assert types(await counter.hear(
        voucher_used("m-1", "v-0", "till-1"),
        voucher_voided("m-1", "v-0", "till-1"),
        voucher_used("m-1", "v-0", "till-2"),
        voucher_used("m-1", "v-0", "till-3"),
        voucher_voided("m-1", "v-1"),
        voucher_used("m-1", of_reward, "till-4", basket=None),
    )) == ["redeemed", "undone", "redeemed", "refused", "voided", "redeemed"]  # fmt: skip
    assert await states(auditor) == {"issued": 2, "spent": 2, "void": 1}
    assert await findings(auditor, across=False) == []


async def test_a_hundred_tills_and_one_voucher(counter: Any, auditor: asyncpg.Connection[Any]) -> None:
    await counter.hear(points_converted("m-1", "v-1"))

    async def till(number: int) -> list[str]:
        return types(await counter.hear(voucher_used("m-1", "v-1", f"till-{number}")))

    answers = await asyncio.gather(*(till(number) for number in range(100)))
    assert sorted(answer for (answer,) in answers) == ["redeemed"] + ["refused"] * 99
    assert await states(auditor) == {"spent": 1}
    assert await findings(auditor, across=False) == []


async def test_codes_are_found_as_typed_and_stand_nowhere(
    counter: Any, database: Database, vault: Vault, auditor: asyncpg.Connection[Any]
) -> None:
    await counter.hear(*(points_converted(f"m-{number}", f"v-{number}") for number in range(5)))
    shown = await listed(database, vault)
    codes = [each["code"] for each in shown]
    assert len(set(codes)) == 5
    assert [read_code(code) for code in codes] == codes
    async with database.reading() as connection:
        views = PostgresViews(vault)
        typed = codes[3].lower().replace("-", " ")
        found = await views.by_code(connection, PROGRAM, typed, NOON)
        assert found == shown[3]
        assert await views.by_code(connection, PROGRAM, codes[0][:-1] + "U", NOON) is None
        assert await views.by_code(connection, "other", codes[0], NOON) is None
    for table in ("outbox", "voucher_decisions", "vouchers", "members"):
        everything = repr(await auditor.fetch(f"select * from {table}"))
        assert not [code for code in codes if code in everything or code.replace("-", "") in everything]


async def test_lists_go_by_member_and_state_page_by_page(counter: Any, database: Database, vault: Vault) -> None:
    await counter.hear(*(points_converted(f"m-{n % 2}", f"v-{n}") for n in range(6)))
    await counter.hear(voucher_used("m-0", "v-2"))
    assert [each["voucher"] for each in await listed(database, vault, member="m-0")] == ["v-0", "v-2", "v-4"]
    assert [each["voucher"] for each in await listed(database, vault, member="m-0", state="spent")] == ["v-2"]
    page = await listed(database, vault, limit=2, after=("m-0", "v-2"))
    assert [each["voucher"] for each in page] == ["v-4", "v-1"]
    # What is over is shown as such before anybody has met it.
    over = await listed(database, vault, state="expired", now=ENDS)
    assert len(over) == 5
    assert {each["left"] for each in over} == {0}
    assert await listed(database, vault, state="expired", now=None) == []


async def test_a_turn_waits_for_vouchers_on_their_way_and_ends_what_is_over(
    counter: Any, auditor: asyncpg.Connection[Any]
) -> None:
    turning = await turner(counter)
    told = [points_converted(f"m-{n}", f"v-{n}", turned_to=ENDS, expires_at=ENDS) for n in range(7)]
    await counter.hear(points_converted("m-1", "later", expires_at=ENDS + timedelta(seconds=1)))
    await counter.hear(clock_turned(ENDS, 7), *told[:6])
    assert not await turning.step()
    assert not await turning.step()
    await counter.hear(told[6])
    while await turning.step():
        pass
    assert await states(auditor) == {"expired": 7, "issued": 1}
    row = await auditor.fetchrow("select converted, expired, done from turns")
    assert tuple(row or ()) == (7, 7, True)
    # The same again is the same turn.
    await counter.hear(clock_turned(ENDS, 7))
    assert not await turning.step()
    assert await findings(auditor, across=False) == []


async def test_one_programs_turn_does_not_wait_for_anothers(counter: Any, auditor: asyncpg.Connection[Any]) -> None:
    turning = await turner(counter)
    await counter.hear(clock_turned(NOON, 1, program="a"), clock_turned(NOON, 0, program="b"))
    await counter.hear(clock_turned(NOON + timedelta(days=1), 0, program="a"))
    while await turning.step():
        pass
    rows = await auditor.fetch("select program, done from turns order by program, as_of")
    assert [tuple(row) for row in rows] == [("a", False), ("a", False), ("b", True)]


async def test_on_a_wall_clock_the_timer_ends_what_is_over(counter: Any, auditor: asyncpg.Connection[Any]) -> None:
    """In pages, those of other programs left alone, and each once."""
    told = [points_converted(f"m-{n}", f"v-{n}") for n in range(8)]
    sandbox = points_converted("m-1", "w-1", program="sandbox")
    later = points_converted("m-1", "later", expires_at=ENDS + timedelta(seconds=1))
    await counter.hear(*told, sandbox, later)
    await counter.hear(voucher_used("m-3", "v-3"))

    def store_of(connection: Any) -> PostgresStore:
        return PostgresStore(connection, counter.vault)

    async def over(connection: Any, until: Any, limit: int) -> Any:
        return await ended(connection, [PROGRAM], until, limit)

    def timer_at(now: Any) -> WaitTimer:
        return WaitTimer(
            counter.unit, counter.road, store_of, over, Health(), hearing=lambda: True, interval_seconds=1, batch_max=3,
            now=lambda: now,
        )  # fmt: skip

    assert await timer_at(ENDS - timedelta(seconds=1)).run_once() == 0
    assert await timer_at(ENDS).run_once() == 7
    assert await timer_at(ENDS).run_once() == 0
    assert await states(auditor) == {"expired": 7, "spent": 1, "issued": 2}
    said = await auditor.fetchval("select count(*) from outbox where type = 'voucher.expired.v1'")
    assert said == 7
    assert await findings(auditor, across=False) == []


DAMAGES = [
    ("update redemption.vouchers set state = 'spent' where voucher = 'v-2'", "a voucher's uses are what is missing"),
    ("update redemption.vouchers set remaining = 250 where voucher = 'v-1'", "a voucher's uses are what is missing"),
    ("update redemption.voucher_uses set amount = 100", "a voucher's uses are what is missing"),
    ("delete from redemption.voucher_uses", "a voucher's uses are what is missing"),
    ("update redemption.voucher_uses set voucher = 'v-3'", "a voucher's uses are what is missing"),
    ("update redemption.voucher_uses set reference = 'other'", "vouchers are folds of their decisions"),
    ("update redemption.vouchers set value = 500 where voucher = 'v-2'", "vouchers are folds of their decisions"),
    ("update redemption.vouchers set step = 2 where voucher = 'v-2'", "decisions about vouchers are numbered"),
    ("update redemption.vouchers set conversion = '' where voucher = 'v-2'", "every voucher has its redemption"),
    ("update redemption.turns set converted = 9", "what a turn ended is what its vouchers say"),
    ("update redemption.turns set done = false", "every turn of a clock has come to its end"),
    ("delete from redemption.vouchers where voucher = 'v-2'", "decisions about vouchers are numbered"),
]


@pytest.mark.parametrize(("damage", "proof"), DAMAGES)
async def test_auditor_finds_damage(
    counter: Any, database_urls: Any, auditor: asyncpg.Connection[Any], damage: str, proof: str
) -> None:
    turning = await turner(counter)
    await counter.hear(*(points_converted("m-1", f"v-{number}", turned_to=NOON) for number in (1, 2)))
    await counter.hear(voucher_used("m-1", "v-1"), clock_turned(NOON, 2))
    assert await turning.step()
    assert await findings(auditor, across=False) == []
    owner = await asyncpg.connect(database_urls.owner)
    assert not (await owner.execute(damage)).endswith(" 0")
    await owner.close()
    assert any(found.proof.startswith(proof) for found in await findings(auditor, across=False))


async def test_vouchers_are_what_points_became(
    counter: Any, database_urls: Any, auditor: asyncpg.Connection[Any]
) -> None:
    facts = [{"fact": "PointsConverted", "voucher": "v-1", "value": 250}]
    points = await asyncpg.connect(database_urls.points, server_settings={"search_path": "points"})
    await points.execute(
        "insert into journals (program, member, journal, kind, cause, at, occurred_at, facts) "
        "values ($1, 'm-1', 1, 'conversion', 'x', now(), now(), $2)",
        PROGRAM,
        msgspec.json.encode(facts),
    )
    await points.close()
    assert [each.proof for each in await findings(auditor)] == ["points that became a voucher have it"]
    await counter.hear(points_converted("m-1", "v-1"))
    assert await findings(auditor) == []
    await counter.hear(points_converted("m-1", "v-2"))
    assert [each.proof for each in await findings(auditor)] == ["no voucher of points is there without its points"]


async def gift_card(counter: Any, auditor: asyncpg.Connection[Any], value: int = 1000) -> str:
    """Return a voucher that a redemption made, used in parts."""
    terms = VoucherTerms(value=VoucherWorth(amount=value, currency="GBP"), parts=True)
    await counter.hear(reward_published("card", value=None, valid_days=None, voucher=terms))
    await counter.hear(redemption_requested("m-1", "r-1", "card"))
    await counter.hear(points_held("m-1", "r-1", 100))
    await counter.hear(points_captured("m-1", "r-1", 100))
    return str(await auditor.fetchval("select voucher from vouchers"))


async def test_parts_race_for_the_last_rest_and_it_is_paid_out_exactly(
    counter: Any, auditor: asyncpg.Connection[Any]
) -> None:
    card = await gift_card(counter, auditor)

    async def till(number: int) -> list[str]:
        return types(await counter.hear(voucher_used("m-1", card, f"till-{number}", amount=30)))

    answers = await asyncio.gather(*(till(number) for number in range(60)))
    assert sorted(answer for (answer,) in answers) == ["redeemed"] * 33 + ["refused"] * 27
    # What is undone can be used by the next.
    (first,) = await auditor.fetch("select reference from voucher_uses order by reference limit 1")
    assert types(await counter.hear(voucher_voided("m-1", card, first["reference"]))) == ["undone"]
    assert types(await counter.hear(voucher_used("m-1", card, "last"))) == ["redeemed"]
    assert await auditor.fetchval("select sum(amount)::int from voucher_uses") == 1000
    assert await states(auditor) == {"spent": 1}
    assert await findings(auditor, across=False) == []


async def test_kinds_are_kept_and_shown(
    counter: Any, database: Database, vault: Vault, auditor: asyncpg.Connection[Any]
) -> None:
    card = await gift_card(counter, auditor)
    for number, terms in enumerate((VoucherTerms(percent=15), VoucherTerms(product="A coffee"))):
        await counter.hear(reward_published(f"k-{number}", value=None, valid_days=None, voucher=terms))
        await counter.hear(redemption_requested("m-2", f"r-{number}", f"k-{number}"))
        await counter.hear(points_held("m-2", f"r-{number}", 100), points_captured("m-2", f"r-{number}", 100))
    await counter.hear(voucher_used("m-1", card, "till-1", amount=400))
    (shown,) = await listed(database, vault, member="m-1")
    assert (shown["value"], shown["left"], shown["state"], shown["parts"]) == (1000, 600, "issued", True)
    others = {each["percent"]: each for each in await listed(database, vault, member="m-2")}
    assert (others[15]["value"], others[None]["product"]) == (None, "A coffee")
    share, thing = others[15]["voucher"], others[None]["voucher"]
    await counter.hear(voucher_used("m-2", share, "till-2", basket=999), voucher_used("m-2", thing, "till-3"))
    rows = await auditor.fetch("select reference, amount from voucher_uses order by reference")
    assert [tuple(row) for row in rows] == [("till-1", 400), ("till-2", 149), ("till-3", None)]
    assert await findings(auditor, across=False) == []


async def test_returns_give_back_on_tables_too(
    counter: Any, database_urls: Any, auditor: asyncpg.Connection[Any]
) -> None:
    card = await gift_card(counter, auditor)
    await counter.hear(points_converted("m-1", "v-1"), points_converted("m-2", "v-2"))
    uses = (
        voucher_used("m-1", "v-1", "a"), voucher_used("m-2", "v-2", "b"), voucher_used("m-1", card, "c", amount=1000),
    )  # fmt: skip
    await counter.hear(*uses)
    whole = points_returned("m-1", "r-1", ("voucher", "a", 250, 0, 250), ("voucher", "b", 250, 0, 100))
    assert types(await counter.hear(whole)) == ["undone", "issued"]
    assert types(await counter.hear(points_returned("m-1", "r-2", ("voucher", "b", 250, 100, 250)))) == ["issued"]
    assert types(await counter.hear(points_returned("m-1", "r-3", ("voucher", "c", 900, 0, 300)))) == ["undone"]
    rows = await auditor.fetch("select value from vouchers where share_of = 'v-2' order by value")
    assert [row["value"] for row in rows] == [100, 150]
    assert await auditor.fetchval("select remaining from vouchers where voucher = $1", card) == 333
    assert await findings(auditor, across=False) == []
    owner = await asyncpg.connect(database_urls.owner)
    await owner.execute("update redemption.vouchers set value = 101, remaining = 101 where value = 100")
    await owner.close()
    proofs = {found.proof for found in await findings(auditor, across=False)}
    assert proofs == {"a return gives back no more of a voucher than it paid", "vouchers are folds of their decisions"}
