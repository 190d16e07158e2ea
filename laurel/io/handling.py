"""What a service does with messages: the handler it hands to its consumer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from laurel.io.inbox import Place, Wrong

if TYPE_CHECKING:
    from laurel.contracts.processing import CannotProcessError
    from laurel.io.database import Connection
    from laurel.io.message import Message
    from laurel.io.saying import Saying
    from laurel.io.together import Last


class Poison(Exception):  # noqa: N818 - the message is at fault, not the program
    """Raised by a handler: this message can never be processed. It is parked, and its key waits behind it.

    A handler that has looked at the whole batch may name further ones in `also`, which spares reruns.
    """

    def __init__(self, message: Message, reason: str, detail: str = "", *, also: Sequence[Poison] = ()) -> None:
        super().__init__(reason, detail)
        self.message = message
        self.reason = reason
        self.detail = detail
        self.also = tuple(also)

    def places(self) -> dict[Place, Wrong]:
        """Return every message named, with why."""
        return {poison.message.place: Wrong(poison.reason, poison.detail) for poison in (self, *self.also)}


def poison_of(error: CannotProcessError) -> Poison:
    """Return what a consumer parks for what a road cannot process, whose messages are the consumer's own."""
    also = [poison_of(each) for each in error.also]
    return Poison(cast("Message", error.message), error.reason, error.detail, also=also)


@dataclass(slots=True)
class Handled:
    """What came of a batch: what is to be said of it, what to call once it is committed, what is still to be written.

    That goes with where the inbox moves and with what is said, by one statement.
    """

    sayings: Sequence[Saying] = ()
    after_commit: Callable[[], None] | None = None
    last: Last | None = None


class Handler(Protocol):
    """What a service does with messages."""

    async def handle(self, connection: Connection, messages: list[Message]) -> Handled:
        """Apply the messages in order, within the caller's transaction.

        May be called again with the same messages after a rollback, so it keeps nothing outside the transaction
        before `after_commit`. Raises `Poison` for a message that can never be processed.
        """
