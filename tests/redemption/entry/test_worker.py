"""Whole workers beside a real broker and database; the gateway and points are played by the stage."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from laurel.io.health import Health
from laurel.io.topics import programs_topic
from services.redemption.settings import RedemptionSettings
from services.redemption.testing import (
    PROGRAM,
    Told,
    hold_refused,
    points_captured,
    points_held,
    redemption_requested,
    reward_published,
)
from tests.redemption.stage import Stage, working

pytestmark = pytest.mark.anyio


def body(message: Any) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(message.body)
    return decoded


async def test_fifty_buyers_and_two_workers_race_for_seven_pieces(stage: Stage, settings: RedemptionSettings) -> None:
    members = [f"m-{n}" for n in range(25)]
    stage.points.balances = dict.fromkeys(members, 1000)
    async with working(settings), working(settings):
        await stage.tell(reward_published(stock=7))
        await stage.until(lambda: stage.of("reward.published.v1"))
        await stage.tell(*[redemption_requested(members[n % 25], f"r-{n}") for n in range(50)])
        await stage.until_all_ended(50)
        await stage.until(lambda: len(stage.of("redemption.refused.v1")) == 43)
    assert len(stage.of("redemption.fulfilled.v1")) == 7
    assert len(stage.of("voucher.issued.v1")) == 7
    assert {body(each)["code"] for each in stage.of("redemption.refused.v1")} == {"sold_out"}
    assert sum(stage.points.balances.values()) == 25 * 1000 - 7 * 100
    assert await stage.findings() == []


async def test_who_cannot_pay_leaves_the_piece_to_others(stage: Stage, settings: RedemptionSettings) -> None:
    stage.points.balances = {"poor": 99, "rich": 100}
    async with working(settings):
        await stage.tell(reward_published(stock=1))
        await stage.until(lambda: stage.of("reward.published.v1"))
        await stage.tell(redemption_requested("poor", "r-1"))
        await stage.until_all_ended(1)
        await stage.tell(redemption_requested("rich", "r-2"))
        await stage.until_all_ended(2)
        await stage.until(lambda: stage.of("redemption.fulfilled.v1"))
    [refused] = stage.of("redemption.refused.v1")
    assert body(refused)["code"] == "insufficient_points"
    assert body(refused)["facts"]["shortfall"] == 1
    assert refused.correlation == "redemption:r-1"
    assert body(refused)["wallet"]["source"] == "laurel/points/1"
    [fulfilled] = stage.of("redemption.fulfilled.v1")
    assert (fulfilled.member, fulfilled.correlation) == ("rich", "redemption:r-2")
    assert await stage.findings() == []


async def test_every_message_twice_and_out_of_order_across_members(stage: Stage, settings: RedemptionSettings) -> None:
    stage.points_answer = False
    chance = random.Random(2)
    keys: dict[str, list[Told]] = {"": [reward_published(stock=100)]}
    for n in range(12):
        member = f"m-{n}"
        keys[member] = [redemption_requested(member, f"r-{n}-{i}") for i in range(2)]
    answers: dict[str, list[Told]] = {
        member: [
            points_held(member, story[0].correlation.removeprefix("redemption:"), 100),
            hold_refused(member, story[1].correlation.removeprefix("redemption:"), 100),
            points_captured(member, story[0].correlation.removeprefix("redemption:"), 100),
        ]
        for member, story in keys.items()
        if member
    }
    async with working(settings):
        await stage.tell(*keys.pop(""))
        await stage.until(lambda: stage.of("reward.published.v1"))
        for stories in (keys, answers):
            told = await _tell_shuffled(stage, stories, chance)
            await stage.until(lambda: len(stage.heard) >= 1 + 24)
            await stage.tell(*chance.sample(told, len(told)))
        await stage.until_all_ended(24)
        await stage.until(lambda: len(stage.heard) == 1 + 24 + 12 * 3 + 12)
        await asyncio.sleep(0.3)  # more must not come
    assert len(stage.heard) == 1 + 24 + 12 * 3 + 12
    assert await stage.findings() == []
    assert await stage.auditor.fetchval("select count(*) from parked") == 0


async def _tell_shuffled(stage: Stage, stories: dict[str, list[Told]], chance: random.Random) -> list[Told]:
    """Publish the stories mixed, each in its own order, and everything a second time now and then."""
    told: list[Told] = []
    left = {member: list(story) for member, story in stories.items()}
    while left:
        member = chance.choice(sorted(left))
        told.append(left[member].pop(0))
        await stage.tell(told[-1])
        if chance.random() < 0.5:
            await stage.tell(chance.choice(told))
        if not left[member]:
            del left[member]
    return told


async def test_saga_that_waits_too_long_ends_and_its_late_points_go_back(
    stage: Stage, settings: RedemptionSettings
) -> None:
    stage.points_answer = False
    stage.points.balances = {"m-1": 100}
    hasty = settings.model_copy(update={"hold_wait": timedelta(seconds=1)})
    async with working(hasty):
        await stage.tell(reward_published(stock=1))
        await stage.until(lambda: stage.of("reward.published.v1"))
        await stage.tell(redemption_requested("m-1", "r-1", at=datetime.now(UTC)))
        await stage.until(lambda: stage.of("redemption.refused.v1"))
        [refused] = stage.of("redemption.refused.v1")
        assert body(refused)["code"] == "hold_expired"
        assert refused.correlation == "redemption:r-1"
        assert await stage.auditor.fetchval("select reserved from stock") == 0
        stage.points_answer = True
        for message in list(stage.heard):
            await stage.answer(message)
        await stage.until_all_ended(1)
    assert stage.points.balances == {"m-1": 100}
    assert stage.points.holds["m-1", "r-1"][0] == "released"
    assert stage.of("redemption.fulfilled.v1") == []
    assert await stage.findings() == []


async def test_manual_program_waits_for_its_own_clock(stage: Stage, settings: RedemptionSettings) -> None:
    stage.points_answer = False
    await stage.publish_program(2, clock="manual")
    long_ago = datetime(2017, 1, 1, tzinfo=UTC)
    async with working(settings):
        await stage.tell(reward_published(stock=1))
        await stage.until(lambda: stage.of("reward.published.v1"))
        await stage.tell(redemption_requested("m-1", "r-1", at=long_ago, version=2))
        await stage.until(lambda: stage.of("hold.requested.v1"))
        await asyncio.sleep(0.4)  # several rounds of the timer
        assert stage.of("redemption.refused.v1") == []
        await stage.tell(points_held("m-1", "r-1", 100, at=long_ago))
        await stage.until(lambda: stage.of("redemption.fulfilled.v1"))


async def test_program_that_cannot_be_read_stops_no_other(stage: Stage, settings: RedemptionSettings) -> None:
    stage.points.balances = {"m-1": 100}
    health = Health()
    topic = programs_topic(settings.kafka_prefix)
    await stage.tell(Told("program.published.v1", PROGRAM, "", b"{", "laurel/gateway.programs/1", 2), topic=topic)
    await stage.publish_program(3)
    async with working(settings, health):
        await stage.tell(reward_published())
        await stage.until(lambda: stage.of("reward.published.v1"))
        await stage.tell(redemption_requested("m-1", "r-1", version=3))
        await stage.until_all_ended(1)
        details = health.report()["details"]
    assert isinstance(details, dict)
    assert "laid aside" in details["programs"]


async def test_request_that_overtakes_its_program_waits_for_it(stage: Stage, settings: RedemptionSettings) -> None:
    stage.points.balances = {"m-1": 100, "m-2": 100}
    health = Health()
    hasty = settings.model_copy(update={"program_wait_seconds": 0.5})
    async with working(hasty, health):
        await stage.tell(reward_published())
        await stage.until(lambda: stage.of("reward.published.v1"))
        await stage.tell(redemption_requested("m-1", "r-1", version=2), redemption_requested("m-2", "r-2"))
        # Whoever does not carry the version is served meanwhile.
        await stage.until_all_ended(1)
        await stage.until(lambda: stage.auditor.fetchval("select count(*) = 1 from parked"))
        assert await stage.auditor.fetchval("select reason from parked") == "program_version_unknown"
        assert [each.member for each in stage.of("hold.requested.v1")] == ["m-2"]
        assert health.is_ready
        await stage.publish_program(2)
        await stage.until_all_ended(2)
    assert await stage.auditor.fetchval("select count(*) from parked") == 0


async def test_request_that_overtakes_its_program_a_little_is_not_parked(
    stage: Stage, settings: RedemptionSettings
) -> None:
    stage.points.balances = {"m-1": 100}
    async with working(settings):
        await stage.tell(reward_published())
        await stage.until(lambda: stage.of("reward.published.v1"))
        await stage.tell(redemption_requested("m-1", "r-1", version=2))
        await asyncio.sleep(0.5)
        assert stage.of("hold.requested.v1") == []
        await stage.publish_program(2)
        await stage.until_all_ended(1)
    assert not await stage.auditor.fetchval("select count(*) from outbox where type like 'message.%'")


@pytest.mark.parametrize(
    ("type_", "make", "reason"),
    [
        ("redemption.requested.v1", lambda _: b"{", "undecodable"),
        ("redemption.requested.v1", lambda good: good.replace(b'"r-1"', b"1"), "undecodable"),
        ("redemption.requested.v1", lambda good: good.replace(b'"m-1"', b'"m-2"'), "undecodable"),
        ("redemption.requested.v1", lambda good: good.replace(b'"acme"', b'"ac\xff"'), "undecodable"),
        ("redemption.requested.v1", lambda good: good.replace(b'Z",', b'",'), "undecodable"),
        ("redemption.dreamt_of.v1", lambda good: good, "unknown_type"),
        ("redemption.requested.v1", lambda good: good.replace(b'"acme"', b'"ac\\u0000me"'), "refused_by_database"),
        ("redemption.requested.v1", lambda good: good.replace(b'"quantity":1', b'"quantity":' + b"9" * 30),
         "refused_by_database"),
    ],
)  # fmt: skip
async def test_poison_parks_its_key_and_others_flow_on(
    stage: Stage, settings: RedemptionSettings, type_: str, make: Any, reason: str
) -> None:
    stage.points.balances = dict.fromkeys([f"m-{n}" for n in range(40)], 100)
    async with working(settings):
        await stage.tell(reward_published(stock=None))
        await stage.until(lambda: stage.of("reward.published.v1"))
        good = redemption_requested("m-1", "r-1")
        bad = Told(type_, PROGRAM, "m-1", make(good.body), correlation="redemption:r-1")
        assert bad.body != good.body or bad.type != good.type
        others = [redemption_requested(f"m-{n}", f"r-{n}") for n in range(2, 40)]
        behind = redemption_requested("m-1", "r-1b")
        await stage.tell(*others[:20], bad, behind, *others[20:])
        await stage.until_all_ended(38)
        rows = await stage.auditor.fetch("select member, sequence, reason from parked order by sequence")
    assert [tuple(row) for row in rows] == [("m-1", 1, reason), ("m-1", 2, "behind")]
    assert await stage.findings() == []


async def test_an_answer_about_another_price_is_parked(stage: Stage, settings: RedemptionSettings) -> None:
    stage.points_answer = False
    async with working(settings):
        await stage.tell(reward_published())
        await stage.until(lambda: stage.of("reward.published.v1"))
        await stage.tell(redemption_requested("m-1", "r-1"), redemption_requested("m-2", "r-2"))
        await stage.until(lambda: len(stage.of("hold.requested.v1")) == 2)
        await stage.tell(points_held("m-1", "r-1", 1), points_held("m-2", "r-2", 100))
        await stage.until(lambda: stage.of("redemption.fulfilled.v1"))
        await stage.until(lambda: stage.auditor.fetchval("select count(*) = 1 from parked"))
    assert [each.member for each in stage.of("redemption.fulfilled.v1")] == ["m-2"]
    assert await stage.auditor.fetchval("select reason from parked") == "impossible"
