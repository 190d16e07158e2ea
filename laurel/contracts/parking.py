"""What the dead-letter topics carry."""

from typing import ClassVar, Final

from laurel.contracts.envelope import Event
from laurel.values import Name, ShortText, Text, Version

VERSION_UNKNOWN: Final = "program_version_unknown"
"""The reason of a message that carries a version of a program which has not come; it is tried again when it has."""


def version_unknown(program: str, version: int) -> str:
    """Return the detail of such a message. It begins with the key of the record that is waited for."""
    return f"{program}:{version} has not come"


class _OfMessage(Event):
    """Names a message that was parked, and why."""

    source: ShortText
    sequence: Version
    type: ShortText | None = None
    reason: Name
    detail: Text = ""


class _Done(_OfMessage):
    """And who did something with it."""

    actor: ShortText | None = None
    """Who did it, as the machine knows them on which it was asked for."""


class MessageParked(_OfMessage):
    """A message could not be processed; it and the later ones of its key wait."""

    TYPE: ClassVar[str] = "message.parked.v1"


class MessageDiscarded(_Done):
    """A parked message was given up by a person. The request that led to it ends refused, as `discarded`."""

    TYPE: ClassVar[str] = "message.discarded.v1"


class MessageRetried(_Done):
    """A person had a parked message tried again; it may be parked once more."""

    TYPE: ClassVar[str] = "message.retried.v1"
