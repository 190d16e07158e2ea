"""What the compacted topic of programs carries, one record for each version of a program and of a partner's terms."""

from typing import ClassVar, Literal

from laurel.contracts.envelope import Event
from laurel.values import Instant, JsonObject, PartnerId, Positive


class ProgramPublished(Event):
    """A version of a program. It never changes; `effective_from` is when it starts to judge."""

    TYPE: ClassVar[str] = "program.published.v1"

    version: Positive
    document: JsonObject
    effective_from: Instant
    published_at: Instant


class PartnerPublished(Event):
    """What is said of a partner of a program, from `since` on; without it, from the beginning.

    Versions are counted over all partners of the program, and never change.
    """

    TYPE: ClassVar[str] = "partner.published.v1"

    version: Positive
    partner: PartnerId
    state: Literal["applicant", "approved", "suspended", "terminated"]
    since: Instant | None = None
    billing: Literal["netting", "prepaid"] = "netting"
    published_at: Instant
