"""The database dies under requests: whoever asked is told to ask again, and that is all that has happened."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from laurel.embedded.ports import free_port
from laurel.embedded.postgres import EmbeddedPostgres
from laurel.io.database import Database
from laurel.io.health import Health
from laurel.io.http import service_app
from tests.databases import kill_all_of
from tests.io.door import Settings

pytestmark = [pytest.mark.anyio, pytest.mark.crash]


async def test_requests_without_a_database_are_told_to_ask_again(reachable_dir: Path) -> None:
    server = EmbeddedPostgres(reachable_dir / "dying", port=free_port(), settings={"fsync": "off"})
    try:
        server.start()
        database = await Database.connect(server.url("admin", "postgres"), schema="public", application="test")
        app = service_app("test", Settings(), None, Health())
        inside, reading = asyncio.Event(), asyncio.Event()

        @app.get("/now")
        async def now() -> int:
            async with database.transaction() as connection:
                return int(await connection.fetchval("select 7"))

        @app.get("/long")
        async def long() -> int:
            async with database.transaction() as connection:
                inside.set()
                return int(await connection.fetchval("select 7 from pg_sleep(60)"))

        @app.get("/read")
        async def read() -> int:
            async with database.reading() as connection:
                reading.set()
                return int(await connection.fetchval("select 7 from pg_sleep(60)"))

        @app.get("/misused")
        async def misused() -> None:
            async with database.transaction() as connection:
                await connection.execute("no such statement")

        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            assert (await client.get("/now")).json() == 7
            assert (await client.get("/misused")).status_code == 500
            waiting = [asyncio.create_task(client.get(path)) for path in ("/long", "/read")]
            await inside.wait()
            await reading.wait()
            kill_all_of(server)
            answers = await asyncio.gather(*waiting, *(client.get("/now") for _ in range(3)))
            for answer in answers:
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
                assert answer.headers["retry-after"] == "1"
            server.start()
            assert (await client.get("/now")).json() == 7
        await database.close()
    finally:
        server.destroy()
