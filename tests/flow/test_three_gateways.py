"""Three gateways behind a balancer: what one answers all show, and one that dies or stops takes nothing with it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import httpx
import pytest

from tests.flow.stage import Door, Town, gather_bounded, grocery, purchase

pytestmark = pytest.mark.anyio

PROGRAM = "grocery"
GATEWAYS = ("gateway", "gateway-2", "gateway-3")
MEMBERS = [f"m-{number}" for number in range(40)]
SHOWN = 300
ASKED = 300
UNDER_LOAD = 1_000
FILE_LINES = 6_000
_AGAIN = {202, 429, 502, 503}


@pytest.fixture(scope="module")
def town_parts() -> dict[str, str]:
    return {**dict.fromkeys(GATEWAYS, "both"), "points": "both", "redemption": "both"}


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    await town.door().publish(grocery(PROGRAM))
    await town.door().enrol(PROGRAM, *MEMBERS)
    return town


@asynccontextmanager
async def balanced(town: Town) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a balancer that gives each connection to the next gateway that takes it."""
    ports = [int(town.address(name).rpartition(":")[2]) for name in GATEWAYS]
    turns = itertools.count()
    open_: set[asyncio.Task[Any]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65_536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_.add(task)
        first = next(turns)
        for turn in range(len(ports)):
            with suppress(OSError):
                there = await asyncio.open_connection("127.0.0.1", ports[(first + turn) % len(ports)])
                await asyncio.gather(pipe(reader, there[1]), pipe(there[0], writer))
                break
        writer.close()
        open_.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    headers = {"authorization": town.door().http.headers["authorization"], "prefer": "wait=10"}
    limits = httpx.Limits(max_keepalive_connections=0)
    async with server, httpx.AsyncClient(base_url=address, headers=headers, timeout=30, limits=limits) as http:
        yield http
        for task in list(open_):
            task.cancel()


async def insist(http: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Response:
    """Ask as a till does: again, under the same id, until there is a last word."""
    async with asyncio.timeout(120):
        while True:
            with suppress(httpx.TransportError):
                answer = await http.post(f"/v1/programs/{PROGRAM}/activities", json=body)
                if answer.status_code not in _AGAIN:
                    return answer
            await asyncio.sleep(0.05)


async def report_and_read(town: Town, prefix: str, count: int) -> None:
    """Report to whichever gateway takes it, and read at once from another: what was answered is what is shown."""
    doors = [town.door(name) for name in GATEWAYS]
    async with balanced(town) as http:

        async def one(number: int) -> None:
            body = purchase(f"{prefix}-{number}", MEMBERS[number % len(MEMBERS)], 100)
            answer = await insist(http, body)
            assert answer.status_code in {200, 201}, answer.text
            other: Door = doors[number % len(doors)]
            shown = await other.call("GET", f"programs/{PROGRAM}/activities/{prefix}-{number}")
            assert shown["state"] == "posted"
            assert shown == answer.json()

        await gather_bounded([partial(one, number) for number in range(count)], 16)


@asynccontextmanager
async def loaded(town: Town) -> AsyncIterator[list[int]]:
    """Let a partner's file, callers with other members and readers go on beside; counts what they were answered."""
    done, ended = [0], asyncio.Event()
    others = [f"o-{number}" for number in range(40)]
    await town.door().enrol(PROGRAM, *others)
    lines = [purchase(f"file-{number}", others[number % len(others)], 100) for number in range(FILE_LINES)]
    place = await town.door().send_batch(PROGRAM, lines)

    async def call(caller: int) -> None:
        door = town.door(GATEWAYS[caller % len(GATEWAYS)])
        for number in itertools.count():
            if ended.is_set():
                return
            member = others[(caller + number) % len(others)]
            await insist(door.http, purchase(f"beside-{caller}-{number}", member, 100))
            await door.call("GET", f"programs/{PROGRAM}/members/{member}")
            done[0] += 2

    calling = [asyncio.create_task(call(caller)) for caller in range(6)]
    try:
        yield done
        ended.set()
        await asyncio.gather(*calling)
    finally:
        for task in calling:
            task.cancel()

    async def is_done() -> bool:
        return bool((await town.door().call("GET", place))["state"] == "done")

    await town.until(is_done, "the file to be done")


async def test_what_one_gateway_answers_the_others_show(town: Town) -> None:
    await report_and_read(town, "s", SHOWN)
    route = "/v1/programs/{program}/activities"
    answered = [await town.metric(name, "laurel_http_seconds_count", route=route, method="POST") for name in GATEWAYS]
    assert all(answered), "each of them answered some"
    await town.prove()


@pytest.mark.slow
async def test_a_thousand_answers_are_shown_by_the_others_under_load(town: Town) -> None:
    """As above, ten times a hundred; each gateway has other callers, and a file is on its way."""
    async with loaded(town) as done:
        await report_and_read(town, "l", UNDER_LOAD)
    assert done[0] > UNDER_LOAD // 2, "there was a load beside it"
    await town.prove()


@pytest.mark.crash
async def test_one_that_dies_and_one_that_stops_lose_nothing_and_apply_nothing_twice(town: Town) -> None:
    before = {member: await town.door().available(PROGRAM, member) for member in MEMBERS}
    async with balanced(town) as http:
        answered = 0

        async def one(number: int) -> httpx.Response:
            nonlocal answered
            answer = await insist(http, purchase(f"k-{number}", MEMBERS[number % len(MEMBERS)], 100))
            answered += 1
            if answered == ASKED // 3:
                town.kill("gateway-2")
            if answered == 2 * ASKED // 3:
                town.ask_to_stop("gateway-3")
            return answer

        answers = await gather_bounded([partial(one, number) for number in range(ASKED)], 16)
    assert {answer.status_code for answer in answers} <= {200, 201}
    await town.until(lambda: town.exit_code("gateway-3") == 0, "the one that was asked to stop to end well")
    for name in ("gateway-2", "gateway-3"):
        town.start(name)
    await town.ready("gateway-2", "gateway-3")
    each = ASKED // len(MEMBERS), ASKED % len(MEMBERS)
    for number, member in enumerate(MEMBERS):
        gained = each[0] + (number < each[1])
        assert await town.door("gateway-2").available(PROGRAM, member) == before[member] + gained
    await town.prove()
