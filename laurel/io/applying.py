"""One batch of messages becomes one transaction, and one bad message never takes others with it.

Poison is parked and the rest runs again without it. What the database refuses as data is rolled back and run again
in halves until it stands alone. Transactions that collided run again. Anything else is raised: nothing is parked.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from laurel.io import inbox, parking
from laurel.io.database import is_conflict, is_data_error, sqlstate
from laurel.io.handling import Handler, Poison
from laurel.io.inbox import Key, Place, Sifted, Wrong
from laurel.io.message import Message, Undecodable, decode
from laurel.io.telemetry import CONSUMED, RERUNS, logger
from laurel.io.together import Last

if TYPE_CHECKING:
    from laurel.io.database import Connection
    from laurel.io.outbox import Added
    from laurel.io.unit import UnitOfWork, Work

log = logger(__name__)

_CONFLICTS_MAX = 20
_REFUSED = "refused_by_database"

Preparation = Callable[["Connection"], Awaitable[None]]


class _CarelessError(Exception):
    """Something is parked, and nobody had looked."""


class Applier:
    """Applies messages through one handler, each once and in the order of its key."""

    def __init__(self, group: str, handler: Handler, unit: UnitOfWork, *, types: Collection[str] | None = None) -> None:
        """`types`: what the handler wants; messages of other types only move the inbox."""
        self._group = group
        self._handler = handler
        self._unit = unit
        self._types = frozenset(types) if types is not None else None
        self._last_fresh: list[Message] = []
        # While nothing at all is parked, nobody looks for parked messages first; the inbox's own statement notices.
        self._careful = True

    async def apply(self, messages: list[Message]) -> None:
        """Apply a batch: in one transaction, or in as many as it takes to find what the database refuses."""
        try:
            await self._attempt(messages)
        except Exception as error:
            if not is_data_error(error):
                raise
            RERUNS.labels(self._group, "data").inc()
            log.warning("the database refused a batch", group=self._group, size=len(messages), error=repr(error))
            await self._isolate(messages)
            # What had waited for these was left aside, so that it could not be mistaken for them.
            async with self._unit.database.connection() as connection:
                keys = await parking.waiting_keys(connection, sorted({message.key for message in messages}))
            await self._pull_singly(keys)

    async def park_bytes(self, records: Sequence[Undecodable]) -> None:
        """Park records that are no messages, each alone."""
        async with self._unit.begin() as work:
            for record in await inbox.park_bytes(work.connection, records):
                work.say(parking.undecodable_saying(record))
                CONSUMED.labels(self._group, "undecodable").inc()
                log.error(
                    "bytes parked",
                    group=self._group,
                    source=record.source,
                    offset=record.offset,
                    detail=record.detail,
                )

    async def retry_wanted(self, topics: Sequence[str]) -> None:
        """Try again the parked messages of which an operator wants it, each key in order."""
        async with self._unit.database.connection() as connection:
            keys, records = await parking.wanted(connection, topics)
        await self._pull_singly(keys)
        for place, record in records:
            again = decode(record)
            if isinstance(again, Undecodable):
                async with self._unit.database.transaction() as connection:
                    await parking.undecodable_still(connection, place, again.detail)
            else:
                await self._attempt([again], first=_forgetting(place))

    async def _isolate(self, messages: list[Message]) -> None:
        if len(messages) > 1:
            middle = len(messages) // 2
            for half in (messages[:middle], messages[middle:]):
                try:
                    await self._attempt(half, pull_max=0)
                except Exception as error:
                    if not is_data_error(error):
                        raise
                    await self._isolate(half)
            return
        try:
            await self._attempt(messages, pull_max=0)
        except Exception as error:
            if not is_data_error(error):
                raise
            await self._attempt(messages, pull_max=0, wrong={messages[0].place: Wrong(_REFUSED, _told(error))})

    async def _pull_singly(self, keys: Sequence[Key]) -> None:
        """Apply what waits of these keys and whose turn has come, one transaction for each message."""
        for key in keys:
            wrong: dict[Place, Wrong] = {}
            while True:
                self._last_fresh = []
                try:
                    sifted = await self._attempt([], keys=[key], pull_max=1, wrong=wrong)
                except Exception as error:
                    if not is_data_error(error) or not self._last_fresh:
                        raise
                    wrong[self._last_fresh[0].place] = Wrong(_REFUSED, _told(error))
                    continue
                if not sifted.fresh:
                    break

    async def _attempt(
        self,
        messages: list[Message],
        *,
        keys: Sequence[Key] = (),
        pull_max: int | None = None,
        wrong: Mapping[Place, Wrong] | None = None,
        first: Preparation | None = None,
    ) -> Sifted:
        """Run one transaction, again where transactions collided, and without the messages found to be poison."""
        known: dict[Place, Wrong] = dict(wrong or {})
        conflicts = 0
        while True:
            try:
                async with self._unit.begin() as work:
                    if first is not None:
                        await first(work.connection)
                    careful = self._careful or bool(keys or known or first)
                    sifted = await inbox.sift(work.connection, messages, known, keys, pull_max, careful=careful)
                    await self._handle(work, sifted)
                    work.last.append(Last(inbox.moving(sifted)))
                    work.look(partial(_look, sifted))
                    work.heard = sifted.fresh
            except _CarelessError:
                self._careful = True
            except Poison as poison:
                found = poison.places()
                if found.keys() <= known.keys():
                    raise RuntimeError("a handler calls poison what it was not given") from poison
                known.update(found)
                RERUNS.labels(self._group, "poison").inc()
            except Exception as error:
                if not is_conflict(error) or conflicts >= _CONFLICTS_MAX:
                    raise
                conflicts += 1
                RERUNS.labels(self._group, "conflict").inc()
                await asyncio.sleep(random.uniform(0, 0.002 * conflicts))  # noqa: S311 - jitter, not a secret
            else:
                self._careful = sifted.any_parked
                self._count(sifted)
                return sifted

    async def _handle(self, work: Work, sifted: Sifted) -> None:
        self._last_fresh = sifted.fresh
        types = self._types
        wanted = sifted.fresh if types is None else [each for each in sifted.fresh if each.type in types]
        if wanted:
            handled = await self._handler.handle(work.connection, wanted)
            work.say_all(handled.sayings)
            if handled.last is not None:
                work.last.append(handled.last)
            if handled.after_commit is not None:
                work.after_commit(handled.after_commit)
        for message, why in (*sifted.parked, *sifted.behind):
            # Who hears its own dead letters may park one of them; to say that would make the next, and so on for ever.
            if message.type not in parking.TELLING:
                work.say(parking.parked_saying(message, why))

    def _count(self, sifted: Sifted) -> None:
        for outcome, count in (
            ("applied", len(sifted.fresh)),
            ("repeated", sifted.repeats),
            ("waiting", len(sifted.waiting)),
            ("parked", len(sifted.parked)),
        ):
            if count:
                CONSUMED.labels(self._group, outcome).inc(count)
        for message, why in sifted.parked:
            log.error(
                "message parked",
                group=self._group,
                source=message.source,
                sequence=message.sequence,
                program=message.program,
                member=message.member,
                type=message.type,
                reason=why.reason,
                detail=why.detail,
            )


def _look(sifted: Sifted, added: Added) -> None:
    if not inbox.was_sound(sifted, any_parked=added.any_parked):
        raise _CarelessError


def _forgetting(place: Place) -> Preparation:
    async def forget(connection: Connection) -> None:
        await parking.forget(connection, place)

    return forget


def _told(error: BaseException) -> str:
    """Say why the database refused, without the values that its own words quote: those are nobody's business."""
    state = sqlstate(error)
    constraint = getattr(error, "constraint_name", "") or ""
    return f"SQLSTATE {state} {constraint}".strip() if state else type(error).__name__
