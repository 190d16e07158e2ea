"""What the other services say, kept for reads: request outcomes, member summaries, redemptions, rewards, batches.

And kept for others to hear, in the order in which it is kept here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from laurel.io.consumer import Handled, Poison
from laurel.io.together import Last
from services.gateway.declaring import NOTHING, Declared
from services.gateway.hearing import TELLS_ATTRIBUTES, NewEvent, event_of
from services.gateway.outcomes import told_by
from services.gateway.store import events
from services.gateway.store.recording import is_one_statement, record
from services.gateway.told.telling import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from laurel.io.database import Connection, Database
    from laurel.io.message import Message

_LINGER_MESSAGES: Final = 100


class Projector:
    """Handles the outcome topics for the group `laurel-gateway`. What it hears twice changes nothing."""

    def __init__(self, clock: Callable[[], datetime], counted: Callable[[], None], *, linger_seconds: float) -> None:
        """`counted` is called when lines of batches have been answered, and that is committed."""
        self._clock = clock
        self._counted = counted
        self._linger_seconds = linger_seconds
        self._declared = Declared()

    async def handle(self, connection: Connection, messages: list[Message]) -> Handled:
        names = {message.program for message in messages if message.type in TELLS_ATTRIBUTES}
        declared = await self._declared.of(connection, names)
        told: list[Told] = []
        heard: list[NewEvent] = []
        poisons: list[Poison] = []
        for message in messages:
            try:
                tells = told_by(message)
                event = event_of(message, declared.get(message.program, NOTHING))
            except (msgspec.MsgspecError, ValueError) as error:
                poisons.append(Poison(message, "undecodable", str(error)))
                continue
            told.append(tells)
            if event is not None:
                heard.append(event)
        if poisons:
            first, *others = poisons
            raise Poison(first.message, first.reason, first.detail, also=others)
        if len(messages) < _LINGER_MESSAGES:
            # Whoever waits for one of these is answered by an instance that writes the same rows in this moment.
            # A little later there is nothing left to write, and nobody waited for a lock of ours.
            await asyncio.sleep(self._linger_seconds)
        now = self._clock()
        counted = await record(connection, told, now)
        last = Last(events.appending(heard, now))
        return Handled(after_commit=self._counted if counted else None, last=last)


class Heard(NamedTuple):
    """What a waiting caller is about to be told. `is_first`: the request was made by that caller, so by no batch."""

    told: Told
    is_first: bool


class Recorder:
    """Writes the outcomes that waiting callers are about to be told, so that every instance shows them."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def write(self, heard: Sequence[Heard]) -> list[Exception | None]:
        """Record a set; what the gatherer of outcomes calls."""
        told = [each.told for each in heard]
        is_plain = all(each.is_first for each in heard) and is_one_statement(told)
        begin = self._database.connection if is_plain else self._database.transaction
        async with begin() as connection:
            await record(connection, told, self._clock())
        return [None] * len(told)
