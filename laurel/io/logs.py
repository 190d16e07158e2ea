"""Which broker's logs a group has begun to read: kept in the database, since offsets are lost with a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laurel.io.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from aiokafka import TopicPartition

    from laurel.io.database import Database

log = logger(__name__)


class KnownLogs:
    """The logs of one group."""

    def __init__(self, group: str, database: Database) -> None:
        self._group = group
        self._database = database
        self._unnoted: set[TopicPartition] = set()

    async def unread(self, partitions: Collection[TopicPartition], cluster: str) -> list[TopicPartition]:
        """Return those of the partitions whose log on this broker the group has not begun to read."""
        self._unnoted.clear()
        if not partitions:
            return []
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "select topic, partition, cluster_id from consumer_logs where consumer = $1", self._group
            )
        known = {(row["topic"], row["partition"]): row["cluster_id"] for row in rows}
        unread = [tp for tp in partitions if known.get((tp.topic, tp.partition)) != cluster]
        self._unnoted.update(unread)
        return unread

    async def begun(self, partitions: Iterable[TopicPartition], cluster: str) -> None:
        """Note that offsets in these are committed on this broker. Not noted means read from 0 once more."""
        fresh = self._unnoted.intersection(partitions)
        if not fresh:
            return
        try:
            async with self._database.connection() as connection:
                await connection.executemany(
                    "insert into consumer_logs (consumer, topic, partition, cluster_id) values ($1, $2, $3, $4) "
                    "on conflict (consumer, topic, partition) do update set cluster_id = excluded.cluster_id",
                    sorted((self._group, tp.topic, tp.partition, cluster) for tp in fresh),
                )
        except Exception as error:  # noqa: BLE001 - whatever it is, the next commit tries again
            log.info("logs not noted", group=self._group, error=repr(error))
            return
        self._unnoted -= fresh
