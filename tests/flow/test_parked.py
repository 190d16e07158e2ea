"""A message that cannot be processed, in the middle of five hundred for others: it waits for a person, they do not."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import msgspec
import pytest

from laurel.io import parking
from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.io.outbox import Outbox
from laurel.io.saying import Saying
from laurel.io.settings import KafkaSettings
from laurel.io.unit import UnitOfWork
from tests.flow.conftest import kafka_settings
from tests.flow.nursery import Nursery
from tests.flow.other_gateway import OtherGateway
from tests.flow.stage import ANSWER_SECONDS, Door, Town, gather_bounded, grocery, points_of, purchase, voucher
from tests.flow.wire import Record, Wire

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]

PARTS = {"gateway": "api", "gateway-worker": "worker", "points": "both", "redemption": "both"}
PROGRAM = "parked"
# By the order of keys the poison is said in the middle of them.
OTHERS = [f"{side}-{number:03}" for side in ("a", "z") for number in range(50)]
EACH = 5
AMOUNT = 3_000


@pytest.fixture(scope="module")
def one_log(broker: str, session_timeout_ms: int) -> KafkaSettings:
    """One partition, so that everything said while a service is away comes to it as one batch."""
    return kafka_settings(broker, session_timeout_ms, partitions=1)


@pytest.fixture(scope="module")
async def town(
    town_urls: DatabaseUrls, one_log: KafkaSettings, forks: Nursery | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    place = tmp_path_factory.mktemp("town")
    async with Town(place, town_urls, one_log, PARTS, forks, batch_max=1000).open() as town:
        door = town.door()
        await door.publish(grocery(PROGRAM))
        await gather_bounded([partial(door.enrol, PROGRAM, member) for member in OTHERS], 10)
        yield town


@pytest.fixture(scope="module")
async def door(town: Town) -> Door:
    return town.door()


def of_no_type(saying: Saying) -> Saying:
    return dataclasses.replace(saying, type="activity.invented.v9")


def of_no_sense(saying: Saying) -> Saying:
    return dataclasses.replace(saying, body=b'{"program": "parked", "activity": ["what is', at=saying.at)


@pytest.mark.parametrize("poisoned", [of_no_type, of_no_sense])
async def test_request_that_nobody_can_read_waits_until_it_is_discarded(
    town: Town, door: Door, poisoned: Callable[[Saying], Saying]
) -> None:
    name = poisoned.__name__.replace("_", "-")
    member, round_ = f"m-{name}", f"{name}-"
    await door.enrol(PROGRAM, member)
    poison = purchase(f"{round_}poison", member, AMOUNT)
    before = await _worth_of_others(town)

    town.kill("points")
    async with OtherGateway.open(town.urls, held_up=False) as newer:
        await newer.report(PROGRAM, *_of_others(round_))
        await newer.report(PROGRAM, poison, said=partial(_said_of, poison["id"], poisoned))
    behind = [purchase(f"{round_}behind-{number}", member, AMOUNT) for number in range(2)]
    for each in behind:
        await door.report(PROGRAM, each, 202, prefer="respond-async")
    await town.until(lambda: _all_published(town, "gateway"), "everything to be published")
    town.start("points")

    # Everybody else's five hundred are applied, the poison's key stands still.
    await town.until(lambda: _is_delayed(door, poison), "the poison to be shown as delayed")
    await _others_have(town, before + len(OTHERS) * EACH * points_of(AMOUNT))
    assert await door.call("GET", _path(poison)) == {"id": poison["id"], "state": "pending", "delayed": True}
    for each in behind:
        await town.until(partial(_is_delayed, door, each), "what waits behind it to be shown as delayed")
    assert await door.available(PROGRAM, member) == 0
    assert await town.metric("points", "laurel_messages_total", outcome="parked") == 1
    await town.ready("points")

    async with _operator(town, "points") as unit:
        (parked,) = await town.until(lambda: _parked(unit, behind=2), "two to wait behind it")
        assert (parked.program, parked.member) == (PROGRAM, member)
        assert parked.reason == ("unknown_type" if poisoned is of_no_type else "undecodable")
        place = (parked.program, parked.member, parked.source, parked.sequence)
        async with unit.database.transaction() as connection:
            shown = await parking.show(connection, place)
        assert shown.headers["ce_subject"] == member
        assert (poison["id"].encode() in shown.body) is (poisoned is of_no_type)

        # Tried again it is no better, and nothing else of it changes.
        async with unit.begin() as work:
            await parking.retry(work, place, actor="tester", note="once more")
        await town.until(lambda: _is_parked_again(unit), "the retry to be over")
        assert (await _parked(unit))[0].reason == parked.reason
        said_dead = "select count(*) from points.outbox where stream = 'dead' and member = $1"
        assert await town.value(said_dead, member) == 4, "three are parked, and one is tried again"

        # Whoever asks again waits, and is told when it is given up.
        asking = asyncio.create_task(door.ask("POST", f"programs/{PROGRAM}/activities", poison))
        late = await door.ask("POST", f"programs/{PROGRAM}/activities", poison, prefer="wait=1")
        assert (late.status_code, late.headers["location"]) == (202, f"/v1/{_path(poison)}")
        async with unit.begin() as work:
            await parking.discard(work, place, actor="tester", note="cannot be read by anyone")
        refused = await asyncio.wait_for(asking, ANSWER_SECONDS / 2)
        assert (refused.status_code, refused.json()["code"]) == (409, "discarded")
    assert (await door.call("GET", _path(poison)))["code"] == "discarded"
    for each in behind:
        await town.until(partial(_is_posted, door, each), "what waited behind to be posted")
    assert await door.available(PROGRAM, member) == 2 * points_of(AMOUNT)
    audit = "select action, actor, note from points.parked_audit where member = $1 order by id"
    assert await town.rows(audit, member) == [
        ("retry", "tester", "once more"),
        ("discard", "tester", "cannot be read by anyone"),
    ]
    await town.until(partial(_is_audited, door, shown.headers["ce_id"]), "the audit to tell what was done")
    await town.prove()


@pytest.mark.parametrize(
    ("part", "table", "rule"),
    [
        ("points", "points.journals", "cause <> 'refused-by-points'"),
        ("gateway-worker", "gateway.requests", "id <> 'refused-by-gateway-worker' or outcome is null"),
    ],
    ids=["points", "gateway"],
)
async def test_value_that_only_the_database_refuses_waits_until_it_is_retried(
    town: Town, door: Door, part: str, table: str, rule: str
) -> None:
    service = part.partition("-")[0]
    member = f"m-by-{part}"
    await door.enrol(PROGRAM, member)
    poison = purchase(f"refused-by-{part}", member, AMOUNT)
    behind = purchase(f"behind-{part}", member, AMOUNT)
    before = await _worth_of_others(town)

    async with _operator(town, service) as unit:
        async with _refusing(town, table, rule):
            # What comes back of five hundred is a batch, too, when the gateway's worker was away.
            town.kill(part)
            async with OtherGateway.open(town.urls, held_up=False) as newer:
                await newer.report(PROGRAM, poison, *_of_others(f"{part}-"))
                await newer.report(PROGRAM, behind)
            await town.until(lambda: _all_published(town, "gateway"), "everything to be published")
            if service == "gateway":
                await town.until(lambda: _all_answered(town, f"{part}-%"), "points to have answered everything")
            town.start(part)

            (parked,) = await town.until(lambda: _parked(unit, behind=1), "the message to be parked, and one behind it")
            assert (parked.member, parked.reason) == (member, "refused_by_database")
            # The row's values are nobody's business in an event; the constraint's name is.
            assert parked.detail == "SQLSTATE 23514 refusing"
            await _others_have(town, before + len(OTHERS) * EACH * points_of(AMOUNT))
            assert await town.metric(part, "laurel_batch_reruns_total", why="data") >= 1
            for each in (poison, behind):
                await town.until(partial(_is_delayed, door, each), "the poison, and what is behind it, to be delayed")
                assert (await door.call("GET", _path(each)))["state"] == "pending"
        async with unit.begin() as work:
            await parking.retry(work, _place_of(parked), actor="tester", note="the constraint is gone")
    for each in (poison, behind):
        await town.until(partial(_is_posted, door, each), "the key to go on")
    assert await door.available(PROGRAM, member) == 2 * points_of(AMOUNT)
    await town.prove()


async def test_redemption_that_the_database_refuses_ends_when_it_is_discarded(town: Town, door: Door) -> None:
    await door.enrol(PROGRAM, "m-saga", "m-other-saga")
    for member in ("m-saga", "m-other-saga"):
        await door.report(PROGRAM, purchase(f"for-{member}", member, 20_000))
    await door.call("PUT", f"programs/{PROGRAM}/rewards/off", voucher(100, stock=5), 201)
    async with _operator(town, "redemption") as unit, _refusing(town, "redemption.sagas", "redemption <> 'r-poison'"):
        asking = asyncio.create_task(door.redeem(PROGRAM, "poison", "m-saga", "off", 409, id="r-poison"))
        (parked,) = await town.until(lambda: _parked(unit), "the redemption to be parked")
        assert (parked.type, parked.member) == ("redemption.requested.v1", "m-saga")
        shown = await town.until(lambda: _redemption(door, delayed=True), "the redemption to be shown as delayed")
        assert (shown["redemption"], shown["state"], shown["reward"]) == ("r-poison", "requested", "off")
        assert (await door.redeem(PROGRAM, "other", "m-other-saga", "off"))["state"] == "fulfilled"
        async with unit.begin() as work:
            await parking.discard(work, _place_of(parked), actor="tester", note="no such thing")
        refused = await asyncio.wait_for(asking, ANSWER_SECONDS / 2)
    assert (refused["code"], refused["redemption"]) == ("discarded", "r-poison")
    shown = await _redemption(door)
    assert (shown["redemption"], shown["state"], shown["code"]) == ("r-poison", "refused", "discarded")
    assert (await door.redeem(PROGRAM, "again", "m-saga", "off"))["state"] == "fulfilled"
    assert await town.value("select reserved + taken from redemption.stock where program = $1", PROGRAM) == 2
    await town.prove()


async def test_bytes_that_are_no_event_park_alone(town: Town, door: Door) -> None:
    topic = f"{town.kafka.kafka_prefix}.gateway.v1"
    await door.enrol(PROGRAM, "m-bytes")
    async with Wire(town.kafka).open() as wire:
        junk = [
            Record(topic, 0, b"parked:m-bytes", b"\xff\xfe", ()),
            Record(topic, 0, b"\x00", b"{}", (("ce_type", b"\xff"),)),
        ]
        await wire.deliver(junk)
        await door.report(PROGRAM, purchase("after-bytes", "m-bytes", AMOUNT))
        await town.until(wire.all_consumed, "the bytes to be read")
    for service in ("points", "redemption"):
        async with _operator(town, service) as unit:
            found = await town.until(partial(_parked, unit), "the bytes to be parked")
            assert [each.reason for each in found] == ["undecodable"] * 2
            for each in found:
                async with unit.begin() as work:
                    await parking.discard(work, _place_of(each), actor="tester", note="noise")
    await town.prove()


# What is asked of others. ----------------------------------------------------------------------------------------


async def _is_audited(door: Door, message: str) -> bool:
    """Whoever asks who did what is told of this, too."""
    told = (await door.call("GET", f"audit?program={PROGRAM}&limit=500"))["data"]
    found = [(each["action"], each["key"]) for each in reversed(told) if each["request"] == message]
    return found == [("message.retried", "dead:tester"), ("message.discarded", "dead:tester")]


def _of_others(round_: str) -> list[dict[str, Any]]:
    return [purchase(f"{round_}{member}-{number}", member, AMOUNT) for number in range(EACH) for member in OTHERS]


def _said_of(id_: str, change: Callable[[Saying], Saying], saying: Saying) -> Saying:
    return change(saying) if id_.encode() in saying.body else saying


async def _worth_of_others(town: Town) -> int:
    """Return what the projection shows that the others have together."""
    rows = await town.rows(
        "select balances from gateway.members where program = $1 and member = any($2::text[])", PROGRAM, OTHERS
    )
    decoded = [msgspec.json.decode(balances) for (balances,) in rows if balances is not None]
    return sum(each["available"] for balances in decoded for each in balances)


async def _others_have(town: Town, worth: int) -> None:
    async def have() -> bool:
        return await _worth_of_others(town) == worth

    await town.until(have, f"the others to have {worth} points, though one waits")


# What is asked of the database and the door. ---------------------------------------------------------------------


async def _all_published(town: Town, service: str) -> bool:
    return await _counts(town, 0, f"select count(*) from {service}.outbox_open")


async def _counts(town: Town, wanted: int, query: str, *arguments: Any) -> bool:
    return bool(await town.value(query, *arguments) == wanted)


async def _all_answered(town: Town, ids: str) -> bool:
    applied = "select count(*) from points.activities where program = $1 and activity like $2"
    return await _counts(town, len(OTHERS) * EACH, applied, PROGRAM, ids) and await _all_published(town, "points")


@asynccontextmanager
async def _refusing(town: Town, table: str, rule: str) -> AsyncIterator[None]:
    """Let the database refuse what breaks a rule, such as an operator may have added by mistake."""
    connection = await asyncpg.connect(town.urls.owner)
    try:
        await connection.execute(f"alter table {table} add constraint refusing check ({rule}) not valid")
        yield
        await connection.execute(f"alter table {table} drop constraint refusing")
    finally:
        await connection.close()


@asynccontextmanager
async def _operator(town: Town, service: str) -> AsyncIterator[UnitOfWork]:
    """What `laurel dead` has at hand: the database with the service's role, and no relay."""
    database = await Database.connect(town.urls.of(service), schema=service, application="laurel dead")
    try:
        yield UnitOfWork(database, await Outbox.load(service, database))
    finally:
        await database.close()


async def _parked(unit: UnitOfWork, behind: int = 0) -> list[parking.Parked]:
    """What is parked and has so many waiting behind it."""
    async with unit.database.transaction() as connection:
        return [each for each in await parking.parked_messages(connection) if each.behind >= behind]


async def _is_parked_again(unit: UnitOfWork) -> bool:
    return [each.reason for each in await _parked(unit)] != ["retry"]


def _place_of(parked: parking.Parked) -> tuple[str, str, str, int]:
    return (parked.program, parked.member, parked.source, parked.sequence)


def _path(activity: dict[str, Any]) -> str:
    return f"programs/{PROGRAM}/activities/{activity['id']}"


async def _redemption(door: Door, **wanted: Any) -> Any:
    """How the poisoned redemption is shown, once it is shown so."""
    shown = await door.call("GET", f"programs/{PROGRAM}/redemptions/r-poison")
    return shown if wanted.items() <= shown.items() else None


async def _is_delayed(door: Door, activity: dict[str, Any]) -> bool:
    return bool((await door.call("GET", _path(activity))).get("delayed"))


async def _is_posted(door: Door, activity: dict[str, Any]) -> bool:
    return bool((await door.call("GET", _path(activity)))["state"] == "posted")
