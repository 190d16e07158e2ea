"""Messages come in: a batch from Kafka goes down the road, what it announces goes to the outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from laurel.io.consumer import Handled, Poison
from laurel.io.database import Connection
from laurel.io.message import Message
from laurel.io.saying import MAIN, Saying
from services.points.ports import Announcement, Store
from services.points.road import CannotProcessError, Road


class PointsHandler:
    """Answers the messages of the gateway and of redemption."""

    def __init__(self, road: Road, ledger: Callable[[Connection], Store]) -> None:
        self._road = road
        self._ledger = ledger

    async def handle(self, connection: Connection, messages: list[Message]) -> Handled:
        """Apply the messages in the caller's transaction; what cannot be processed parks alone."""
        try:
            announcements = await self._road.run(self._ledger(connection), messages)
        except CannotProcessError as error:
            raise _poison(error) from error
        return Handled(sayings_of(announcements))


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


def _poison(error: CannotProcessError) -> Poison:
    also = [_poison(each) for each in error.also]
    return Poison(cast("Message", error.message), error.reason, error.detail, also=also)
