"""What happened to a wallet, in past tense: the only things that move state, and the rows that are kept for ever.

A journal row stores its facts as one JSON array, each fact tagged with its name, so that `laurel verify` can fold
them again years later. Fields are therefore only ever added, with a default.

All amounts are integers in minor units of their `unit`. A lot is named by the journal that made it and its number
within that journal, so the order of posting is the order of these names.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from laurel.program import Returned
from laurel.program.belonging import SegmentsChanged
from laurel.program.standing import QualifyingCounted, QualifyingJoined, QualifyingReturned, TierChanged, TierKept
from services.points.domain.fact import Counted, Fact, LotName, LotPart, PartThere
from services.points.domain.households import Household, HouseholdChanged
from services.points.domain.joined import (
    MemberAbsorbed,
    MemberMerged,
    MemberParted,
    MemberUnmerged,
    MergeRefused,
)
from services.points.domain.sharing import LotReceived, PointsReceived, PointsSent, TransferRefused

__all__ = [
    "Counted",
    "Fact",
    "Household",
    "HouseholdChanged",
    "LotName",
    "LotPart",
    "LotReceived",
    "MemberAbsorbed",
    "MemberMerged",
    "MemberParted",
    "MemberUnmerged",
    "MergeRefused",
    "PartThere",
    "PointsReceived",
    "PointsSent",
    "QualifyingCounted",
    "QualifyingJoined",
    "QualifyingReturned",
    "SegmentsChanged",
    "TierChanged",
    "TierKept",
    "TransferRefused",
]
# The facts about tiers and segments live with the program, because paper plays them too; they are facts like any other.


class Cut(msgspec.Struct, frozen=True, omit_defaults=True):
    """What caps took off an award, with the reason of the cap that left least room (S6).

    `refill` of it may be granted once a return makes room in the window of `counter` that starts at `start`.
    """

    cap: str
    cut: int
    counter: str = ""
    start: datetime | None = None
    refill: int = 0


class Unrefused(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of what a window's cap had refused that will not be granted any more: it came back itself."""

    journal: int
    rule: str
    amount: int


class RuleJudged(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one earning rule made of an activity; `computed` before caps, `amount` granted."""

    rule: str
    fired: bool
    reason: str
    computed: int
    amount: int
    unit: str = ""
    capped_by: tuple[Cut, ...] = ()

    def shown(self) -> dict[str, Any]:
        """Return it as callers read it."""
        return {
            "rule": self.rule,
            "fired": self.fired,
            "reason": self.reason,
            "computed": self.computed,
            "amount": self.amount,
            "capped_by": [{"cap": cut.cap, "cut": cut.cut} for cut in self.capped_by],
        }


class Share(msgspec.Struct, frozen=True, array_like=True):
    """What others got for an activity: whose wallet, and in which of its journals."""

    member: str
    journal: int


class MemberEnrolled(Fact, frozen=True, tag=True):
    """A wallet was opened."""

    enrolled_at: datetime
    person: str | None = None
    attributes: dict[str, str | int | bool] = {}  # noqa: RUF012  # each gets its own
    referred_by: str | None = None


class MemberChanged(Fact, frozen=True, tag=True):
    """Something about the member is another: person and attributes as they stand from now on, all of them."""

    change: str
    person: str | None = None
    attributes: dict[str, str | int | bool] = {}  # noqa: RUF012  # each gets its own


class MemberClosed(Fact, frozen=True, tag=True):
    """The member takes part no more."""

    change: str


class MemberErased(Fact, frozen=True, tag=True):
    """Nobody knows any more who the member is. It was a part of the account `of`, or `accounts` were parts of it."""

    change: str
    of: str | None = None
    accounts: tuple[str, ...] = ()


class MemberChangeRefused(Fact, frozen=True, tag=True):
    """A member was not changed, not closed or not erased."""

    change: str
    asked: str
    code: str
    detail: str = ""


class ReferrerNamed(Fact, frozen=True, tag=True):
    """It is known now who referred the member; the first who did counts."""

    referrer: str


class BirthdayAwaited(Fact, frozen=True, tag=True):
    """The member's next birthday is known."""

    at: datetime


class ActivityPosted(Fact, frozen=True, tag=True):
    """An activity was judged by `version` of its program and credited, perhaps with nothing.

    `active_until` names, for units that expire by inactivity, how long this activity keeps them; `member` are the
    attributes that the rules saw, so that a return is judged by the same, and so are `tier`, `tenure` and `segments`.
    `stands` is the tier that the member had when it was posted; empty where there are none. `counted` are the counters
    of caps and limits that it moved. `shares` is what others got for it; with `share_of` this is such a share, of that
    member's. A `brief` decision names only those rules that are not silent: what the others say follows from the
    version, the type and the instant (`laurel.program.outcomes`).
    """

    activity: str
    partner: str
    type: str
    occurred_at: datetime
    version: int
    decision: tuple[RuleJudged, ...] = ()
    active_until: dict[str, datetime] = {}  # noqa: RUF012  # each gets its own
    member: dict[str, str | int | bool] = {}  # noqa: RUF012  # each gets its own
    counted: tuple[Counted, ...] = ()
    tier: str = ""
    tenure: int = 0
    stands: str = ""
    segments: tuple[str, ...] = ()
    shares: tuple[Share, ...] = ()
    share_of: str = ""
    brief: bool = False


class TenderBack(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a return gives back of how the original was paid: of `amount`, what lies between two positions.

    All returns of an activity move from 0 to the amount, so that all parts make the whole.
    """

    kind: str
    ref: str
    amount: int
    before: int
    after: int


class ActivityReturned(Fact, frozen=True, tag=True):
    """A return was posted against the activity `of`, which the wallet knows as journal `of_journal`.

    `returned` is everything that came back of the original so far, this return included; `decision` says how much
    of each rule's award this return claws back. `counted` are the counters that it moved, down by what is taken back
    and up by what is refilled; `unrefused` is what the original had been refused and has itself come back.
    """

    activity: str
    partner: str
    of: str
    of_journal: int
    version: int
    occurred_at: datetime
    returned: Returned
    decision: tuple[RuleJudged, ...] = ()
    counted: tuple[Counted, ...] = ()
    unrefused: tuple[Unrefused, ...] = ()
    stands: str = ""
    share_of: str = ""
    tenders: tuple[TenderBack, ...] = ()


class ActivityRefused(Fact, frozen=True, tag=True):
    """An activity or a return was refused for a reason that has a code; `facts` explain it to the caller."""

    activity: str
    partner: str
    code: str
    detail: str
    facts: dict[str, dict[str, str]] = {}  # noqa: RUF012  # each gets its own


class BudgetDrawn(Fact, frozen=True, tag=True):
    """A rule granted so much from what it may grant to all members together."""

    rule: str
    amount: int


class KeyTaken(Fact, frozen=True, tag=True):
    """A thing that may be credited once among the programs of `group` was credited here."""

    group: str
    key: str


class PersonCounted(Fact, frozen=True, tag=True):
    """All members of a person together have earned by a rule so often more, or less, in a window."""

    person: str
    counter: str
    start: datetime
    amount: int


class PointsGranted(Fact, frozen=True, tag=True):
    """One earning component made one lot, usable from `available_at` until just before `expires_at`.

    With `of_journal` it is a refill: a return made room for what a cap had refused to the activity of that journal.
    The lot is pending where it `awaits` something (a date, approval, or `event:` and a type) or its block does not
    cover it yet; a pending lot counts in no sum but `pending`.
    """

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
    of_journal: int = 0
    awaits: str = ""
    unfunded: bool = False

    @property
    def is_pending(self) -> bool:
        """Say whether the points do not count yet."""
        return self.unfunded or bool(self.awaits)


class PendingReleased(Fact, frozen=True, tag=True):
    """Pending points became available, for `reason`: date, event, approval or funding; `funders` pay for the parts."""

    unit: str
    parts: tuple[LotPart, ...]
    funders: tuple[str, ...]
    reason: str
    activity: str = ""
    partner: str = ""


class PendingGivenUp(Fact, frozen=True, tag=True):
    """Pending points of one lot will not be granted: approval was refused, or their end came first.

    `of_journal` is the one of the activity that it adds to, where a return had made the lot.
    """

    unit: str
    rule: str
    funder: str
    part: LotPart
    of_journal: int = 0

    @property
    def posted_in(self) -> int:
        """Return the journal of the activity that granted the points."""
        return self.of_journal or self.part.name.journal


class PendingDecided(Fact, frozen=True, tag=True):
    """Somebody decided about the pending points of an activity, or could not: `code` says why.

    `amount` is what waited in all wallets that the activity gave something to; with `share_of` this one has a share of
    that member's activity, and it is its own. `counted` are the counters that giving up moved, down by what is given up
    and up by what is refilled; `unrefused` is what caps had refused to the award that was given up. `theirs` is what
    others gave up, by rule, of the activity that the wallet knows as journal `of_journal`. `ended` says that nobody
    decided: the points' end came before what they awaited, and `amount` is what this wallet alone gives up.
    """

    activity: str
    partner: str
    approved: bool
    amount: int = 0
    code: str = ""
    counted: tuple[Counted, ...] = ()
    unrefused: tuple[Unrefused, ...] = ()
    of_journal: int = 0
    theirs: dict[str, int] = {}  # noqa: RUF012  # each gets its own
    share_of: str = ""
    ended: bool = False


class FundingAwaited(Fact, frozen=True, tag=True):
    """An activity waits, as `number` in the queue of a prepaid block, until that covers what it was granted.

    With `of_journal` it is that journal's, which waited elsewhere before.
    """

    activity: str
    partner: str
    funder: str
    unit: str
    number: int
    of_journal: int = 0


class FundingGiven(Fact, frozen=True, tag=True):
    """What the activity of `of_journal` was granted is covered by its blocks; it has left the queue it was in.

    `reference` names the payment that brought it about; `stands` is the tier that the member had then, empty where
    there are none.
    """

    activity: str
    partner: str
    of_journal: int
    version: int
    reference: str
    stands: str = ""


class BlockDrawn(Fact, frozen=True, tag=True):
    """Granted points were taken off what their funder has paid for in advance."""

    funder: str
    unit: str
    amount: int


class DebtPaid(Fact, frozen=True, tag=True):
    """Points that became available paid what the member owed (S11)."""

    unit: str
    parts: tuple[LotPart, ...]


class PointsClawedBack(Fact, frozen=True, tag=True):
    """A return took back what `rule` had granted in the original (S10).

    `amount` = pending + taken + expired + owed: parts of pending lots, parts taken from others, what had expired
    already, here or in an account to which the lots had gone on, and is not asked for, and what the member now owes.
    `origin` is the lot of the original; where refills have made further lots of it, `excused` says of which lots the
    expired part is. `elsewhere` is the part of it that had expired in lots of accounts of which this one is a part;
    before 0160 `there` was that of the last of them, and what expired between was said of `origin`.
    """

    unit: str
    rule: str
    funder: str
    amount: int
    taken: tuple[LotPart, ...] = ()
    expired: int = 0
    owed: int = 0
    origin: LotName | None = None
    excused: tuple[LotPart, ...] = ()
    pending: tuple[LotPart, ...] = ()
    there: tuple[LotPart, ...] = ()
    elsewhere: tuple[PartThere, ...] = ()


class BonusTakenBack(Fact, frozen=True, tag=True):
    """A return left less in a window than a bonus asks for, which was given with the activity of `of_journal`.

    `amount` is what was left of it; a clawback of `rule` beside this says from which lots it was taken.
    """

    counter: str
    start: datetime
    rule: str
    of_journal: int
    activity: str
    partner: str
    amount: int


class PointsHeld(Fact, frozen=True, tag=True):
    """Points were set aside without being spent; `saga` holds have no time-out of their own.

    `partner` honours the points, `reference` is the caller's word for what they pay. `waits_until` is when a sandbox's
    clock ends the wait of a redemption; that it is over, redemption says.
    """

    hold: str
    unit: str
    amount: int
    parts: tuple[LotPart, ...]
    saga: bool = True
    expires_at: datetime | None = None
    partner: str = ""
    reference: str = ""
    waits_until: datetime | None = None


class HoldRefused(Fact, frozen=True, tag=True):
    """Points could not be set aside, or what was `asked` of a hold (capture, release, cancel) could not be done."""

    hold: str
    unit: str
    amount: int
    code: str
    available: int = 0
    shortfall: int = 0
    asked: str = "hold"
    saga: bool = True


class PointsCaptured(Fact, frozen=True, tag=True):
    """Held points were spent; of a hold that is captured in part the rest was released just before."""

    hold: str
    unit: str
    amount: int
    parts: tuple[LotPart, ...]


class PointsReleased(Fact, frozen=True, tag=True):
    """Held points were given back to the lots they came from.

    `closed` marks a release that came before its hold: the hold is refused when it arrives. `state` is how the hold
    ended: released, or expired by itself. `rest` marks what a capture left over: the hold does not end with it.
    """

    hold: str
    unit: str
    amount: int
    parts: tuple[LotPart, ...]
    closed: bool = False
    state: str = "released"
    rest: bool = False


class PointsRestored(Fact, frozen=True, tag=True):
    """A capture was undone, whole or in part: `parts` are back in the lots they came from, with their old end (S13).

    `renewed` are parts whose lots have ended since, through no choice of the member: they lie in new lots. `by_return`
    names the return that gave it back.
    """

    hold: str
    unit: str
    amount: int
    by: str
    parts: tuple[LotPart, ...] = ()
    renewed: tuple[LotPart, ...] = ()
    by_return: str = ""


class LotRenewed(Fact, frozen=True, tag=True):
    """Points that a cancelled capture gave back after their lots had ended lie in a new lot (S13).

    It is named after the hold and no activity: a return of one of those it came from has no first claim to it.
    """

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
    hold: str
    expires_at: datetime | None = None


class LotsExpired(Fact, frozen=True, tag=True):
    """Lots reached the first moment at which they are no longer good."""

    unit: str
    parts: tuple[LotPart, ...]

    @property
    def amount(self) -> int:
        """Return the sum of the parts."""
        return sum(part.amount for part in self.parts)


class PointsRevived(Fact, frozen=True, tag=True):
    """Points that had ended by inactivity are good again: the activity had kept them alive, and was reported late."""

    unit: str
    parts: tuple[LotPart, ...]
    activity: str
    partner: str


class PointsConverted(Fact, frozen=True, tag=True):
    """Points became a voucher of `value`, at a date of the program: `parts` are spent, the rest is carried."""

    conversion: str
    unit: str
    amount: int
    parts: tuple[LotPart, ...]
    voucher: str
    value: int
    currency: str
    due_at: datetime
    version: int
    expires_at: datetime | None = None
    not_above_basket: bool = False


class AdjustmentWaiting(Fact, frozen=True, tag=True):
    """Points are to be given or taken, and somebody whose limit suffices has to decide about it."""

    adjustment: str
    unit: str
    amount: int
    reason: str
    partner: str
    expires_at: datetime | None = None


class PointsAdjusted(Fact, frozen=True, tag=True):
    """A person's decision gave points (a `LotAdjusted` follows) or took `parts`; what was not there is owed.

    `expires_at` is the end that was asked for; the lot ends with its day.
    """

    adjustment: str
    unit: str
    amount: int
    reason: str
    partner: str
    parts: tuple[LotPart, ...] = ()
    owed: int = 0
    expires_at: datetime | None = None


class LotAdjusted(Fact, frozen=True, tag=True):
    """Points that a person's decision gave lie in a new lot."""

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


class AdjustmentRefused(Fact, frozen=True, tag=True):
    """An adjustment, or a decision about one, could not be done."""

    adjustment: str
    unit: str
    amount: int
    code: str
    available: int = 0
    shortfall: int = 0


class AdjustmentRejected(Fact, frozen=True, tag=True):
    """What waited is given up; of a correction it is written off."""

    adjustment: str
    unit: str
    amount: int
    written_off: int = 0
    funder: str = ""


class PostingCorrected(Fact, frozen=True, tag=True):
    """What was posted too much as `of` is taken back as far as it is unspent (S18).

    `of_journal` is the journal of the activity, 0 where an adjustment is corrected. `by_rule` says how much of each
    component no longer stands, so that a return does not take it again. `waiting` is neither owed nor written off.
    """

    adjustment: str
    unit: str
    amount: int
    reason: str
    partner: str
    of: str
    of_partner: str
    of_journal: int
    should_be: int
    funder: str
    parts: tuple[LotPart, ...] = ()
    by_rule: dict[str, int] = {}  # noqa: RUF012  # each gets its own
    written_off: int = 0
    waiting: int = 0
    bonus: int = 0
    pending: tuple[LotPart, ...] = ()


class StatusMatchRefused(Fact, frozen=True, tag=True):
    """A rival's tier was not matched."""

    match: str
    tier: str
    code: str
    detail: str = ""


AnyFact = (
    MemberEnrolled
    | MemberChanged
    | MemberClosed
    | MemberErased
    | MemberChangeRefused
    | ReferrerNamed
    | BirthdayAwaited
    | ActivityPosted
    | ActivityReturned
    | ActivityRefused
    | BudgetDrawn
    | KeyTaken
    | PersonCounted
    | PointsGranted
    | PendingReleased
    | PendingGivenUp
    | PendingDecided
    | FundingAwaited
    | FundingGiven
    | BlockDrawn
    | DebtPaid
    | PointsClawedBack
    | BonusTakenBack
    | PointsHeld
    | HoldRefused
    | PointsCaptured
    | PointsReleased
    | LotsExpired
    | PointsRevived
    | PointsRestored
    | LotRenewed
    | PointsConverted
    | AdjustmentWaiting
    | PointsAdjusted
    | LotAdjusted
    | AdjustmentRefused
    | AdjustmentRejected
    | PostingCorrected
    | QualifyingCounted
    | QualifyingReturned
    | TierChanged
    | TierKept
    | SegmentsChanged
    | StatusMatchRefused
    | PointsSent
    | PointsReceived
    | LotReceived
    | TransferRefused
    | MemberMerged
    | MemberAbsorbed
    | MemberUnmerged
    | MemberParted
    | MergeRefused
    | QualifyingJoined
    | HouseholdChanged
)

ADJUSTING = (AdjustmentWaiting, PointsAdjusted, AdjustmentRefused, AdjustmentRejected, PostingCorrected)
"""The facts that say something of the adjustment they name."""

LOT_MAKING = (PointsGranted, LotRenewed, LotAdjusted, LotReceived)
"""The facts that make a lot, each named by its `lot` within the journal."""

COUNTING = (
    ActivityPosted,
    ActivityReturned,
    PendingDecided,
    PointsSent,
    PointsReceived,
    MemberAbsorbed,
    MemberParted,
)
"""The facts that say which counters they moved."""

HOLD_MOVING = (PointsHeld, HoldRefused, PointsCaptured, PointsReleased, PointsRestored)
"""The facts that say something of the hold they name."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[AnyFact, ...])


def encode_facts(facts: tuple[AnyFact, ...]) -> bytes:
    """Write facts as the JSON that a journal row keeps."""
    return _encoder.encode(facts)


def decode_facts(raw: bytes) -> tuple[AnyFact, ...]:
    """Read what `encode_facts` wrote; raises `msgspec.ValidationError` on anything else."""
    return _decoder.decode(raw)
