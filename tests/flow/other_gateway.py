"""A gateway beside those that run: of a newer version, or one whose events are held up on their way.

It writes requests and events into the gateway's tables as any gateway does. What becomes of its events is the
test's to say: a running gateway publishes them, or the test brings them to the topics itself.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from laurel.contracts.activity import Activity, content_hash
from laurel.contracts.reading import read
from laurel.io.database import Connection, Database
from laurel.io.migrating import DatabaseUrls
from laurel.io.outbox import Added, Outbox, OutboxRow
from laurel.io.saying import Saying
from laurel.io.together import Statement
from laurel.io.unit import UnitOfWork
from laurel.program.loading import load_program
from services.gateway.asking import Stamp
from services.gateway.naming import ACTIVITY, Correlation, RequestKey
from services.gateway.publishing import publish
from services.gateway.saying import activity_json, activity_reported
from services.gateway.store import requests
from services.gateway.store.requests import NewRequest

PARTNER = "operator"

_HOLD_UP = "delete from outbox_open where work = $1"


class HeldUp(Outbox):
    """Takes what is said for published, though no topic has it: no relay will see it."""

    def __init__(self, service: str, epoch: int) -> None:
        super().__init__(service, epoch)
        self.rows: list[OutboxRow] = []

    async def add(self, connection: Connection, sayings: Sequence[Saying], before: Sequence[Statement] = ()) -> Added:
        added = await super().add(connection, sayings, before)
        for work in {row.work for row in added.rows}:
            await connection.execute(_HOLD_UP, work)
        self.rows += added.rows
        return added


class OtherGateway:
    """Asks and publishes. `held_up` are its events that nobody but the test will bring to the topics."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._unit = UnitOfWork(database, outbox)
        self._outbox = outbox

    @classmethod
    @asynccontextmanager
    async def open(cls, urls: DatabaseUrls, *, held_up: bool) -> AsyncIterator[OtherGateway]:
        database = await Database.connect(urls.gateway, schema="gateway", application="other gateway")
        try:
            kind = HeldUp if held_up else Outbox
            yield cls(database, await kind.load("gateway", database))
        finally:
            await database.close()

    @property
    def held_up(self) -> list[OutboxRow]:
        assert isinstance(self._outbox, HeldUp)
        return self._outbox.rows

    async def report(
        self, program: str, *activities: Mapping[str, Any], said: Callable[[Saying], Saying] = lambda saying: saying
    ) -> None:
        """Accept activities of members by their ids, all in one transaction; `said` may change what is said of them."""
        now = datetime.now(UTC)
        parsed: list[Any] = [read(Activity, json.dumps(activity).encode()) for activity in activities]
        async with self._unit.begin() as work:
            keys = [RequestKey(program, ACTIVITY, PARTNER, each.id) for each in parsed]
            asked = [NewRequest(key, content_hash(each), each.member) for key, each in zip(keys, parsed, strict=True)]
            accepted = await requests.insert(work.connection, asked, now)
            for request, each in zip(asked, parsed, strict=True):
                attempt, head = accepted[request.key]
                stamp = Stamp(Correlation(request.key, attempt), head, now)
                saying = activity_reported(
                    stamp,
                    member=each.member,
                    partner=PARTNER,
                    hash_=request.hash,
                    occurred_at=each.occurred_at,
                    activity=activity_json(each, each.member),
                    traceparent="",
                )
                work.say(said(saying))

    async def publish(self, document: Mapping[str, Any]) -> int:
        """Publish a program; returns its version."""
        loaded = load_program(json.dumps(document))
        return (await publish(self._unit, loaded, lambda: datetime.now(UTC))).row.version
