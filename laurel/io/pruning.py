"""Dropping old events from the outbox: only what is past its retention, and what every group is known to have read.

Until then they are kept for a broker that forgets. The stream of programs is kept for ever: it is a table, told again.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from laurel.io.kafka import BROKER_ERRORS, committed_offsets, log_ends
from laurel.io.telemetry import logger
from laurel.io.topics import dead_topic, main_topic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from laurel.io.database import Database
    from laurel.io.settings import KafkaSettings, ServiceSettings

log = logger(__name__)

_ROWS_MAX = 1000
_OPEN_MAX = 10_000
_PAUSE_SECONDS = 0.05
_CAUGHT_UP_SECONDS = 30.0
# In the order of the keys, so that a key loses its earliest numbers first and never shows a hole. A transaction that
# began first may have taken the later number, so a row that looks old enough stays while the one before it stays.
_OLD = """
select program, member, stream, number from outbox o
where (work is null or work <> all ($1::uuid[])) and created_at < now() - $2::interval and stream <> 'programs'
  and (program, member, stream, number) > ($3, $4, $5, $6::bigint)
  and not exists (
    select from outbox b where b.program = o.program and b.member = o.member and b.stream = o.stream
      and b.number = o.number - 1
      and (b.work = any ($1::uuid[]) or b.created_at >= now() - $2::interval))
order by program, member, stream, number
limit $7
"""
_DELETE = "delete from outbox where program = $1 and member = $2 and stream = $3 and number = $4"
_OPEN = "select work from outbox_open limit $1"
_TOLD = "select topic, partition, next_offset from relay_positions where topic = any ($1::text[])"


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
        # What is open now may be published only after the groups were looked at.
        unpublished = [row[0] for row in await connection.fetch(_OPEN, _OPEN_MAX + 1)]
        told = await connection.fetch(_TOLD, list(readers))
    if len(unpublished) > _OPEN_MAX:
        log.info("outbox kept, much of it is not published")
        return 0
    if not await _all_have_read(kafka, readers, {(row[0], row[1]): row[2] for row in told}, caught_up_seconds):
        return 0
    dropped = 0
    after: tuple[str, str, str, int] = ("", "", "", 0)
    while True:
        places = await _drop_some(database, unpublished, retention, after)
        if not places:
            return dropped
        dropped += len(places)
        after = places[-1]
        await asyncio.sleep(_PAUSE_SECONDS)


async def keep_pruned(database: Database, settings: ServiceSettings, service: str) -> None:
    """Prune the outbox of `service` now and then, until cancelled; never where the settings name no groups."""
    prefix = settings.kafka_prefix
    readers = {
        main_topic(service, prefix): settings.groups,
        # What is parked is shown to callers by the gateway, and read by nobody else.
        dead_topic(service, prefix): (f"{prefix}-gateway",),
    }
    retention = timedelta(hours=settings.outbox_retention_hours)
    while True:
        await asyncio.sleep(settings.outbox_prune_seconds)
        if not settings.groups:
            continue
        try:
            dropped = await prune(database, settings, readers, retention)
        except Exception as error:  # noqa: BLE001 - what cannot be dropped now is dropped later
            log.warning("outbox not pruned", error=repr(error))
        else:
            if dropped:
                log.info("outbox pruned", dropped=dropped)


async def _all_have_read(
    kafka: KafkaSettings, readers: Mapping[str, Sequence[str]], told: Mapping[tuple[str, int], int], seconds: float
) -> bool:
    """Say whether every group commits behind the present ends of its topics before the time is up.

    `told`: how far the logs had grown. One that is shorter now was lost, and who had read what was in it is not known.
    """
    found = await log_ends(kafka, list(readers))
    ends = {place: end for place in {*found, *told} if (end := max(found.get(place, 0), told.get(place, 0))) > 0}
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
    database: Database, unpublished: Sequence[UUID], retention: timedelta, after: tuple[str, str, str, int]
) -> list[tuple[str, str, str, int]]:
    async with database.transaction() as connection:
        found = await connection.fetch(_OLD, unpublished, retention, *after, _ROWS_MAX)
        places = [(row[0], row[1], row[2], row[3]) for row in found]
        if places:
            await connection.executemany(_DELETE, places)
    return places
