"""What the gateway shows of others is lost or damaged, and made anew from the rows of those who own it.

One town with everything that is shown: baskets, returns, claims, holds, adjustments, gifts, merges, households, tiers,
caps, segments, redemptions in several states, vouchers, and somebody who was erased. It goes on while rows are mended.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import asyncpg
import pytest

from laurel.errors import Problem
from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.living import EVERYWHERE, MEMBERS, SHOP, live
from tests.flow.losing import DAMAGED, LOST, SHOWN, rebuild, rebuilding, shown, strike, unlike
from tests.flow.nursery import Nursery
from tests.flow.stage import TWO_OF_EACH, Door, Town, gather_bounded, grocery, purchase, voucher

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def town(
    town_urls: DatabaseUrls, town_kafka: KafkaSettings, forks: Nursery | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    """A town in which everything has happened that a gateway shows."""
    async with Town(tmp_path_factory.mktemp("town"), town_urls, town_kafka, TWO_OF_EACH, forks).open() as town:
        door = town.door()
        await live(door)
        await town.prove()
        yield town


async def seen(town: Town, door: Door) -> dict[str, Any]:
    """Return what callers are shown of everything there is, one by one."""
    paths = [f"programs/{program}/rewards" for program in EVERYWHERE]
    paths += [f"programs/{SHOP}/households/home"]
    for what, query in {
        "members": "select program, member from points.wallets where enrolled_at is not null",
        "activities": "select program, activity from points.activities",
        "redemptions": "select program, redemption from redemption.sagas",
        "holds": "select program, hold from points.holds where not saga",
        "adjustments": "select program, adjustment from points.adjustments",
        "transfers": "select program, cause from points.journals where kind = 'transfer'",
    }.items():
        paths += [f"programs/{program}/{what}/{name}" for program, name in await town.rows(query)]
    paths += [f"programs/{SHOP}/vouchers?member={member}" for member in MEMBERS]
    found = await gather_bounded([partial(door.ask, "GET", path) for path in sorted(set(paths))], 8)
    answers = {str(each.request.url.path): (each.status_code, each.json()) for each in found}
    assert {status for status, _ in answers.values()} == {200}
    return answers


@pytest.mark.parametrize("part", sorted(SHOWN))
async def test_each_projection_comes_back_when_it_is_damaged(town: Town, part: str) -> None:
    """Rows that say nonsense, and that they have heard more than was ever said."""
    before = await shown(town)
    await strike(town, DAMAGED[part])
    assert unlike(before, await shown(town)), "nothing was damaged"
    await rebuild(town, part if part != "details" else "members")
    assert not unlike(before, await shown(town))


async def test_everything_comes_back_when_it_is_lost(town: Town) -> None:
    """But for what only the gateway knew: the notes, here, which are sealed under a key that is lost as well."""
    doors = [town.door(), town.door("gateway-2")]
    before, answers = await shown(town), await seen(town, doors[0])
    await strike(town, *LOST.values())
    await rebuild(town)
    assert not unlike(before, await shown(town))
    for door in doors:
        after = await seen(town, door)
        for path, (_, body) in answers.items():
            assert body.pop("note", "Sorry.") == "Sorry."
            assert after[path] == (200, body), path
    await town.prove()
    # Whoever asks again is answered as before.
    again = await doors[1].report(SHOP, purchase("b-2-0", "m-2", 10_002, produce=1_000), 200)
    assert again == answers[f"/v1/programs/{SHOP}/activities/b-2-0"][1]


async def test_what_is_under_way_comes_back_too(town: Town) -> None:
    """A redemption that waits to be confirmed."""
    door = town.door()
    held = await door.redeem(SHOP, "r-later", "m-5", "off", confirm="later")
    assert held["state"] == "holding"
    at = f"programs/{SHOP}/redemptions/{held['redemption']}"
    before, rows = await door.call("GET", at), await shown(town)
    await strike(town, LOST["redemptions"])
    await door.call("GET", at, None, 404)
    await rebuild(town, "redemptions")
    assert await door.call("GET", at) == before
    assert not unlike(rows, await shown(town))
    assert (await door.call("POST", f"{at}/confirm", {}))["state"] == "fulfilled"
    await town.prove()


async def test_what_is_whole_is_left_alone(town: Town) -> None:
    """Not a row is written, so nothing that comes meanwhile can be lost."""
    before = await shown(town)
    told = await rebuild(town)
    assert [each for each in told if each.mended] == []
    assert {each.program for each in told} == set(EVERYWHERE)
    assert not unlike(before, await shown(town))


async def test_events_go_on_while_everything_is_mended(town: Town) -> None:
    """Writers at two doors see each answer in the next read, while rows are struck and made anew beside them."""
    doors = [town.door(), town.door("gateway-2")]
    program = "busy"
    await doors[0].publish(grocery(program))
    await doors[0].call("PUT", f"programs/{program}/rewards/off", voucher(1), 201)
    members, idle = [f"w-{number}" for number in range(4)], "idle"
    await doors[0].enrol(program, *members, idle)
    await doors[0].report(program, purchase("idle", idle, 700))
    ended = asyncio.Event()

    async def write(number: int) -> tuple[int, int]:
        """Buy and redeem, and look through the other door: what was answered is what is shown."""
        member, available, turn = members[number], 0, 0
        while not ended.is_set() or turn < 3:
            turn += 1
            asked, looked = doors[turn % 2], doors[(turn + 1) % 2]
            posted = await asked.report(program, purchase(f"{member}-{turn}", member, 500))
            available += 5
            assert posted["balances"][0]["available"] == available
            assert await looked.available(program, member) == available
            if turn % 3 == 0:
                redeemed = await asked.redeem(program, f"{member}-{turn}", member, "off")
                available -= 1
                at = f"programs/{program}/redemptions/{redeemed['redemption']}"
                assert (await looked.call("GET", at))["state"] == "fulfilled"
                assert await looked.available(program, member) == available
        return turn, available

    writing = [asyncio.create_task(write(number)) for number in range(len(members))]
    for _ in range(5):
        # What nobody reads just now, so that whoever writes need not know of it.
        activities = f"program = '{program}' and kind = 'activity' and state = 'posted'"
        await strike(
            town,
            f"update requests set outcome = '{{}}' where {activities}",
            f"update members set balances = null, version = 900 where program = '{program}' and member = '{idle}'",
        )
        await rebuild(town, programs=[program])
        assert [await door.available(program, idle) for door in doors] == [7, 7]
    ended.set()
    done = await asyncio.gather(*writing)
    await town.prove()
    assert [await doors[0].available(program, member) for member in members] == [left for _, left in done]
    await rebuild(town, programs=[program])
    empty = "select count(*) from gateway.requests where program = $1 and outcome = '{}'"
    assert await town.value(empty, program) == 0


async def test_lost_while_events_go_on(town: Town) -> None:
    """Balances are lost amid purchases: when these end and it was made anew, all is as the owners hold it."""
    doors = [town.door(), town.door("gateway-2")]
    program = "amid"
    await doors[0].publish(grocery(program))
    members = [f"w-{number}" for number in range(4)]
    await doors[0].enrol(program, *members)
    ended = asyncio.Event()

    async def write(number: int) -> int:
        turn = 0
        while not ended.is_set() or turn < 3:
            turn += 1
            bought = purchase(f"{number}-{turn}", members[number], 500)
            answer = await doors[turn % 2].ask("POST", f"programs/{program}/activities", bought)
            assert answer.status_code == 201, answer.text
        return 5 * turn

    writing = [asyncio.create_task(write(number)) for number in range(len(members))]
    for version in (0, 1_000_000):
        stands = f"version = {version}, sequence = {version}"
        await strike(town, f"update members set balances = null, {stands} where program = '{program}'")
        await rebuild(town, programs=[program])
    ended.set()
    granted = await asyncio.gather(*writing)
    await town.prove()
    assert [await doors[1].available(program, member) for member in members] == granted


@pytest.mark.crash
async def test_killed_half_way_and_begun_again(town: Town) -> None:
    before = await shown(town)
    await strike(town, *LOST.values())
    lost = await shown(town)
    with rebuilding(town) as first:
        assert first.stdout is not None
        while json.loads(first.stdout.readline())["mended"] == 0:
            pass
        first.kill()
    half = await shown(town)
    assert unlike(lost, half), "it had begun"
    assert [line for line in unlike(half, before) if line.startswith("- ")] == [], "what was made is right"
    await rebuild(town)
    assert not unlike(before, await shown(town))


async def test_two_at_once_come_to_the_same(town: Town) -> None:
    before = await shown(town)
    await strike(town, *DAMAGED.values())
    await asyncio.gather(rebuild(town), rebuild(town))
    assert not unlike(before, await shown(town))
    await town.prove()


async def test_what_makes_no_sense_is_refused(town: Town) -> None:
    before = await shown(town)
    with rebuilding(town, "--program", SHOP, "--program", "nowhere") as done:
        told, _ = done.communicate()
    assert json.loads(told) == {"code": "program_unknown", "detail": "There is no program nowhere."}
    assert done.returncode == 1
    with rebuilding(town, "vouchers") as done:
        _, wrong = done.communicate()
    assert done.returncode == 2
    assert "'vouchers' is none of rewards, redemptions, operations, members, activities" in wrong
    assert not unlike(before, await shown(town))


async def test_a_member_who_cannot_be_told_of_stays_as_it_was(town: Town) -> None:
    """Its journals do not follow from each other; everybody else is mended."""
    before = await shown(town)
    journal = "program = $1 and member = 'm-4' and journal = 2"
    facts = await town.value(f"select facts from points.journals where {journal}", SHOP)
    await spoil(town, f"update points.journals set facts = $2 where {journal}", b"[]")
    try:
        await strike(town, DAMAGED["members"])
        struck = [row for row in (await shown(town))["members"] if row[:2] == (SHOP, "m-4")]
        told = await rebuild(town, "members", programs=[SHOP])
        (left,) = told[-1].left
        assert left.startswith("m-4: its journals do not follow from each other")
        after = await shown(town)
        assert [row for row in after["members"] if row[:2] == (SHOP, "m-4")] == struck
        assert [line for line in unlike(before, after) if f"'{SHOP}'" in line and "'m-4'" not in line] == []
    finally:
        await spoil(town, f"update points.journals set facts = $2 where {journal}", facts)
    await rebuild(town)
    assert not unlike(before, await shown(town))


async def spoil(town: Town, statement: str, facts: bytes) -> None:
    """Change what no service may change."""
    connection = await asyncpg.connect(town.urls.owner)
    try:
        assert await connection.execute(statement, SHOP, facts) == "UPDATE 1"
    finally:
        await connection.close()


async def test_nothing_is_touched_while_points_is_down(town: Town) -> None:
    before = await shown(town)
    await strike(town, DAMAGED["rewards"], DAMAGED["members"])
    struck = await shown(town)
    town.kill("points")
    try:
        with pytest.raises(Problem) as problem:
            await rebuild(town)
        assert (problem.value.code, problem.value.detail) == ("unavailable", "points cannot be reached.")
        assert not unlike(struck, await shown(town))
        # What redemption owns needs nobody else.
        await rebuild(town, "rewards")
    finally:
        town.start("points")
        await town.ready("points")
    await rebuild(town)
    assert not unlike(before, await shown(town))
    await town.prove()
