"""What the compacted topic of programs carries, one record for each version."""

from typing import ClassVar

from laurel.contracts.envelope import Event
from laurel.values import Instant, JsonObject, Positive


class ProgramPublished(Event):
    """A version of a program. It never changes; `effective_from` is when it starts to judge."""

    TYPE: ClassVar[str] = "program.published.v1"

    version: Positive
    document: JsonObject
    effective_from: Instant
    published_at: Instant
