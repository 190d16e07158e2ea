"""A town with a database and a broker of its own, of which any part may die at an exact step of a redemption.

A process is told to stand still at a failpoint. While it does, others are killed, or it is, as by power loss: whatever
they had done by then is done, and of what they had not nothing is. Then it goes on, if it still lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from laurel.embedded.broker import EmbeddedBroker
from laurel.embedded.ports import free_port
from laurel.embedded.postgres import EmbeddedPostgres
from laurel.io.migrating import bootstrap, migrate
from laurel.io.settings import KafkaSettings
from laurel.testing.real_kafka import RealKafka
from tests.databases import kill_all_of
from tests.flow.halting import Halting, Step
from tests.flow.nursery import Nursery

SERVICES = ("redemption", "points", "gateway")
VICTIMS = (*SERVICES, "broker", "postgres")
KEPT_UP_SECONDS = 0.1
# The machine does not die, so what was written to its files is there; what was promised must have been written.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "synchronous_commit": "on"}


class Breakable(Halting):
    """Any of its processes may die, its broker, and its database."""

    def __init__(
        self, server: EmbeddedPostgres, broker: EmbeddedBroker | RealKafka, *rest: Any, **settings: Any
    ) -> None:
        super().__init__(*rest, **settings)
        self._server = server
        self._broker = broker
        self._dead: set[str] = set()
        self._been_ready: set[str] = set()

    def start(self, name: str, failpoint: str = "") -> None:
        self._been_ready.discard(name)
        super().start(name, failpoint)

    async def keep_up(self) -> None:
        """Start again who ended by itself, as whoever runs them does: a start fails without a database.

        Once it was ready, nothing of what happens here may end a process.
        """
        while True:
            for name in SERVICES:
                if name in self._dead:
                    continue
                if self.exit_code(name) is None:
                    pid = self.pid(name)
                    is_ready = name in self._been_ready or (await self.health(name)).get("status") == "ready"
                    if is_ready and pid == self.pid(name):
                        self._been_ready.add(name)
                else:
                    assert name not in self._been_ready, f"{name} was ready and ended by itself\n{self.told()}"
                    self.start(name)
            await asyncio.sleep(KEPT_UP_SECONDS)

    async def die_at(self, step: Step, *victims: str) -> None:
        """Kill them while somebody stands there, who then goes on unless it was among them."""
        await self.reach(step)
        self._dead.update(victims)
        for victim in victims:
            self.strike(victim)
        if step.who not in victims:
            self.go_on(step.who)

    def strike(self, victim: str) -> None:
        """End one of them as by power loss."""
        match victim:
            case "postgres":
                kill_all_of(self._server)
            case "broker":
                assert self._broker.child is not None
                self._broker.child.kill()
            case _:
                self.kill(victim)

    async def revive(self, *victims: str) -> None:
        """Start them again; services when there is something to connect to."""
        for victim, ground in (("postgres", self._server), ("broker", self._broker)):
            if victim in victims:
                ground.launch()
                await asyncio.to_thread(ground.wait_until_ready)
        for victim in victims:
            if victim in SERVICES:
                self.start(victim)
        self._dead.difference_update(victims)


@asynccontextmanager
async def breakable(
    place: Path,
    data: Path,
    broker: EmbeddedBroker | RealKafka,
    kafka: KafkaSettings,
    forks: Nursery | None,
    parts: Mapping[str, str],
    **settings: Any,
) -> AsyncIterator[Breakable]:
    """Run such a town, and leave nothing of it. `data` must be reachable for an unprivileged user."""
    server = EmbeddedPostgres(data, port=free_port(), settings=SETTINGS)
    try:
        server.start()
        urls = await bootstrap(server.url("admin", "postgres"), server.secrets.passwords)
        await migrate(urls.owner)
        async with Breakable(server, broker, place, urls, kafka, parts, forks, **settings).open() as town:
            keeping = asyncio.create_task(town.keep_up())
            yield town
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
    finally:
        server.destroy()
