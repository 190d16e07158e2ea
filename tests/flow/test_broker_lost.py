"""The broker is lost with everything in it, while consumers sit at places in logs that are no more."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from laurel.io.message import id_of, source_of
from laurel.io.migrating import DatabaseUrls
from tests.conftest import BrokerHandle
from tests.flow.conftest import kafka_settings
from tests.flow.nursery import Nursery
from tests.flow.stage import Door, Doors, Town, gather_bounded, grocery, points_of, purchase, voucher
from tests.flow.wire import FIRST_EPOCH, SERVICES, Wire

pytestmark = [pytest.mark.anyio, pytest.mark.crash, pytest.mark.kafka]

PROGRAM = "forgotten"
PARTS = {"gateway": "both", "points": "both", "points-2": "worker", "redemption": "both"}
MEMBERS = [f"m-{number}" for number in range(24)]
LINES = 800
REQUESTS = 60
PRICE = 50
AMOUNT = 10_000


async def test_broker_forgets_everything_in_the_middle_of_a_file_and_again_at_rest(
    fresh_broker: BrokerHandle,
    database_urls: DatabaseUrls,
    forks: Nursery | None,
    session_timeout_ms: int,
    tmp_path: Path,
) -> None:
    kafka = kafka_settings(fresh_broker.bootstrap, session_timeout_ms)
    # A small share for files, so that the file is still in the middle when it is looked at.
    async with Town(tmp_path, database_urls, kafka, PARTS, forks, batch_in_flight_max=40).open() as town:
        door = town.door()
        await door.publish(grocery(PROGRAM))
        await door.call("PUT", f"programs/{PROGRAM}/rewards/off", voucher(PRICE), 201)
        await gather_bounded([partial(door.enrol, PROGRAM, member) for member in MEMBERS], 8)
        bought = dict.fromkeys(MEMBERS, 1)
        await gather_bounded([partial(door.report, PROGRAM, _basket(f"first-{m}", m)) for m in MEMBERS], 8)

        for number in range(LINES):
            bought[MEMBERS[number % len(MEMBERS)]] += 1
        batch = await door.send_batch(
            PROGRAM, [_basket(f"line-{number}", MEMBERS[number % len(MEMBERS)]) for number in range(LINES)]
        )
        callers = Doors(door)
        asking = asyncio.create_task(gather_bounded([partial(_ask, callers, number) for number in range(REQUESTS)], 6))
        for number in range(REQUESTS):
            bought[MEMBERS[number % len(MEMBERS)]] += 1
        await town.until(partial(_posted, door, batch, LINES // 4), "a part of the file to be posted")
        fresh_broker.restart_empty()
        shown = await door.call("GET", batch)
        assert shown["posted"] < LINES, "the file was done before the broker was lost"

        shown = await town.until(partial(_posted, door, batch, LINES), "the whole file to be posted")
        assert (shown["state"], shown["refused"], shown["duplicate"]) == ("done", 0, 0)
        assert set(await asking) <= {200, 201}
        await town.prove()
        # All may have arrived before each relay has noticed that it speaks to another broker: they look once a second.
        await town.until(partial(_all_republished, town), "everything to be published again")

        # Now everybody is at the end of logs that will be gone, and the next events are the first of new ones.
        fresh_broker.restart_empty()
        for member in MEMBERS[:4]:
            answer = await callers.insist(
                0, "POST", f"programs/{PROGRAM}/activities", _basket(f"last-{member}", member)
            )
            assert answer.status_code in {200, 201}, answer.text
            bought[member] += 1
        # And what is asked while there is no broker is answered when there is one.
        fresh_broker.stop()
        for member in MEMBERS[:4]:
            await door.report(PROGRAM, _basket(f"dark-{member}", member), 202, prefer="respond-async")
            bought[member] += 1
        fresh_broker.start()
        for member in MEMBERS[:4]:
            await town.until(partial(_is_posted, door, f"dark-{member}"), "what was asked in the dark to be posted")
        await town.prove()
        await town.until(partial(_all_republished, town), "everything to be published again, a third time")

        redeemed = await town.rows(
            "select member, count(*) from redemption.sagas where state = 'fulfilled' group by member"
        )
        assert sum(count for _, count in redeemed) == REQUESTS // 3
        spent = {member: count * PRICE for member, count in redeemed}
        for member in MEMBERS:
            balance = await door.balance(PROGRAM, member)
            assert balance["lifetime"]["earned"] == bought[member] * points_of(AMOUNT)
            assert balance["lifetime"]["spent"] == spent.get(member, 0)
        known = await town.value("select count(*) from points.activities")
        assert known == sum(bought.values())


async def _ask(callers: Doors, number: int) -> int:
    """Every third caller redeems, all of them buy."""
    member = MEMBERS[number % len(MEMBERS)]
    answer = await callers.insist(0, "POST", f"programs/{PROGRAM}/activities", _basket(f"till-{number}", member))
    if number % 3 == 0:
        body = {"member": member, "reward": "off", "id": f"r-{number}"}
        path = f"programs/{PROGRAM}/redemptions"
        redeemed = await callers.insist(0, "POST", path, body, idempotency_key=f'"r-{number}"')
        assert redeemed.status_code in {200, 201}, redeemed.text
    return answer.status_code


async def _posted(door: Door, batch: str, least: int) -> Any:
    shown = await door.call("GET", batch)
    return shown if shown["posted"] >= least and (least < LINES or shown["state"] == "done") else None


async def _is_posted(door: Door, activity: str) -> bool:
    return bool((await door.call("GET", f"programs/{PROGRAM}/activities/{activity}"))["state"] == "posted")


class _Republished:
    """Whether the new logs hold everything from the first event on, which is how late readers find it."""

    def __init__(self, missing: set[str]) -> None:
        self._missing = missing

    def __bool__(self) -> bool:
        return not self._missing

    def __repr__(self) -> str:
        return f"{len(self._missing)} missing, such as {sorted(self._missing)[:20]}"


async def _all_republished(town: Town) -> _Republished:
    async with Wire(town.kafka).open() as wire:
        found = {record.id for record in await wire.everything()}
    said: set[str] = set()
    for service in SERVICES:
        rows = await town.rows(f"select stream, program, member, number from {service}.outbox")
        for stream, program, member, number in rows:
            id_ = id_of(stream, FIRST_EPOCH, program, member, number)
            said.add(f"{source_of(service, stream, FIRST_EPOCH)} {id_}")
    return _Republished(said - found)


def _basket(id_: str, member: str) -> dict[str, Any]:
    return purchase(id_, member, AMOUNT)
