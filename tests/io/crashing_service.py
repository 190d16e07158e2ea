"""A little service in a process of its own, for tests that kill it: `crashing_service.py URL SETTINGS`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from laurel.io.database import Database
from laurel.io.runner import run_tasks
from laurel.io.settings import KafkaSettings
from tests.io.conftest import Recorder, make_listener


async def main(url: str, settings: str) -> None:
    kafka = KafkaSettings(**json.loads(settings))
    database = await Database.connect(url, schema="listener", application="crashing")
    service = make_listener(database, kafka, Recorder(str(id(database))), batch_max=20)
    assert service.consumer is not None
    await run_tasks({"consumer": service.consumer.run, "relay": service.relay.run})
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
