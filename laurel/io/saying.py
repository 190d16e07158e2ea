"""What a service wants to say: handed to the outbox in the transaction of the change it speaks of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

MAIN = ""
"""The stream of a service's own topic."""
DEAD = "dead"
"""The stream of the service's dead-letter topic."""
PROGRAMS = "programs"
"""The stream of the compacted topic of program and partner states."""


@dataclass(frozen=True, slots=True)
class Saying:
    """One event, not yet numbered.

    `stream` is '' for the service's main topic, else 'dead' or 'programs'. `member` is '' where the event has
    none. `causation` is the id of the message that led to it, `correlation` the gateway's request id.
    `key` is the Kafka key where it is not `program:member` (the programs topic is keyed `program:version`);
    numbers are counted per (program, member, stream) whatever the key.
    """

    stream: str
    program: str
    member: str
    type: str
    body: bytes
    at: datetime
    causation: str = ""
    correlation: str = ""
    traceparent: str = ""
    key: str = ""
