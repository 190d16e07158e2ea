"""Whoever listens hears everything, each member in order, though the processes that tell are killed all the time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.nursery import Nursery
from tests.flow.stage import Doors, Town, gather_bounded, grocery, purchase, voucher
from tests.gateway.listening import listening
from tests.gateway.receiving import Receiver

pytestmark = [pytest.mark.anyio, pytest.mark.crash, pytest.mark.kafka]

PROGRAM = "heard"
MEMBERS = [f"m-{number}" for number in range(8)]
BASKETS = 160
PARTS = {"gateway": "both", "gateway-2": "both", "points": "both", "redemption": "both"}


@pytest.fixture(scope="module")
async def town(
    town_urls: DatabaseUrls, town_kafka: KafkaSettings, forks: Nursery | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    settings = {
        "outside_private_addresses": True,
        "outside_plain_http": True,
        "webhook_lease_seconds": 1.0,
        "webhook_retry_seconds": 0.1,
        "webhook_retry_seconds_max": 0.5,
    }
    place = tmp_path_factory.mktemp("town")
    async with Town(place, town_urls, town_kafka, PARTS, forks, **settings).open() as town:
        yield town


async def test_gateways_are_killed_and_listeners_miss_nothing(town: Town) -> None:
    first = town.door()
    await first.publish(grocery(PROGRAM))
    await first.call("PUT", f"programs/{PROGRAM}/rewards/off", voucher(1), 201)
    await first.enrol(PROGRAM, *MEMBERS)
    chance = random.Random(7)
    async with Receiver().open() as receiver:
        receiver.answer = lambda _: 503 if chance.random() < 0.1 else 204
        receiver.after_seconds = 0.01
        body = {"url": receiver.url, "types": ["*"], "programs": [PROGRAM]}
        webhook = await first.call("POST", "webhooks", body, 201)
        receiver.secrets = [webhook["secret"]]
        begins = int(await town.value("select position from gateway.event_head"))
        ended = asyncio.Event()
        listener = asyncio.create_task(_listen(town, begins, ended))
        await _buy_while_gateways_die(town)
        for number, member in enumerate(MEMBERS):
            await first.redeem(PROGRAM, f"r-{number}", member, "off")
        await town.prove()
        ended.set()
        heard = await asyncio.wait_for(listener, 60)
        kept = await town.rows(
            "select position::text, convert_from(event, 'UTF8')::json ->> 'id', member from gateway.events e "
            "where program = $1 and position > $2 order by e.position",
            PROGRAM,
            begins,
        )
        assert len(kept) > BASKETS + 3 * len(MEMBERS)
        assert heard == kept
        names = {(f"{webhook['id']}-{position}", event) for position, event, _ in kept}
        await town.until(lambda: {each.id for each in receiver.told} >= {name for name, _ in names}, "all deliveries")
        # An event that is told twice is told under the same name.
        told = {(each.id, each.event["id"]) for each in receiver.told}
        assert told - names == await _told_before(town, webhook["id"], begins)
        for member in MEMBERS:
            own = list(dict.fromkeys(each.id for each in receiver.told if each.member == member))
            due = [f"{webhook['id']}-{position}" for position, _, whose in kept if whose == member]
            assert own[-len(due) :] == due
        await town.until(partial(_all_written, town, webhook["id"], len(told)), "every delivery to be written")
    await town.prove()


async def _buy_while_gateways_die(town: Town) -> None:
    doors = Doors(town.door(), town.door("gateway-2"))

    async def buy(number: int) -> None:
        basket = purchase(f"b-{number}", MEMBERS[number % len(MEMBERS)], 5_000)
        answer = await doors.insist(number, "POST", f"programs/{PROGRAM}/activities", basket)
        assert answer.status_code in {200, 201}, answer.text

    async def kill() -> None:
        for turn in range(4):
            await asyncio.sleep(1.0)
            name = ("gateway", "gateway-2")[turn % 2]
            town.kill(name)
            await asyncio.sleep(0.3)
            town.start(name)
            await town.ready(name)

    killing = asyncio.create_task(kill())
    await gather_bounded([partial(buy, number) for number in range(BASKETS)], 4)
    await killing


async def _listen(town: Town, begins: int, ended: asyncio.Event) -> list[tuple[str, str, str]]:
    """Listen at either gateway, and come back at the other whenever a stream ends, until everything is heard."""
    heard: list[tuple[str, str, str]] = []
    last, turn = str(begins), 0
    key = town.door().http.headers["authorization"]
    while not (ended.is_set() and last == str(await town.value("select position from gateway.event_head"))):
        port = int(town.address(("gateway", "gateway-2")[turn % 2]).rpartition(":")[2])
        turn += 1
        try:
            async with listening(port, key, last, program=PROGRAM) as listener:
                while (told := await listener.next(1.0)) is not None:
                    heard.append((told.id, told.event["id"], told.event["subject"]))
                    last = told.id
        except (httpx.TransportError, TimeoutError):
            await asyncio.sleep(0.05)
    return heard


async def _told_before(town: Town, webhook: str, begins: int) -> set[tuple[str, str]]:
    """Return what had happened before the listener began, and after the webhook was made."""
    rows = await town.rows(
        "select d.position, convert_from(event, 'UTF8')::json ->> 'id' from gateway.deliveries d "
        "join gateway.events e using (position) where d.webhook = $1 and d.position <= $2",
        webhook,
        begins,
    )
    return {(f"{webhook}-{position}", event) for position, event in rows}


async def _all_written(town: Town, webhook: str, count: int) -> bool:
    query = "select count(*) from gateway.deliveries where webhook = $1 and state = 'delivered'"
    return bool(await town.value(query, webhook) == count)
