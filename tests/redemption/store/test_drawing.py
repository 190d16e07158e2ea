"""Seats, limits and one-time keys on a real database: sold once, given back once, and proved."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Any

import asyncpg
import pytest

from laurel.contracts.asking import SegmentAsked
from laurel.contracts.rewards import AmountPrice, PayTerms, RewardLimit
from laurel.io.database import Database
from services.redemption.domain.heard import Share, TimeIsUp
from services.redemption.domain.moment import ProgramTerms
from services.redemption.road import Road
from services.redemption.testing import (
    NOON,
    PROGRAM,
    FixedPrograms,
    hold_refused,
    points_captured,
    points_held,
    redemption_requested,
    resource_published,
    reward_published,
)
from services.redemption.verifying import Finding, verify

pytestmark = pytest.mark.anyio

DAY, NEXT = date(2036, 3, 20), date(2036, 3, 21)
PLAIN: dict[str, Any] = {"kind": "product", "stock": None, "value": None, "valid_days": None}
SEATS = f"seats:AA100:{DAY}"


@pytest.fixture
async def desk(counter: Any) -> Any:
    counter.road = Road(FixedPrograms(ProgramTerms(share=Share(percent=5))))
    await counter.hear(reward_published("award", price=100, **PLAIN, segments=True))
    once = RewardLimit(limit="once", per="lifetime", times=1)
    credit = AmountPrice(points=1, per=1, currency="USD")
    car: dict[str, Any] = {
        "by_amount": credit,
        "pay": PayTerms(cash=True, most=True),
        "attributes": {"vin": "text"},
        "key": "vin",
    }
    await counter.hear(reward_published("car", price=0, **PLAIN, **car, limits=[once]))
    await counter.hear(resource_published("AA100", 150), resource_published("AA101", 150))
    return counter


def seats(*days: date, resource: str = "AA100") -> list[SegmentAsked]:
    return [SegmentAsked(resource=resource, on=day) for day in days]


async def findings(auditor: asyncpg.Connection[Any], *, at_rest: bool = False) -> list[Finding]:
    found = [each async for each in verify(auditor, across=False, at_rest=at_rest)]
    return [each for each in found if isinstance(each, Finding)]


async def used(auditor: asyncpg.Connection[Any]) -> dict[str, int]:
    return {row[0]: row[1] for row in await auditor.fetch("select name, used from tallies where used > 0")}


async def test_what_is_drawn_is_kept_given_back_and_folded(desk: Any, auditor: asyncpg.Connection[Any]) -> None:
    trip = [*seats(DAY), *seats(NEXT, resource="AA101")]
    await desk.hear(redemption_requested("m-1", "r-1", "award", segments=trip, party=2))
    await desk.hear(redemption_requested("m-2", "r-2", "award", segments=trip))
    assert await used(auditor) == {SEATS: 3, f"seats:AA101:{NEXT}": 3}
    await desk.hear(hold_refused("m-2", "r-2", 100))
    await desk.hear(points_held("m-1", "r-1", 200))
    await desk.hear(points_captured("m-1", "r-1", 200))
    assert await used(auditor) == {SEATS: 2, f"seats:AA101:{NEXT}": 2}
    await desk.hear(hold_refused("m-2", "r-2", 100))
    assert await used(auditor) == {SEATS: 2, f"seats:AA101:{NEXT}": 2}, "once, however often it is said"
    assert await findings(auditor, at_rest=True) == []


async def test_as_many_points_as_there_are_and_a_key_and_a_limit(desk: Any, auditor: asyncpg.Connection[Any]) -> None:
    car: dict[str, Any] = {"amount": 5_000, "attributes": {"vin": "1G1"}}
    (asked,) = await desk.hear(redemption_requested("m-1", "r-1", "car", **car))
    assert b'"least":1' in asked.body
    await desk.hear(points_held("m-1", "r-1", 3_000))
    (refused,) = await desk.hear(redemption_requested("m-2", "r-2", "car", **car))
    assert b'"key_used"' in refused.body
    (refused,) = await desk.hear(redemption_requested("m-1", "r-3", "car", amount=1, attributes={"vin": "1G2"}))
    assert b'"limit_reached"' in refused.body
    assert await auditor.fetchval("select points from sagas where redemption = 'r-1'") == 3_000
    assert set((await used(auditor)).values()) == {1}
    assert await findings(auditor) == []


async def test_two_hundred_transactions_race_for_seven_seats(
    desk: Any, database: Database, auditor: asyncpg.Connection[Any]
) -> None:
    async def buy(number: int) -> str:
        said = await desk.hear(redemption_requested(f"m-{number}", f"r-{number}", "award", segments=seats(DAY, NEXT)))
        return str(said[0].type)

    said = await asyncio.gather(*(buy(number) for number in range(200)))
    assert said.count("hold.requested.v1") == 7
    assert said.count("redemption.refused.v1") == 193
    assert await used(auditor) == {SEATS: 7, f"seats:AA100:{NEXT}": 7}
    # All of them time out at once, against each other's locks.
    due = [
        TimeIsUp(program=PROGRAM, member=f"m-{n}", redemption=f"r-{n}", at=NOON + timedelta(hours=1))
        for n in range(200)
    ]
    await asyncio.gather(*(desk.time_is_up(due[start::4]) for start in range(4)))
    assert await used(auditor) == {}
    assert await findings(auditor) == []


async def test_trips_in_both_directions_do_not_lock_each_other_out(desk: Any, auditor: asyncpg.Connection[Any]) -> None:
    there, back = seats(DAY), seats(DAY, resource="AA101")

    async def fly(number: int) -> None:
        trip = [*there, *back] if number % 2 else [*back, *there]
        await desk.hear(redemption_requested(f"m-{number}", f"r-{number}", "award", segments=trip))

    await asyncio.gather(*(fly(number) for number in range(40)))
    assert set((await used(auditor)).values()) == {7}


@pytest.mark.parametrize(
    ("damage", "proof"),
    [
        ("update tallies set used = used + 1", "what is drawn is what sagas have, and no more than there was"),
        ("delete from tallies", "what is drawn is what sagas have, and no more than there was"),
        (
            """update tallies set used = 8;
               update sagas set bargain = replace(convert_from(bargain, 'UTF8'), '"amount":1', '"amount":8')::bytea""",
            "what is drawn is what sagas have, and no more than there was",
        ),
        ("update sagas set state = 'refused', code = 'x'", "a refused or cancelled redemption has nothing drawn"),
        ("update sagas set bargain = '{}'", "sagas are folds of their decisions"),
    ],
)
async def test_damage_is_found(
    desk: Any, auditor: asyncpg.Connection[Any], database_urls: Any, damage: str, proof: str
) -> None:
    await desk.hear(redemption_requested("m-1", "r-1", "award", segments=seats(DAY)))
    await desk.hear(points_held("m-1", "r-1", 100))
    assert await findings(auditor) == []
    owner = await asyncpg.connect(database_urls.owner, server_settings={"search_path": "redemption"})
    await owner.execute(damage)
    await owner.close()
    assert proof in {finding.proof for finding in await findings(auditor)}
