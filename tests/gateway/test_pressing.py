"""While what was accepted cannot be told to the topics, more is not accepted; whoever is turned away may come back."""

from __future__ import annotations

import uuid

import httpx
import pytest

from laurel.io.database import Database
from services.gateway.settings import GatewaySettings
from tests.gateway.stage import PROGRAM, gateway, until

pytestmark = pytest.mark.anyio

MEMBERS = f"/v1/programs/{PROGRAM}/members"
ASYNC = {"prefer": "respond-async"}


async def test_nothing_more_is_accepted_until_the_outbox_has_caught_up(
    settings: GatewaySettings, http: httpx.AsyncClient, database: Database, member: str
) -> None:
    async with gateway(settings.model_copy(update={"outbox_behind_max": 3}), "api") as there:

        async def status(name: str) -> int:
            return (await there.http.post(MEMBERS, json={"member": name}, headers=ASYNC)).status_code

        works = [uuid.uuid4() for _ in range(3)]
        async with database.transaction() as connection:
            # Too young to be swept, for ever: a relay would find that they have no events, and close them.
            await connection.executemany(
                "insert into outbox_open (work, events, created_at) values ($1, 1, now() + interval '1 hour')",
                [(work,) for work in works],
            )

        async def is_full() -> bool:
            return await status("m-late") == 503

        await until(is_full)
        refused = await there.http.post(MEMBERS, json={"member": "m-later"}, headers=ASYNC)
        assert (refused.json()["code"], refused.headers["retry-after"]) == ("overloaded", "5")
        # What is only read is answered.
        assert (await there.http.get(f"{MEMBERS}/m-1")).status_code == 200
        async with database.transaction() as connection:
            await connection.execute("delete from outbox_open where work = any($1::uuid[])", works)

        async def is_open() -> bool:
            return await status("m-later") in {201, 202}

        await until(is_open)
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from members where member = 'm-later'") == 1
