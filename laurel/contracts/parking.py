"""What the dead-letter topics carry."""

from typing import ClassVar

from laurel.contracts.envelope import Event
from laurel.values import Name, ShortText, Text, Version


class MessageParked(Event):
    """A message could not be processed; it and the later ones of its key wait."""

    TYPE: ClassVar[str] = "message.parked.v1"

    source: ShortText
    sequence: Version
    type: ShortText | None = None
    reason: Name
    detail: Text = ""


class MessageDiscarded(Event):
    """A parked message was given up by a person. The request that led to it ends refused, as `discarded`."""

    TYPE: ClassVar[str] = "message.discarded.v1"

    source: ShortText
    sequence: Version
    type: ShortText | None = None
    reason: Name
    detail: Text = ""
