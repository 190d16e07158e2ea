"""Dropping old events from the outbox: only what is past its retention, and what every group is known to have read.

Until then they are kept for a broker that forgets. The stream of programs is kept for ever: it is a table, told again.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from laurel.io.kafka import BROKER_ERRORS, committed_offsets, log_ends
from laurel.io.telemetry import logger
from laurel.io.topics import main_topic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from laurel.io.database import Database
    from laurel.io.settings import KafkaSettings, ServiceSettings

log = logger(__name__)

_ROWS_MAX = 1000
_PAUSE_SECONDS = 0.05
_CAUGHT_UP_SECONDS = 30.0
# In the order of the keys, so that a key loses its earliest numbers first and never shows a hole.
_OLD = """
select program, member, stream, number from outbox
where published_at < $1 and created_at < now() - $2::interval and stream <> 'programs'
  and (program, member, stream, number) > ($3, $4, $5, $6::bigint)
order by program, member, stream, number
limit $7
"""
_DELETE = """
delete from outbox where program = $1 and member = $2 and stream = $3 and number = $4 and published_at is not null
"""


async def prune(
    database: Database,
    kafka: KafkaSettings,
    readers: Mapping[str, Sequence[str]],
    retention: timedelta,
    *,
    caught_up_seconds: float = _CAUGHT_UP_SECONDS,
) -> int:
    """Drop old events and return how many. `readers` names the groups that read each topic of this service.

    Where a group cannot be seen to have committed behind what is published now, nothing is dropped.
    """
    async with database.connection() as connection:
        moment = await connection.fetchval("select now()")
    if not await _all_have_read(kafka, readers, caught_up_seconds):
        return 0
    dropped = 0
    after: tuple[str, str, str, int] = ("", "", "", 0)
    while True:
        places = await _drop_some(database, moment, retention, after)
        if not places:
            return dropped
        dropped += len(places)
        after = places[-1]
        await asyncio.sleep(_PAUSE_SECONDS)


async def keep_pruned(
    database: Database, settings: ServiceSettings, service: str, *, interval_seconds: float = 600.0
) -> None:
    """Prune the outbox of `service` now and then, until cancelled; never where the settings name no groups."""
    readers = {main_topic(service, settings.kafka_prefix): settings.groups}
    retention = timedelta(hours=settings.outbox_retention_hours)
    while True:
        await asyncio.sleep(interval_seconds)
        if not settings.groups:
            continue
        try:
            dropped = await prune(database, settings, readers, retention)
        except Exception as error:  # noqa: BLE001 - what cannot be dropped now is dropped later
            log.warning("outbox not pruned", error=repr(error))
        else:
            if dropped:
                log.info("outbox pruned", dropped=dropped)


async def _all_have_read(kafka: KafkaSettings, readers: Mapping[str, Sequence[str]], seconds: float) -> bool:
    """Say whether every group commits behind the present ends of its topics before the time is up."""
    ends = {place: end for place, end in (await log_ends(kafka, list(readers))).items() if end > 0}
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    behind = [(group, topic) for topic, groups in readers.items() for group in groups]
    while behind:
        still: list[tuple[str, str]] = []
        for group, topic in behind:
            places = [place for place in ends if place[0] == topic]
            try:
                committed = await committed_offsets(kafka, group, places)
            except BROKER_ERRORS:
                committed = {}
            if any(committed.get(place, -1) < ends[place] for place in places):
                still.append((group, topic))
        behind = still
        if behind:
            if loop.time() >= deadline:
                log.info("outbox kept, groups are behind", groups=sorted({group for group, _ in behind}))
                return False
            await asyncio.sleep(min(1.0, seconds / 10))
    return True


async def _drop_some(
    database: Database, moment: datetime, retention: timedelta, after: tuple[str, str, str, int]
) -> list[tuple[str, str, str, int]]:
    async with database.transaction() as connection:
        found = await connection.fetch(_OLD, moment, retention, *after, _ROWS_MAX)
        places = [(row[0], row[1], row[2], row[3]) for row in found]
        if places:
            await connection.executemany(_DELETE, places)
    return places
