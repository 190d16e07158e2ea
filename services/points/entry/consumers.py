"""Messages come in: a batch from Kafka goes down the road, what it announces goes to the outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from laurel.contracts.processing import CannotProcessError
from laurel.io.consumer import Handled
from laurel.io.database import Connection
from laurel.io.handling import poison_of
from laurel.io.message import Message
from laurel.io.saying import MAIN, Saying
from laurel.io.together import Last
from services.points.deciders import OF_PROGRAMS
from services.points.ports import Announcement, Store
from services.points.road import Road


class Deferring(Store, Protocol):
    """A store that writes by the statement with which a transaction ends, if it is told so."""

    def defer(self) -> Last:
        """Have what is written last go with what else the caller writes last; this is where it is put."""


class PointsHandler:
    """Answers the messages of the gateway and of redemption."""

    def __init__(
        self, road: Road, ledger: Callable[[Connection], Deferring], turned: Callable[[], None] | None = None
    ) -> None:
        """`turned` is called when somebody has asked for a clock to be turned, and that is committed."""
        self._road = road
        self._ledger = ledger
        self._turned = turned

    async def handle(self, connection: Connection, messages: list[Message]) -> Handled:
        """Apply the messages in the caller's transaction; what cannot be processed parks alone."""
        try:
            ledger = self._ledger(connection)
            last = ledger.defer()
            announcements = await self._road.run(ledger, messages)
        except CannotProcessError as error:
            raise poison_of(error) from error
        turns = self._turned is not None and any(message.type in OF_PROGRAMS for message in messages)
        return Handled(sayings_of(announcements), self._turned if turns else None, last)


def sayings_of(announcements: Iterable[Announcement]) -> list[Saying]:
    """Return what the outbox takes."""
    return [
        Saying(
            MAIN,
            said.program,
            said.member,
            said.type,
            said.body,
            said.at,
            said.causation,
            said.correlation,
            said.traceparent,
        )
        for said in announcements
    ]
