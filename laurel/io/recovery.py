"""When the broker has lost what it was told, or somebody asks: all that the outbox retains is published again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from laurel.io.kafka import ensure_topics, log_ends
from laurel.io.lanes import LogBeganAnewError
from laurel.io.outbox import ROW_COLUMNS, OutboxRow, row_from
from laurel.io.republishing import ASKED
from laurel.io.telemetry import REPUBLISHED, logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping, Sequence

    from laurel.io.database import Connection, Database
    from laurel.io.settings import KafkaSettings
    from laurel.io.topics import Topics

log = logger(__name__)

_PAGE_ROWS = 1000
_PAGE = f"""
select {ROW_COLUMNS} from outbox
where (program, member, stream, number) > ($1, $2, $3, $4::bigint) and (stream = 'programs') = $5
order by program, member, stream, number
limit $6
"""


class Publisher(Protocol):
    """What publishes again; the lanes."""

    @property
    def ends(self) -> MutableMapping[tuple[str, int], int]:
        """How far each log had grown when last written to."""

    async def send_again(self, rows: Sequence[OutboxRow]) -> None:
        """Publish rows whatever is known of their keys. Raises if any could not be."""


class Recovery:
    """Knows from the database which broker the service last worked with, and how far its logs had grown."""

    def __init__(self, database: Database, kafka: KafkaSettings, topics: Topics) -> None:
        self._database = database
        self._kafka = kafka
        self._topics = topics

    async def settle(self, cluster: str, lanes: Publisher, *, shrunk: bool = False) -> bool:
        """See whether the broker has what it was told, and publish everything again if not, or if it is known to lack.

        One process of a service does it, under a row lock; False tells the others to ask again later.
        """
        async with self._database.connection() as connection:
            await connection.execute(
                "insert into broker_state (cluster_id) values ('') on conflict (\"only\") do nothing"
            )
        async with self._database.transaction() as connection:
            known = await connection.fetchval("select cluster_id from broker_state for update skip locked")
            if known is None:
                return False
            lost = await self._lost(connection, known, cluster)
            if shrunk and known:
                lost = lost or "a log began anew"
            if lost:
                log.warning("publishing all events again", cluster=cluster, why=lost)
                await ensure_topics(self._kafka, self._topics.all())
                count = await self._republish(lanes.send_again)
                await self._see_it_there(lanes.ends)
                await connection.execute("delete from relay_positions")
                log.warning("all events published again", cluster=cluster, events=count)
            if known != cluster:
                await connection.execute("update broker_state set cluster_id = $1", cluster)
        return True

    async def _lost(self, connection: Connection, known: str, cluster: str) -> str:
        """Say what shows that the broker has lost events, '' if nothing does."""
        if known == ASKED:
            return "somebody asked for it"
        if known != cluster:
            # On a schema that has never met a broker nothing is published yet, and the sweep does what there is.
            return "another broker" if known else ""
        positions = await connection.fetch("select topic, partition, next_offset from relay_positions")
        if not positions:
            return ""
        ends = await log_ends(self._kafka, sorted({row["topic"] for row in positions}))
        for row in positions:
            end = ends.get((row["topic"], row["partition"]), 0)
            if end < row["next_offset"]:
                return f"{row['topic']}/{row['partition']} ends at {end}, not {row['next_offset']}"
        return ""

    async def _see_it_there(self, wrote: MutableMapping[tuple[str, int], int]) -> None:
        """Look whether the logs reach as far as was acknowledged.

        A broker may acknowledge what it then forgets: of a topic that somebody else is still making, or when a leader
        is elected that had not heard of it yet.
        """
        ends = await log_ends(self._kafka, sorted({topic for topic, _ in wrote}))
        short = [place for place, end in wrote.items() if ends.get(place, 0) < end]
        for place in short:
            del wrote[place]
        if short:
            raise LogBeganAnewError(short[0])

    async def _republish(self, publish: Callable[[Sequence[OutboxRow]], Awaitable[None]]) -> int:
        """Publish what consumers judge by first, then every row in the order of its key."""
        count = 0
        for programs in (True, False):
            after: tuple[str, str, str, int] = ("", "", "", 0)
            while True:
                rows = await self._page(after, programs=programs)
                if not rows:
                    break
                await publish(rows)
                count += len(rows)
                REPUBLISHED.labels(self._topics.service).inc(len(rows))
                after = (*rows[-1].key, rows[-1].number)
        return count

    async def _page(self, after: tuple[str, str, str, int], *, programs: bool) -> list[OutboxRow]:
        async with self._database.connection() as connection:
            found = await connection.fetch(_PAGE, *after, programs, _PAGE_ROWS)
        return [row_from(record) for record in found]
