"""The one place where the concrete parts of the gateway are joined."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from secrets import token_bytes
from typing import Any, TypeVar

from laurel.io.consumer import Consumer
from laurel.io.database import Database, is_conflict, is_data_error
from laurel.io.health import Health
from laurel.io.outbox import Outbox
from laurel.io.pruning import keep_pruned
from laurel.io.reaching_out import Outside
from laurel.io.relay import Relay
from laurel.io.sealing import seal_again, service_key
from laurel.io.tail import Tail
from laurel.io.topics import dead_topic, main_topic
from laurel.io.unit import UnitOfWork
from services.gateway.answering import Settler
from services.gateway.asking import Ask, Asking, Recorded
from services.gateway.catching_up import CatchingUp
from services.gateway.delivering import Deliverer
from services.gateway.dropping import keep_dropping
from services.gateway.feeding import Feed
from services.gateway.gathering import Gatherer
from services.gateway.giving_back import GivingBack
from services.gateway.guarding import Guard
from services.gateway.hearing import OUTSIDE
from services.gateway.knowing import Known
from services.gateway.limiting import Limiter
from services.gateway.opening import open_gateway
from services.gateway.outcomes import TYPES
from services.gateway.passing import Owner
from services.gateway.pressing import Pressure
from services.gateway.projecting import Heard, Projector, Recorder
from services.gateway.pumping import Pump
from services.gateway.rebuilding import Rebuilding
from services.gateway.retelling import Retelling
from services.gateway.sealing import LOOK_UP, Sealing, vault_of
from services.gateway.seeing import Seeing
from services.gateway.settings import GatewaySettings
from services.gateway.signing import KEY_BYTES, SECRETS, Signing
from services.gateway.turning import Turning
from services.gateway.waiting import Waiting
from services.gateway.watching import Watching
from services.gateway.yielding import Presence

SERVICE = "gateway"
_REBUILD_SECONDS = 60.0
"""How long an owner may take for a part of what it tells again: it may have to go through a long history first."""

Item = TypeVar("Item")
Result = TypeVar("Result")

Part = Callable[[], Coroutine[Any, Any, None]]


def now() -> datetime:
    """Read the one clock of this service, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Parts:
    """What every process of the gateway has."""

    settings: GatewaySettings
    health: Health
    clock: Callable[[], datetime]
    database: Database
    unit: UnitOfWork
    relay: Relay
    signing: Signing


@dataclass(frozen=True, slots=True)
class Api:
    """What the routes work with."""

    settings: GatewaySettings
    clock: Callable[[], datetime]
    database: Database
    unit: UnitOfWork
    guard: Guard
    limiter: Limiter
    known: Known
    seeing: Seeing
    sealing: Sealing
    waiting: Waiting
    settler: Settler
    catching_up: CatchingUp
    points: Owner
    redemption: Owner
    tail: Tail
    turning: Turning
    presence: Presence
    feed: Feed
    watching: Watching
    outside: Outside
    signing: Signing
    pressure: Pressure

    def tasks(self) -> dict[str, Part]:
        return {"presence": self.presence.run, "pressure": self.pressure.run, "tail": self.tail.run}

    def streams(self) -> dict[str, Part]:
        """What stops first: a door waits for whoever is inside, and listeners do not leave by themselves."""
        return {"streams": self.feed.run, "watching": self.watching.run}


@dataclass(frozen=True, slots=True)
class Work:
    """What goes on behind the routes."""

    consumer: Consumer
    pump: Pump
    giving_back: GivingBack
    turning: Turning
    prune: Part
    drop: Part
    feed: Feed
    deliverer: Deliverer

    def tasks(self) -> dict[str, Part]:
        return {
            "pump": self.pump.run,
            "giving back": self.giving_back.run,
            "turning": self.turning.run,
            "consumer": self.consumer.run,
            "pruning": self.prune,
            "dropping": self.drop,
            # What tells webhooks is stopped before what it listens to.
            "webhooks": self.deliverer.run,
            "feed": self.feed.run,
        }


@asynccontextmanager
async def connected(
    settings: GatewaySettings, health: Health, clock: Callable[[], datetime] = now
) -> AsyncIterator[Parts]:
    """Open the database and the outbox."""
    database = await Database.connect(
        settings.database_url.get_secret_value(),
        schema=SERVICE,
        application=f"laurel-{SERVICE}",
        pool_max=settings.database_pool_max,
    )
    try:
        outbox = await Outbox.load(SERVICE, database)
        relay = Relay(database, outbox, settings, health, sweep_seconds=settings.relay_sweep_seconds)
        async with database.transaction() as connection:
            key = await service_key(connection, vault_of(settings), SECRETS, token_bytes(KEY_BYTES))
        yield Parts(settings, health, clock, database, UnitOfWork(database, outbox, relay), relay, Signing(key))
    finally:
        await database.close()


@asynccontextmanager
async def answering(parts: Parts) -> AsyncIterator[Api]:
    """Join what answers callers; at its end the requests in hand are finished."""
    settings, database, clock = parts.settings, parts.database, parts.clock
    # Callers are told soon that they have to come back; what nobody waits for takes its time.
    for_callers = database.hurried(settings.database_wait_seconds)
    unit = UnitOfWork(for_callers, parts.unit.outbox, parts.relay)
    waiting = Waiting()
    presence = Presence(database)
    pressure = Pressure(database, settings.outbox_behind_max)
    asking: Gatherer[Ask, Recorded] = _gatherer(Asking(unit, waiting, presence.note, clock).record, settings)
    recording: Gatherer[Heard, None] = _gatherer(Recorder(for_callers, clock).write, settings)
    guard = Guard(for_callers, clock, settings.key_cache_seconds)
    await open_gateway(database, guard, clock, settings.admin_key_file)
    vault = vault_of(settings)
    async with database.transaction() as connection:
        # Before there was a key for it, identifiers were hashed by the secret itself.
        look_up = await service_key(connection, vault, LOOK_UP, settings.secret.get_secret_value().encode())
    token = settings.redemption_codes_token
    points = Owner("points", settings.points_url, settings.passed_on_seconds)
    redemption = Owner(
        "redemption",
        settings.redemption_url,
        settings.passed_on_seconds,
        token=token.get_secret_value() if token is not None else None,
    )
    outside = Outside(settings)
    seeing = Seeing(for_callers, settings)
    try:
        yield Api(
            settings,
            clock,
            for_callers,
            unit,
            guard,
            Limiter(settings.rate_limit, settings.rate_limits_by_route),
            Known(for_callers, seeing, look_up),
            seeing,
            Sealing(for_callers, vault),
            waiting,
            Settler(for_callers, asking, recording, lambda: pressure.is_too_high),
            CatchingUp(for_callers, redemption),
            points,
            redemption,
            Tail(
                _outcome_topics(settings),
                waiting.wanted,
                waiting.hear,
                settings,
                health=parts.health,
            ),
            Turning(database, points, redemption, parts.health, clock, interval_seconds=settings.turn_poll_seconds),
            presence,
            Feed(database, parts.health, poll_seconds=settings.events_poll_seconds),
            Watching(database),
            outside,
            parts.signing,
            pressure,
        )
    finally:
        await asking.close()
        await recording.close()
        await seeing.close()
        await points.close()
        await redemption.close()
        await outside.close()


async def reseal(settings: GatewaySettings) -> AsyncIterator[int]:
    """Seal by the secret that seals now what others sealed, or nobody; yields how much of each part that was."""
    vault = vault_of(settings)
    database = await Database.connect(
        settings.database_url.get_secret_value(), schema=SERVICE, application=f"laurel-{SERVICE}", pool_max=2
    )
    try:
        async for count in seal_again(database, vault):
            yield count
        sealing = Sealing(database, vault)
        while notes := await sealing.seal_notes():
            yield notes
    finally:
        await database.close()


@asynccontextmanager
async def rebuilding(settings: GatewaySettings, clock: Callable[[], datetime] = now) -> AsyncIterator[Rebuilding]:
    """Join what makes projections anew, beside whatever runs."""
    database = await Database.connect(
        settings.database_url.get_secret_value(), schema=SERVICE, application=f"laurel-{SERVICE}-rebuild", pool_max=2
    )
    points = Owner("points", settings.points_url, _REBUILD_SECONDS)
    redemption = Owner("redemption", settings.redemption_url, _REBUILD_SECONDS)
    try:
        yield Rebuilding(database, Retelling(points), Retelling(redemption), clock)
    finally:
        await points.close()
        await redemption.close()
        await database.close()


@asynccontextmanager
async def working(parts: Parts) -> AsyncIterator[Work]:
    """Join what projects outcomes and moves lines of batches."""
    settings, health, clock = parts.settings, parts.health, parts.clock
    pump = Pump(
        parts.unit,
        health,
        clock,
        in_flight_max=settings.batch_in_flight_max,
        in_flight_beside_callers=settings.batch_in_flight_beside_callers,
        yields_seconds=settings.batch_yields_seconds,
        poll_seconds=settings.batch_poll_seconds,
        silence_seconds=settings.batch_silence_seconds,
        published=parts.relay.drain,
    )
    points = Owner("points", settings.points_url, settings.passed_on_seconds)
    redemption = Owner("redemption", settings.redemption_url, settings.passed_on_seconds)
    giving_back = GivingBack(
        parts.database,
        CatchingUp(parts.database, redemption),
        health,
        pump.wake,
        seconds=settings.batch_poll_seconds,
    )

    def got_on() -> None:
        pump.wake()
        giving_back.wake()

    consumer = Consumer(
        f"{settings.kafka_prefix}-{SERVICE}",
        _outcome_topics(settings),
        Projector(clock, got_on, linger_seconds=settings.projecting_linger_seconds),
        parts.unit,
        settings,
        health,
        relay=parts.relay,
        types=TYPES | OUTSIDE,
        batch_max=settings.batch_max,
        gap_report_seconds=settings.gap_report_seconds,
    )
    turning = Turning(parts.database, points, redemption, health, clock, interval_seconds=settings.turn_poll_seconds)
    feed = Feed(parts.database, health, poll_seconds=settings.events_poll_seconds)
    deliverer = Deliverer(parts.database, feed, Outside(settings), parts.signing, settings, health, clock)
    try:
        yield Work(
            consumer,
            pump,
            giving_back,
            turning,
            partial(keep_pruned, parts.database, settings, SERVICE),
            partial(keep_dropping, parts.database, clock, settings, health),
            feed,
            deliverer,
        )
    finally:
        await points.close()
        await redemption.close()


def _outcome_topics(settings: GatewaySettings) -> list[str]:
    """Where outcomes are told; among dead letters, also our own, is told that a request is delayed or was given up."""
    prefix = settings.kafka_prefix
    speakers = ("points", "redemption")
    return [main_topic(name, prefix) for name in speakers] + [dead_topic(name, prefix) for name in (*speakers, SERVICE)]


def _gatherer(
    write: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]], settings: GatewaySettings
) -> Gatherer[Item, Result]:
    return Gatherer(
        write,
        set_max=settings.gather_max,
        waiting_max=settings.gather_waiting_max,
        isolates=is_data_error,
        repeats=is_conflict,
    )
