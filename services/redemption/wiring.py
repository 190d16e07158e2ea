"""Where the concrete parts of the redemption service are joined."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from laurel.io.awaiting import retry_known
from laurel.io.consumer import Consumer
from laurel.io.database import Connection, Database
from laurel.io.health import Health
from laurel.io.outbox import Outbox
from laurel.io.pruning import keep_pruned
from laurel.io.published import PublishedTopic
from laurel.io.reaching_out import Outside
from laurel.io.relay import Relay
from laurel.io.sealing import seal_again, service_key
from laurel.io.topics import main_topic, programs_topic
from laurel.io.unit import UnitOfWork
from services.redemption.deciders import may_wait
from services.redemption.domain.heard import VoucherEnds
from services.redemption.entry.allotting import Allotment
from services.redemption.entry.calling import PartnerCaller
from services.redemption.entry.consumers import RedemptionHandler
from services.redemption.entry.programs import KnownPrograms
from services.redemption.entry.timers import WaitTimer
from services.redemption.entry.turning import VoucherTurner
from services.redemption.entry.waits import WaitEnder
from services.redemption.road import Road
from services.redemption.settings import RedemptionSettings
from services.redemption.store import calls
from services.redemption.store.loading import overdue
from services.redemption.store.secrecy import check_secret
from services.redemption.store.store import PostgresStore
from services.redemption.store.vault import LOOK_UP, PARTNERS, POOLS, Vault
from services.redemption.store.vouchers import ended

SERVICE = "redemption"

Part = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Parts:
    """What every process of the service has."""

    settings: RedemptionSettings
    database: Database
    vault: Vault
    health: Health


@asynccontextmanager
async def connected(settings: RedemptionSettings, health: Health) -> AsyncIterator[Parts]:
    """Open the database, and make sure that the secret is the one its vouchers were sealed with."""
    vault = vault_of(settings)
    database = await Database.connect(
        settings.database_url.get_secret_value(),
        schema=SERVICE,
        application=f"laurel-{SERVICE}",
        pool_max=settings.database_pool_max,
    )
    try:
        async with database.reading() as connection:
            await check_secret(connection, vault)
        async with database.transaction() as connection:
            vault.hash_by(await service_key(connection, vault.keys, LOOK_UP, vault.first_hashing))
            vault.sign_by(await service_key(connection, vault.keys, PARTNERS, vault.first_partners))
            vault.seal_pools_by(await service_key(connection, vault.keys, POOLS, vault.first_pooling))
        yield Parts(settings, database, vault, health)
    finally:
        await database.close()


def vault_of(settings: RedemptionSettings) -> Vault:
    """Return what seals by these settings."""
    before = [settings.secret_before.get_secret_value().encode()] if settings.secret_before is not None else []
    return Vault(settings.secret.get_secret_value().encode(), before)


async def reseal(settings: RedemptionSettings) -> AsyncIterator[int]:
    """Seal by the secret that seals now what others sealed; yields how much of each part that was."""
    database = await Database.connect(
        settings.database_url.get_secret_value(), schema=SERVICE, application=f"laurel-{SERVICE}", pool_max=2
    )
    try:
        async for count in seal_again(database, vault_of(settings).keys):
            yield count
    finally:
        await database.close()


@dataclass(slots=True)
class Worker:
    """The parts of a worker: what is heard, when, and what is said of it."""

    consumer: Consumer
    timer: WaitTimer
    ending: WaitTimer
    turner: VoucherTurner
    waits: WaitEnder
    caller: PartnerCaller
    relay: Relay
    programs: PublishedTopic
    prune: Part

    def tasks(self) -> dict[str, Part]:
        """Name them in the order in which they stop: who hands out work before who carries it on."""
        return {
            "timer": self.timer.run,
            "ending": self.ending.run,
            "turning": self.turner.run,
            "ending_waits": self.waits.run,
            "calling": self.caller.run,
            "consumer": self.consumer.run,
            "pruning": self.prune,
            "programs": self.programs.run,
            "relay": self.relay.run,
        }


async def worker(parts: Parts) -> Worker:
    """Join a worker."""
    settings, health = parts.settings, parts.health
    outbox = await Outbox.load(SERVICE, parts.database)
    relay = Relay(parts.database, outbox, settings, health, sweep_seconds=settings.relay_sweep_seconds)
    unit = UnitOfWork(parts.database, outbox, relay)
    known = KnownPrograms(health, deadline_seconds=settings.program_wait_seconds)
    programs = PublishedTopic(programs_topic(settings.kafka_prefix), settings, known.take, health=health)
    known.follow(programs)
    road = Road(known, hold_wait=settings.hold_wait)

    def store_of(connection: Connection) -> PostgresStore:
        return PostgresStore(connection, parts.vault)

    turner = VoucherTurner(
        unit,
        road,
        store_of,
        health,
        interval_seconds=settings.turn_interval_seconds,
        batch_max=settings.voucher_batch_max,
    )
    waits = WaitEnder(
        unit,
        road,
        store_of,
        health,
        interval_seconds=settings.turn_interval_seconds,
        batch_max=settings.wait_timer_batch_max,
    )

    def wake() -> None:
        turner.wake()
        waits.wake()

    topics = [main_topic(speaker, settings.kafka_prefix) for speaker in ("gateway", "points")]
    consumer = Consumer(
        f"{settings.kafka_prefix}-{SERVICE}",
        topics,
        RedemptionHandler(road, store_of, wake),
        unit,
        settings,
        health,
        relay=relay,
        may_wait=may_wait,
        ripen=partial(retry_known, topics=topics, knows=known.knows),
        batch_max=settings.batch_max,
        gap_report_seconds=settings.gap_report_seconds,
    )
    timer = WaitTimer(
        unit,
        road,
        store_of,
        overdue,
        health,
        hearing=lambda: not health.reason(consumer.part),
        interval_seconds=settings.wait_timer_seconds,
        batch_max=settings.wait_timer_batch_max,
    )

    async def over(connection: Connection, until: datetime, limit: int) -> Sequence[VoucherEnds]:
        return await ended(connection, known.on_wall_clocks(), until, limit)

    ending = WaitTimer(
        unit,
        road,
        store_of,
        over,
        health,
        hearing=lambda: not health.reason(consumer.part),
        interval_seconds=settings.voucher_timer_seconds,
        batch_max=settings.voucher_batch_max,
        part="ending",
    )
    caller = PartnerCaller(
        unit,
        road,
        store_of,
        calls,
        Outside(settings),
        parts.vault.partner_secret,
        known.is_on_wall_clock,
        health,
        interval_seconds=settings.call_interval_seconds,
        at_once=settings.calls_at_once,
        allotment=Allotment(settings.calls_at_once_each, settings.calls_per_second_each),
    )
    return Worker(
        consumer,
        timer,
        ending,
        turner,
        waits,
        caller,
        relay,
        programs,
        partial(keep_pruned, parts.database, settings, SERVICE),
    )
