"""Messages come in: a batch from Kafka goes down the road, what it announces goes to the outbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import prometheus_client

from laurel.contracts.processing import CannotProcessError
from laurel.io.consumer import Handled
from laurel.io.database import Connection
from laurel.io.handling import poison_of
from laurel.io.message import Message
from laurel.io.saying import MAIN, Saying
from laurel.io.together import Last
from services.redemption.deciders import MOVES_TURNS
from services.redemption.ports import Announcement, Store
from services.redemption.road import Road

SAID = prometheus_client.Counter("laurel_redemption_said_total", "Events of redemption, by type", ["type"])


class Deferring(Store, Protocol):
    """A store that writes by the statement with which a transaction ends, if it is told so."""

    def defer(self) -> Last:
        """Have what is written last go with what else the caller writes last; this is where it is put."""


StoreOf = Callable[[Connection], Deferring]
"""Opens the road's store in a transaction."""


class RedemptionHandler:
    """Answers the messages of the gateway and of points."""

    def __init__(self, road: Road, store_of: StoreOf, moved: Callable[[], None] | None = None) -> None:
        """`moved` is called when a turn of a clock may be able to go on, and what it waited for is committed."""
        self._road = road
        self._store_of = store_of
        self._moved = moved

    async def handle(self, connection: Connection, messages: list[Message]) -> Handled:
        """Apply the messages in the caller's transaction; what cannot be processed parks alone."""
        try:
            store = self._store_of(connection)
            last = store.defer()
            announcements = await self._road.run(store, messages)
        except CannotProcessError as error:
            raise poison_of(error) from error

        def committed() -> None:
            count(announcements)
            if self._moved is not None and any(message.type in MOVES_TURNS for message in messages):
                self._moved()

        return Handled(sayings_of(announcements), committed, last)


def sayings_of(announcements: Iterable[Announcement]) -> list[Saying]:
    """Return what the outbox takes."""
    return [Saying(MAIN, *said) for said in announcements]


def count(announcements: Sequence[Announcement]) -> None:
    """Count what was said, once it is committed."""
    for type_, number in Counter(said.type for said in announcements).items():
        SAID.labels(type_).inc(number)
