"""More than there is room for, over real sockets: who comes too often, no connection left, slow clients, a stop."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from services.gateway.settings import GatewaySettings
from services.gateway.waiting import HURRY_SECONDS
from tests.gateway.keys import bearer, key
from tests.gateway.stage import PROGRAM, Instance, Others, gateway, purchase, served, until

pytestmark = pytest.mark.anyio

BASE = f"/v1/programs/{PROGRAM}"
ACTIVITIES = f"{BASE}/activities"
CONNECTIONS = 2


@asynccontextmanager
async def poor_gateway(
    settings: GatewaySettings, here: Instance, **changes: float
) -> AsyncIterator[tuple[Instance, int, httpx.AsyncClient]]:
    """A gateway with two connections to its database, its port, and somebody who calls there."""
    told = settings.model_copy(update={"database_pool_max": CONNECTIONS, **changes})
    async with (
        gateway(told, "api") as there,
        served(there, told) as port,
        client(port, here.http.headers["authorization"]) as http,
    ):
        yield there, port, http


@asynccontextmanager
async def client(port: int, authorization: str) -> AsyncIterator[httpx.AsyncClient]:
    address = f"http://127.0.0.1:{port}"
    headers = {"authorization": authorization}
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=30, verify=False) as http:
        yield http


async def test_who_comes_too_often_is_told_when_to_come_again_and_others_do_not_notice(
    settings: GatewaySettings, here: Instance, member: str
) -> None:
    limited, free = await key(here.http, limits={"rate": 5}), await key(here.http)
    async with (
        served(here, settings) as port,
        client(port, bearer(limited)["authorization"]) as pushy,
        client(port, bearer(free)["authorization"]) as calm,
    ):
        path = f"{BASE}/members/{member}"
        both = await asyncio.gather(*(each.get(path) for _ in range(150) for each in (pushy, calm)))
        pushed, calmed = both[::2], both[1::2]
        stopped = [each for each in pushed if each.status_code == 429]
        assert len(stopped) > 50
        assert {each.status_code for each in calmed} == {200}
        for each in stopped:
            assert each.json()["code"] == "rate_limited"
            assert each.headers["ratelimit-policy"] == '"key";q=25;w=5'
            assert each.headers["ratelimit"].startswith('"key";r=0;t=')
            assert int(each.headers["retry-after"]) >= 1
        # Whoever keeps to what it was told is let in again.
        await asyncio.sleep(max(int(each.headers["retry-after"]) for each in stopped))
        assert (await pushy.get(path)).status_code == 200


async def test_without_a_connection_to_the_database_it_answers_503_and_goes_on_when_there_is_one(
    settings: GatewaySettings, here: Instance, member: str, projecting: Instance
) -> None:
    settings = settings.model_copy(update={"database_wait_seconds": 1.0})
    async with poor_gateway(settings, here) as (there, _, http):
        assert there.api is not None
        async with AsyncExitStack() as taken:
            for _ in range(CONNECTIONS):
                await taken.enter_async_context(there.api.database.connection())
            asked = [http.get(f"{BASE}/members/{member}") for _ in range(5)]
            asked += [http.post(ACTIVITIES, json=purchase(f"t-{number}")) for number in range(5)]
            began = time.monotonic()
            refused = await asyncio.gather(*asked)
            # A request has a minute, but nothing moves. Who comes to write while others wait may wait twice.
            assert time.monotonic() - began < 3 * settings.database_wait_seconds
            assert {(each.status_code, each.json()["code"]) for each in refused} == {(503, "unavailable")}
            assert all("busy" in each.json()["detail"] for each in refused)
            assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
            assert (await http.get("/health/live")).status_code == 200
        assert (await http.get(f"{BASE}/members/{member}")).status_code == 200
        # Whoever asks again has what it asked for, once, whether the first request was still written or not.
        again = await asyncio.gather(*(http.post(ACTIVITIES, json=purchase(f"t-{number}")) for number in range(5)))
        assert {each.status_code for each in again} <= {200, 201}
        shown = (await http.get(f"{BASE}/members/{member}")).json()
        assert shown["balances"][0]["available"] == 25


async def test_slow_clients_hold_no_connection_to_the_database(
    settings: GatewaySettings, here: Instance, member: str, projecting: Instance
) -> None:
    """Ten who send a body byte by byte: others are served meanwhile, and what breaks off is nothing."""
    body = json.dumps(purchase("slow")).encode()
    head = (
        f"POST {ACTIVITIES} HTTP/1.1\r\nHost: x\r\nAuthorization: {here.http.headers['authorization']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()

    async def drip(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(head)
            # Its head and no more: what is sent after it breaks the connection.
            answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
            for byte in body[:-1]:
                if answer.done():
                    break
                writer.write(bytes([byte]))
                await asyncio.sleep(0.05)
            return await answer
        finally:
            writer.close()

    async with poor_gateway(settings, here, http_body_seconds=1.5) as (_, port, http):
        dripping = [asyncio.create_task(drip(port)) for _ in range(10)]
        await asyncio.sleep(0.3)
        for number in range(10):
            answer = await http.post(ACTIVITIES, json=purchase(f"t-{number}"))
            assert answer.status_code == 201, answer.text
        assert {answer.partition(b" ")[2][:3] for answer in await asyncio.gather(*dripping)} == {b"408"}
        assert (await http.get(f"{ACTIVITIES}/slow")).status_code == 404


async def test_whoever_waits_while_an_instance_stops_is_told_where_it_will_be_seen(
    here: Instance, member: str, projecting: Instance, others: Others
) -> None:
    assert here.api is not None
    others.silent = True
    patient = {"prefer": "wait=25"}
    waiting = [
        asyncio.create_task(here.http.post(ACTIVITIES, json=purchase(f"t-{number}"), headers=patient))
        for number in range(3)
    ]
    await until(lambda: len(others.heard) == 4)
    began = time.monotonic()
    here.api.waiting.hurry()
    answers = await asyncio.gather(*waiting)
    assert HURRY_SECONDS - 0.1 <= time.monotonic() - began < HURRY_SECONDS + 10
    for number, each in enumerate(answers):
        assert (each.status_code, each.headers["location"]) == (202, f"{ACTIVITIES}/t-{number}")
    # Who comes yet is recorded like anybody, and need not wait either.
    late = time.monotonic()
    answer = await here.http.post(ACTIVITIES, json=purchase("t-late"), headers=patient)
    assert (answer.status_code, time.monotonic() - late < 10) == (202, True)
    await others.resume()

    async def posted() -> bool:
        shown = [(await read(here, name)).get("state") for name in ("t-0", "t-1", "t-2", "t-late")]
        return shown == ["posted"] * 4

    await until(posted)


async def read(here: Instance, name: str) -> dict[str, object]:
    found: dict[str, object] = (await here.http.get(f"{ACTIVITIES}/{name}")).json()
    return found
