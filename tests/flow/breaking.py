"""A town with a database and a broker of its own, of which any part may die at an exact step of a redemption.

A process is told to stand still at a failpoint. While it does, others are killed, or it is, as by power loss: whatever
they had done by then is done, and of what they had not nothing is. Then it goes on, if it still lives.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from laurel.embedded.broker import EmbeddedBroker
from laurel.embedded.ports import free_port
from laurel.embedded.postgres import EmbeddedPostgres
from laurel.io.migrating import bootstrap, migrate
from tests.databases import kill_all_of
from tests.flow.conftest import kafka_settings
from tests.flow.nursery import Nursery
from tests.flow.stage import Town

SERVICES = ("redemption", "points", "gateway")
VICTIMS = (*SERVICES, "broker", "postgres")
# The machine does not die, so what was written to its files is there; what was promised must have been written.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "synchronous_commit": "on"}


class Step(NamedTuple):
    """A place in the life of a redemption: who comes to it, and the failpoint there."""

    who: str
    place: str


class Breakable(Town):
    """Its processes look for a failpoint whenever they pass one, so that none has to start anew for the next death."""

    def __init__(
        self, server: EmbeddedPostgres, broker: EmbeddedBroker, place: Path, *rest: Any, **settings: Any
    ) -> None:
        super().__init__(place, *rest, **settings)
        self.asking: asyncio.Task[None] | None = None
        """Those who bring about the steps; when they fail nothing more will come."""
        self._server = server
        self._broker = broker
        self._orders = place / "failpoints"
        self._orders.mkdir()

    def start(self, name: str, failpoint: str = "") -> None:
        super().start(name, failpoint or f"file:{self._orders / name}")

    async def reach(self, step: Step) -> None:
        """Return when somebody stands still there."""
        order = self._orders / step.who
        order.with_suffix(".new").write_text(f"{step.place}:stop", encoding="utf-8")
        order.with_suffix(".new").rename(order)
        await self.until(partial(self._stands_still, step.who), f"{step.who} to stand at {step.place}")

    async def die_at(self, step: Step, *victims: str) -> None:
        """Kill them while somebody stands there, who then goes on unless it was among them."""
        await self.reach(step)
        for victim in victims:
            self.strike(victim)
        if step.who not in victims:
            os.kill(self.pid(step.who), signal.SIGCONT)

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

    def _stands_still(self, name: str) -> bool:
        if self.asking is not None and self.asking.done():
            self.asking.result()
        assert self.exit_code(name) is None, f"{name} ended by itself\n{self.told()}"
        return bool(psutil.Process(self.pid(name)).status() == psutil.STATUS_STOPPED)


@asynccontextmanager
async def breakable(
    place: Path, data: Path, forks: Nursery | None, parts: Mapping[str, str], **settings: Any
) -> AsyncIterator[Breakable]:
    """Run such a town, and leave nothing of it. `data` must be reachable for an unprivileged user."""
    server = EmbeddedPostgres(data, port=free_port(), settings=SETTINGS)
    try:
        server.start()
        urls = await bootstrap(server.url("admin", "postgres"), server.secrets.passwords)
        await migrate(urls.owner)
        with EmbeddedBroker(place / "broker") as broker:
            kafka = kafka_settings(broker.bootstrap, idempotence=False, fetch_max_wait_ms=10)
            async with Breakable(server, broker, place, urls, kafka, parts, forks, **settings).open() as town:
                yield town
    finally:
        server.destroy()
