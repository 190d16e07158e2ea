"""What every service's road does with messages that it cannot process: one of them never takes others with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

MessageT = TypeVar("MessageT")
StepT = TypeVar("StepT")


class CannotProcessError(Exception):
    """One message can not be processed and must not take others with it: the caller parks it.

    `also` names further ones, so that a batch with many of them need not be run again for each.
    """

    def __init__(self, message: object, reason: str, detail: str) -> None:
        """`message` is what the road was given."""
        super().__init__(f"{reason}: {detail}")
        self.message = message
        self.reason = reason
        self.detail = detail
        self.also: tuple[CannotProcessError, ...] = ()


def read_each(messages: Iterable[MessageT], read: Callable[[MessageT], StepT | None]) -> list[StepT]:
    """Return what each message reads as, but those that read as None.

    Raises `CannotProcessError` naming all that cannot be read.
    """
    steps: list[StepT] = []
    wrong: list[CannotProcessError] = []
    for message in messages:
        try:
            step = read(message)
        except CannotProcessError as error:
            wrong.append(error)
            continue
        if step is not None:
            steps.append(step)
    if wrong:
        wrong[0].also = tuple(wrong[1:])
        raise wrong[0]
    return steps
