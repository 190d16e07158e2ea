"""A process dies between any two steps: commit, publish, mark, offset commit. The next one goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from laurel.io import failpoints
from laurel.io.database import Database
from laurel.io.settings import KafkaSettings
from tests.io.conftest import (
    Recorder,
    Service,
    all_published,
    effects_in_order,
    everything_on,
    first_publications,
    make_listener,
    make_service,
    running,
    say,
    until,
    value,
)

pytestmark = [pytest.mark.anyio, pytest.mark.crash, pytest.mark.kafka]

SERVICE = Path(__file__).with_name("crashing_service.py")
MEMBERS = 15
ROUNDS = 12


@asynccontextmanager
async def listening(url: str, kafka: KafkaSettings, failpoint: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, "LAUREL_FAILPOINT": failpoint}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVICE), url, kafka.model_dump_json(), env=environment,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _talk(speaker: Service) -> None:
    for _ in range(ROUNDS):
        await speaker.say(*(say(f"m{number}", 1) for number in range(MEMBERS)))


async def _expect_everything_once(database: Database, kafka: KafkaSettings) -> None:
    everything = {f"m{number}": list(range(1, ROUNDS + 1)) for number in range(MEMBERS)}
    assert await effects_in_order(database) == everything
    assert await value(database, "select count(*) from parked") == 0
    assert await value(database, "select count(*) from outbox") == MEMBERS * ROUNDS
    published = first_publications(await everything_on(kafka, f"{kafka.kafka_prefix}.listener.v1"))
    assert published == {f"grocery:{member}": numbers for member, numbers in everything.items()}


# Partners are asked by redemption alone: tests/flow/test_fulfilment.py.
@pytest.mark.parametrize("place", sorted(failpoints.NAMES - {failpoints.AFTER_PARTNER}))
async def test_dead_between_two_steps_nothing_is_lost_or_doubled(
    kafka: KafkaSettings, speaker_database: Database, listener_database: Database, place: str
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    async with running(speaker.relay):
        await _talk(speaker)
        await until(lambda: all_published(speaker_database))
    doomed = make_listener(listener_database, kafka, Recorder("doomed"), batch_max=20)
    assert doomed.consumer is not None
    # Marks are gathered, so there may be no second one; all else is visited once a batch.
    visits_left = 1 if place == failpoints.AFTER_MARK else 2

    def die() -> None:
        nonlocal visits_left
        visits_left -= 1
        if visits_left == 0:
            raise failpoints.FailpointReached(place)

    with failpoints.armed(place, die, times=2):
        await asyncio.wait_for(_dies(doomed.consumer.run, doomed.relay.run), 15)
    survivor = make_listener(listener_database, kafka, Recorder("survivor"), batch_max=20)
    async with running(survivor.consumer, survivor.relay):
        await until(lambda: _applied(listener_database), 20)
        await until(lambda: all_published(listener_database), 20)
    await _expect_everything_once(listener_database, kafka)


async def _dies(*parts: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run the parts as a process would, and expect one of them to take the others down."""

    async def process() -> None:
        async with asyncio.TaskGroup() as tasks:
            for part in parts:
                tasks.create_task(part())

    with pytest.raises(BaseExceptionGroup) as death:
        await process()
    assert death.group_contains(failpoints.FailpointReached)


async def test_killed_between_commit_and_publish_nothing_is_lost_or_doubled(
    url: str, kafka: KafkaSettings, speaker_database: Database, listener_database: Database
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    async with running(speaker.relay):
        await _talk(speaker)
        async with listening(url, kafka, f"{failpoints.AFTER_COMMIT}:kill:2") as doomed:
            assert await asyncio.wait_for(doomed.wait(), 20) == -signal.SIGKILL
        async with listening(url, kafka) as survivor:
            await until(lambda: _applied(listener_database), 20)
            await until(lambda: all_published(listener_database), 20)
            survivor.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(survivor.wait(), 10) == 0
    await _expect_everything_once(listener_database, kafka)


async def _applied(database: Database) -> bool:
    return bool(await value(database, "select count(*) from effects") >= MEMBERS * ROUNDS)
