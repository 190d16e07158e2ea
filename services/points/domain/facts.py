"""What happened to a wallet, in past tense: the only things that move state, and the rows that are kept for ever.

A journal row stores its facts as one JSON array, each fact tagged with its name, so that `laurel verify` can fold
them again years later. Fields are therefore only ever added, with a default.

All amounts are integers in minor units of their `unit`. A lot is named by the journal that made it and its number
within that journal, so the order of posting is the order of these names.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from laurel.program import Returned
from laurel.program.standing import QualifyingCounted, QualifyingReturned, TierChanged, TierKept

__all__ = ["QualifyingCounted", "QualifyingReturned", "TierChanged", "TierKept"]
# The facts about tiers live with the program, because paper plays them too; here they are facts like any other.


class LotName(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Names a lot within its wallet: the journal that granted it, and its number there."""

    journal: int
    lot: int

    def __str__(self) -> str:
        return f"{self.journal}.{self.lot}"


class LotPart(msgspec.Struct, frozen=True, array_like=True):
    """A part of one lot: `amount` > 0."""

    name: LotName
    amount: int


class RuleJudged(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one earning rule made of an activity; `computed` before caps, `amount` granted."""

    rule: str
    fired: bool
    reason: str
    computed: int
    amount: int
    unit: str = ""


class Fact(msgspec.Struct, frozen=True, tag_field="fact", omit_defaults=True):
    """The root of all facts."""


class MemberEnrolled(Fact, frozen=True, tag=True):
    """A wallet was opened."""

    enrolled_at: datetime
    person: str | None = None
    attributes: dict[str, str | int | bool] = {}


class ActivityPosted(Fact, frozen=True, tag=True):
    """An activity was judged by `version` of its program and credited, perhaps with nothing.

    `active_until` names, for units that expire by inactivity, how long this activity keeps them; `member` are the
    attributes that the rules saw, so that a return is judged by the same, and so are `tier` and `tenure`. `stands` is
    the tier that the member had when it was posted; empty where there are none.
    """

    activity: str
    partner: str
    type: str
    occurred_at: datetime
    version: int
    decision: tuple[RuleJudged, ...] = ()
    active_until: dict[str, datetime] = {}
    member: dict[str, str | int | bool] = {}
    tier: str = ""
    tenure: int = 0
    stands: str = ""


class ActivityReturned(Fact, frozen=True, tag=True):
    """A return was posted against the activity `of`, which the wallet knows as journal `of_journal`.

    `returned` is everything that came back of the original so far, this return included; `decision` says how much
    of each rule's award this return claws back.
    """

    activity: str
    partner: str
    of: str
    of_journal: int
    version: int
    occurred_at: datetime
    returned: Returned
    decision: tuple[RuleJudged, ...] = ()
    stands: str = ""


class ActivityRefused(Fact, frozen=True, tag=True):
    """An activity or a return was refused for a reason that has a code."""

    activity: str
    partner: str
    code: str
    detail: str


class PointsGranted(Fact, frozen=True, tag=True):
    """One earning component made one lot, usable from `available_at` until just before `expires_at`."""

    lot: int
    unit: str
    rule: str
    amount: int
    activity: str
    partner: str
    earned_at: datetime
    available_at: datetime
    funder: str
    version: int
    expires_at: datetime | None = None


class DebtPaid(Fact, frozen=True, tag=True):
    """Points that became available paid what the member owed (S11)."""

    unit: str
    parts: tuple[LotPart, ...]


class PointsClawedBack(Fact, frozen=True, tag=True):
    """A return took back what `rule` had granted in the original (S10).

    `amount` = taken + expired + owed: parts taken from lots, what had expired already and is not asked for, and
    what the member now owes. `origin` is the lot of the original.
    """

    unit: str
    rule: str
    funder: str
    amount: int
    taken: tuple[LotPart, ...] = ()
    expired: int = 0
    owed: int = 0
    origin: LotName | None = None


class PointsHeld(Fact, frozen=True, tag=True):
    """Points were set aside without being spent; `saga` holds have no time-out of their own."""

    hold: str
    unit: str
    amount: int
    parts: tuple[LotPart, ...]
    saga: bool = True


class HoldRefused(Fact, frozen=True, tag=True):
    """Points could not be set aside."""

    hold: str
    unit: str
    amount: int
    code: str
    available: int = 0
    shortfall: int = 0


class PointsCaptured(Fact, frozen=True, tag=True):
    """Held points were spent."""

    hold: str
    unit: str
    amount: int
    parts: tuple[LotPart, ...]


class PointsReleased(Fact, frozen=True, tag=True):
    """Held points were given back to the lots they came from.

    `closed` marks a release that came before its hold: the hold is refused when it arrives.
    """

    hold: str
    unit: str
    amount: int
    parts: tuple[LotPart, ...]
    closed: bool = False


class LotsExpired(Fact, frozen=True, tag=True):
    """Lots reached the first moment at which they are no longer good."""

    unit: str
    parts: tuple[LotPart, ...]

    @property
    def amount(self) -> int:
        """Return the sum of the parts."""
        return sum(part.amount for part in self.parts)


class StatusMatchRefused(Fact, frozen=True, tag=True):
    """A rival's tier was not matched."""

    match: str
    tier: str
    code: str
    detail: str = ""


AnyFact = (
    MemberEnrolled
    | ActivityPosted
    | ActivityReturned
    | ActivityRefused
    | PointsGranted
    | DebtPaid
    | PointsClawedBack
    | PointsHeld
    | HoldRefused
    | PointsCaptured
    | PointsReleased
    | LotsExpired
    | QualifyingCounted
    | QualifyingReturned
    | TierChanged
    | TierKept
    | StatusMatchRefused
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[AnyFact, ...])


def encode_facts(facts: tuple[AnyFact, ...]) -> bytes:
    """Write facts as the JSON that a journal row keeps."""
    return _encoder.encode(facts)


def decode_facts(raw: bytes) -> tuple[AnyFact, ...]:
    """Read what `encode_facts` wrote; raises `msgspec.ValidationError` on anything else."""
    return _decoder.decode(raw)
