"""The examples do what they say, against a running Laurel."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from laurel.embedded.ports import free_port
from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from laurel.io.topics import main_topic
from tests.flow.nursery import Nursery
from tests.flow.stage import ONE_OF_EACH, Town, grocery, purchase

pytestmark = [pytest.mark.anyio]

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAM = "shown"
MEMBERS = [f"m-{number}" for number in range(12)]


@pytest.fixture(scope="module")
async def town(
    town_urls: DatabaseUrls, town_kafka: KafkaSettings, forks: Nursery | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    settings = {"outside_private_addresses": True, "outside_plain_http": True}
    place = tmp_path_factory.mktemp("town")
    async with Town(place, town_urls, town_kafka, ONE_OF_EACH, forks, **settings).open() as town:
        door = town.door()
        await door.publish(grocery(PROGRAM))
        await door.enrol(PROGRAM, *MEMBERS)
        yield town


@asynccontextmanager
async def running(town: Town, name: str, *arguments: object, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    key = town.door().http.headers["authorization"].removeprefix("Bearer ")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        str(EXAMPLES / f"{name}.py"),
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "LAUREL_KEY": key, "PYTHONUNBUFFERED": "1", **more},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def run(town: Town, name: str, *arguments: object, expect: int = 0) -> str:
    async with running(town, name, *arguments) as process:
        said, _ = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == expect, said.decode()
    return said.decode()


def kafka_of(town: Town) -> tuple[str, str]:
    return town.kafka.kafka_bootstrap, main_topic("points", town.kafka.kafka_prefix)


async def balances_of(town: Town) -> list[tuple[str, str, int]]:
    rows = await town.rows(
        "select program || ':' || member, unit, available from points.balances where program = $1", PROGRAM
    )
    return sorted((key, unit, available) for key, unit, available in rows)


def kept(database: Path) -> list[tuple[str, str, int]]:
    connection = sqlite3.connect(database)
    try:
        query = "select key, unit, available from balances where key like ? order by key, unit"
        return list(connection.execute(query, (f"{PROGRAM}:%",)))
    finally:
        connection.close()


async def buy(town: Town, first: int, last: int) -> None:
    door = town.door()
    for number in range(first, last):
        await door.report(PROGRAM, purchase(f"b-{number}", MEMBERS[number % len(MEMBERS)], 1_000 + number))


async def test_a_till_earns_and_pays(town: Town) -> None:
    said = await run(town, "till", town.address("gateway"), PROGRAM, "6340001")
    assert "earned 47, has 47" in said
    assert "paid with 10 points" in said
    again = await run(town, "till", town.address("gateway"), PROGRAM, "6340001")
    assert "earned 47, has 84" in again


class Unlucky(BaseHTTPRequestHandler):
    """A gateway on a bad evening: busy at first, another till was quicker, and it does not know yet what came of it."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        path = self.path.removeprefix("/v1/programs/evening")
        self.asked.append(path)
        first = self.asked.count(path) == 1
        answers: dict[str, tuple[int, dict[str, Any]]] = {
            "/members/find": (404, {"code": "member_unknown"}) if first else (200, {"member": "m-1"}),
            "/members": (409, {"code": "identifier_taken"}),
            "/activities": (503, {"code": "overloaded"}) if first else (202, {"id": "r", "state": "pending"}),
            "/holds": (202, {"hold": "h-1", "state": "pending"}),
            "/holds/h-1/release": (200, {"hold": "h-1", "state": "released"}),
        }
        status, body = answers[path]
        answer = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


async def test_a_till_on_a_bad_evening_asks_again_and_takes_nothing_that_is_not_sure(town: Town) -> None:
    """What is in this example stands in shops: 503 is asked again, a taken card is a member, 202 pays nothing."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Unlucky)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        said = await run(town, "till", f"http://127.0.0.1:{server.server_port}", "evening", "6340001")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert said.splitlines() == ["m-1 will see later what it earned", "not enough points"]
    assert Unlucky.asked == [
        "/members/find",
        "/members",
        "/members/find",
        "/activities",
        "/activities",
        "/holds",
        "/holds/h-1/release",
    ]


async def test_a_partners_file_is_sent_and_what_is_wrong_is_said(town: Town, tmp_path: Path) -> None:
    lines: list[Any] = [purchase(f"f-{number}", MEMBERS[0], 500) for number in range(40)]
    file = tmp_path / "baskets.ndjson"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert "done: 40 posted, 0 known" in await run(town, "send_file", town.address("gateway"), PROGRAM, file)
    lines.append({**purchase("f-40", MEMBERS[0], 500), "amount": "five"})
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    said = await run(town, "send_file", town.address("gateway"), PROGRAM, file, expect=1)
    assert "40 known" in said
    assert '"/amount"' in said


@pytest.mark.parametrize("example", ["consume_aiokafka", "consume_confluent"])
async def test_a_consumer_keeps_the_balances(town: Town, tmp_path: Path, example: str) -> None:
    """Stopped in between, it goes on; started anew it reads everything again and changes nothing."""
    database = tmp_path / "balances.db"
    kafka, topic = kafka_of(town)
    start = 1_000 if example == "consume_aiokafka" else 2_000
    for part in range(2):
        await buy(town, start + part * 20, start + part * 20 + 20)
        await run(town, example, kafka, database, "--topic", topic, "--idle-seconds", 3)
        assert kept(database) == await balances_of(town)


async def test_a_webhook_receiver_prints_each_event_once(town: Town) -> None:
    door = town.door()
    port = free_port()
    body = {"url": f"http://127.0.0.1:{port}/", "types": ["points.awarded"], "programs": [PROGRAM]}
    webhook = await door.call("POST", "webhooks", body, 201)
    async with running(town, "receive_webhook", port, WEBHOOK_SECRET=webhook["secret"]) as process:
        await buy(town, 3_000, 3_003)
        assert process.stdout is not None
        for number in range(3):
            line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
            assert line.startswith("points.awarded.v1 m-"), line
            assert any(f"b-{3_000 + each}" in line for each in range(3)), (number, line)

        async def written() -> Any:
            return (await door.call("GET", f"webhooks/{webhook['id']}/deliveries"))["data"]

        # The log is written behind the deliveries.
        log = await town.until(written, "a delivery to be written")
        await door.call("POST", f"deliveries/{log[0]['delivery']}/redeliver", {}, 202)
        await buy(town, 3_003, 3_004)
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        assert "b-3003" in line
    await door.http.delete(f"/v1/webhooks/{webhook['id']}")


async def test_who_starts_from_an_export_under_writes_misses_nothing_and_counts_nothing_twice(
    town: Town, tmp_path: Path
) -> None:
    kafka, topic = kafka_of(town)
    database = tmp_path / "balances.db"
    arguments = (town.address("gateway"), PROGRAM, kafka, database, "--topic", topic, "--idle-seconds", 4)
    async with running(town, "start_from_exports", *arguments) as process:
        await buy(town, 4_000, 4_150)
        said, _ = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0, said.decode()
    assert f"{len(MEMBERS)} members" in said.decode() or "13 members" in said.decode()
    assert kept(database) == await balances_of(town)
