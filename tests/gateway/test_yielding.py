"""While somebody waits at a till, on whichever instance, files move fewer lines at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from laurel.io.database import Database
from services.gateway.settings import GatewaySettings
from services.gateway.store import callers
from services.gateway.yielding import Presence
from tests.gateway.files import BATCHES, NDJSON, finished, ndjson
from tests.gateway.stage import PROGRAM, Instance, Others, gateway, purchase, until

pytestmark = pytest.mark.anyio

ACTIVITIES = f"/v1/programs/{PROGRAM}/activities"


@dataclass
class Files:
    """What a gateway's worker is told of files here."""

    alone: int = 60
    beside_callers: int = 7

    def of(self, settings: GatewaySettings, **changes: Any) -> GatewaySettings:
        told = {"batch_in_flight_max": self.alone, "batch_in_flight_beside_callers": self.beside_callers, **changes}
        return settings.model_copy(update=told)


async def _in_flight(database: Database) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval("select coalesce(sum(asked), 0) from batches"))


async def test_a_file_alone_takes_its_whole_share(
    settings: GatewaySettings, http: httpx.AsyncClient, member: str, others: Others, database: Database
) -> None:
    others.silent = True
    async with gateway(Files().of(settings), "worker"):
        await http.post(BATCHES, content=ndjson(purchase(f"f-{n}") for n in range(200)), headers=NDJSON)
        await until(lambda: _is(database, 60))
        await asyncio.sleep(0.3)
        assert await _in_flight(database) == 60


async def test_a_file_yields_while_a_caller_waits_and_goes_on_when_none_does(
    settings: GatewaySettings, http: httpx.AsyncClient, member: str, others: Others, database: Database
) -> None:
    others.silent = True
    async with gateway(Files().of(settings, batch_yields_seconds=2.0), "worker"):
        waiting = asyncio.create_task(http.post(ACTIVITIES, json=purchase("till-1"), headers={"prefer": "wait=20"}))
        await until(lambda: _somebody_is_there(database))
        answer = await http.post(BATCHES, content=ndjson(purchase(f"f-{n}") for n in range(200)), headers=NDJSON)
        location = answer.headers["location"]
        await until(lambda: _is(database, 7))
        await until(lambda: _is(database, 60))
        await others.resume()
        assert (await waiting).status_code == 201
        assert (await finished(http, location))["posted"] == 200


async def test_who_does_not_wait_is_not_yielded_to(
    http: httpx.AsyncClient, member: str, others: Others, database: Database
) -> None:
    """Neither an enrolment nor a caller who comes back later counts as a till."""
    answer = await http.post(ACTIVITIES, json=purchase("later"), headers={"prefer": "respond-async"})
    assert answer.status_code == 202
    await asyncio.sleep(0.2)
    assert not await _somebody_is_there(database)


async def test_callers_are_told_of_once_in_a_while_not_one_by_one(database: Database) -> None:
    presence = Presence(database, say_seconds=30)
    saying = asyncio.create_task(presence.run())
    presence.note()
    await until(lambda: _somebody_is_there(database))
    async with database.connection() as connection:
        first = await connection.fetchval("select seen_at from callers")
    for _ in range(100):
        presence.note()
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    async with database.connection() as connection:
        assert await connection.fetchval("select seen_at from callers") == first
    saying.cancel()
    await asyncio.wait({saying})


async def _is(database: Database, in_flight: int) -> bool:
    return await _in_flight(database) == in_flight


async def _somebody_is_there(database: Database) -> bool:
    async with database.connection() as connection:
        return await callers.present(connection, 10)


async def test_a_file_is_read_in_smaller_parts_beside_callers(
    http: httpx.AsyncClient, here: Instance, member: str, database: Database
) -> None:
    lines = ndjson(purchase(f"f-{n}") for n in range(1_000))
    alone = (await http.post(BATCHES, content=lines, headers=NDJSON)).headers["location"]
    assert here.api is not None
    here.api.presence.note()
    beside = (await http.post(BATCHES, content=lines, headers=NDJSON)).headers["location"]
    # A part is stored after a second at the latest, however few lines it holds.
    assert await _parts(database, alone) <= 4
    assert await _parts(database, beside) >= 10


async def _parts(database: Database, location: str) -> int:
    """In how many transactions the lines of a file were stored."""
    batch = location.rpartition("/")[2]
    async with database.connection() as connection:
        return int(
            await connection.fetchval("select count(distinct xmin::text) from batch_lines where batch = $1", batch)
        )
