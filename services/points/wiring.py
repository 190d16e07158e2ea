"""The one place where the concrete parts of points are joined."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from laurel.io.awaiting import retry_known
from laurel.io.consumer import Consumer
from laurel.io.database import Database
from laurel.io.exporting import Exporter
from laurel.io.health import Health
from laurel.io.message import Message
from laurel.io.outbox import Outbox
from laurel.io.pruning import keep_pruned
from laurel.io.published import PublishedTopic
from laurel.io.relay import Relay
from laurel.io.topics import main_topic, programs_topic
from laurel.io.unit import UnitOfWork
from services.points.deciders import may_wait
from services.points.entry.consumers import PointsHandler
from services.points.entry.funding import BlockFiller
from services.points.entry.judging import Judge, JudgementTimer
from services.points.entry.timers import ExpiryTimer
from services.points.entry.turning import ClockTurner
from services.points.road import Road
from services.points.settings import PointsSettings
from services.points.store.exporting import points_exporter
from services.points.store.ledger import Ledger
from services.points.store.programs import KnownPrograms
from services.points.store.views import LedgerViews

SERVICE = "points"


@dataclass(frozen=True, slots=True)
class Reading:
    """What answering questions takes."""

    settings: PointsSettings
    health: Health
    database: Database
    programs: KnownPrograms
    topic: PublishedTopic
    views: LedgerViews
    exporter: Exporter


@dataclass(frozen=True, slots=True)
class Working:
    """What answering messages takes, besides."""

    relay: Relay
    consumer: Consumer
    timer: ExpiryTimer
    turner: ClockTurner
    judging: JudgementTimer
    filler: BlockFiller
    prune: Callable[[], Coroutine[Any, Any, None]]


@asynccontextmanager
async def reading(settings: PointsSettings) -> AsyncIterator[Reading]:
    """Open the database and the programs."""
    health = Health()
    database = await Database.connect(
        settings.database_url.get_secret_value(),
        schema="points",
        application="laurel-points",
        pool_max=settings.database_pool_max,
    )
    try:
        # The topic tells the programs, and the programs wait on the topic: one of them has to be named first.
        known: list[KnownPrograms] = []

        async def take(message: Message) -> None:
            await known[0].take(message)

        topic = PublishedTopic(
            programs_topic(settings.kafka_prefix),
            settings,
            take,
            health=health,
        )
        programs = KnownPrograms(database, topic, health, deadline_seconds=settings.program_wait_seconds)
        known.append(programs)
        await programs.load()
        exporter = points_exporter(database, settings.kafka_prefix, programs)
        views = LedgerViews(database.hurried(settings.database_wait_seconds))
        yield Reading(settings, health, database, programs, topic, views, exporter)
    finally:
        await database.close()


async def working(reading: Reading) -> Working:
    """Join the road with what brings its messages and what carries its announcements."""
    settings, database = reading.settings, reading.database
    outbox = await Outbox.load("points", database)
    relay = Relay(database, outbox, settings, reading.health, sweep_seconds=settings.relay_sweep_seconds)
    unit = UnitOfWork(database, outbox, relay)
    road = Road(reading.programs)
    judge = Judge(road, reading.programs, batch_max=settings.expiry_batch_max)
    turner = ClockTurner(
        unit,
        road,
        judge,
        Ledger,
        reading.health,
        interval_seconds=settings.turn_interval_seconds,
        batch_max=settings.expiry_batch_max,
        at_once=settings.expiry_at_once,
    )
    filler = BlockFiller(
        unit,
        road,
        Ledger,
        reading.health,
        interval_seconds=settings.turn_interval_seconds,
        batch_max=settings.expiry_batch_max,
    )

    def wake() -> None:
        turner.wake()
        filler.wake()

    topics = [main_topic(service, settings.kafka_prefix) for service in ("gateway", "redemption")]
    consumer = Consumer(
        f"{settings.kafka_prefix}-{SERVICE}",
        topics,
        PointsHandler(road, Ledger, wake),
        unit,
        settings,
        reading.health,
        relay=relay,
        may_wait=may_wait,
        ripen=partial(retry_known, topics=topics, knows=reading.programs.knows),
        batch_max=settings.batch_max,
        gap_report_seconds=settings.gap_report_seconds,
    )
    timer = ExpiryTimer(
        unit,
        road,
        reading.programs,
        Ledger,
        reading.health,
        interval_seconds=settings.expiry_interval_seconds,
        batch_max=settings.expiry_batch_max,
        at_once=settings.expiry_at_once,
    )
    judging = JudgementTimer(
        unit, judge, reading.programs, Ledger, reading.health, interval_seconds=settings.expiry_interval_seconds
    )
    return Working(relay, consumer, timer, turner, judging, filler, partial(keep_pruned, database, settings, SERVICE))
