"""What events have in common, and the three bases: a part of what is said, an event, a body of HTTP.

Readers of events ignore fields they do not know, so that fields can be added; a body with an unknown field is
refused.
"""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from laurel.values import Id, Instant, Name, ProgramId, Reference, Version


class Said(BaseModel):
    """A part of an event."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    omits_defaults: ClassVar[bool] = False
    """Whether JSON made of the Struct leaves out what is at its default."""


class Body(BaseModel):
    """What a caller sends: unknown fields are refused, nothing is coerced."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    omits_defaults: ClassVar[bool] = True


class Cause(Said):
    """What led to an event, such as an activity, a redemption or a timer."""

    kind: Name
    id: Reference


class Versions(Said):
    """How a program stood when the gateway accepted a request: the newest versions that judge it, and its now."""

    program: Version
    partners: Version = 0
    as_of: Instant | None = None
    """The program's now, on a manual clock that was set."""


class Event(Said):
    """Base of every event. `at` is stamped once, by the entry that accepted what caused it."""

    TYPE: ClassVar[str]

    program: ProgramId
    member: Id | None = None
    at: Instant
    cause: Cause
