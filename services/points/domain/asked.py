"""What a wallet can be asked: the requests that deciders answer, in imperatives."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from laurel.contracts.activity import ReportedActivity
from laurel.shapes import trusting_decoder_of
from laurel.values import AMOUNT_MAX

Instant = Annotated[datetime, Meta(tz=True)]
Points = Annotated[int, Meta(ge=1, le=AMOUNT_MAX)]
TICK: Final = timedelta(microseconds=1)
"""How far instants are apart at least."""

decode_activity = trusting_decoder_of(ReportedActivity)


class Cause(msgspec.Struct, frozen=True):
    """What led to this, named by kind and id."""

    kind: str
    id: str


class Versions(msgspec.Struct, frozen=True):
    """The newest versions that the gateway had published when it accepted the request."""

    program: int = 0
    partners: int = 0
    as_of: datetime | None = None
    """The program's now, on a manual clock that was set."""


class Asked(msgspec.Struct, frozen=True):
    """The root of all requests; `at` was stamped once by the entry that accepted it."""

    program: str
    at: Instant
    member: str | None = None
    versions: Versions = Versions()

    def judged_by(self) -> dict[str, Versions]:
        """Return by what versions each program that is concerned judges."""
        return {self.program: self.versions}


class Enrol(Asked, frozen=True, kw_only=True):
    """Open a wallet."""

    enrolled_at: Instant
    person: str | None = None
    referred_by: str | None = None
    attributes: dict[str, str | int | bool] = {}


class ChangeMember(Asked, frozen=True, kw_only=True):
    """Change what is known of a member; attributes that are not named stay."""

    change: str
    person: str | None = None
    attributes: dict[str, str | int | bool] = {}


class CloseMember(Asked, frozen=True, kw_only=True):
    """Let a member take part no more."""

    change: str


class EraseMember(Asked, frozen=True, kw_only=True):
    """Forget whoever a member is; `accounts` became a part of it before."""

    change: str
    accounts: tuple[str, ...] = ()


class Report(Asked, frozen=True, kw_only=True):
    """Judge an activity or a return. `activity` stays raw, so that its bytes are kept as they came."""

    partner: str
    hash: str
    activity: msgspec.Raw

    def decoded(self) -> ReportedActivity:
        """Read the activity; raises `msgspec.ValidationError`."""
        return decode_activity(bytes(self.activity))


class PlaceHold(Asked, frozen=True, kw_only=True):
    """Set points aside for a redemption: all of `amount`, or with `least` as many as there are, so many at least.

    `partner` honours them. `waits_until`: until then it may be confirmed, by the clock of a sandbox.
    """

    hold: str
    unit: str
    amount: Points
    redemption: str = ""
    least: int | None = None
    partner: str | None = None
    waits_until: datetime | None = None


class CaptureHold(Asked, frozen=True, kw_only=True):
    """Spend what a hold set aside."""

    hold: str
    redemption: str = ""


class ReleaseHold(Asked, frozen=True, kw_only=True):
    """Give back what a hold set aside; `turned_to` is where the clock was turned to that ended its wait.

    `waited_until` is when that was.
    """

    hold: str
    redemption: str = ""
    reason: str = ""
    turned_to: datetime | None = None
    waited_until: datetime | None = None

    @property
    def comes_after(self) -> datetime | None:
        """Return the last instant before the end of its wait, where a turn ended that: what else is due comes later."""
        return self.waited_until - TICK if self.waited_until is not None else None


class TurnClock(Asked, frozen=True, kw_only=True):
    """Do all that is due in a program up to an instant."""

    as_of: datetime


class GoOn(Asked, frozen=True, kw_only=True):
    """Go on with a turn to `as_of`: redemption has ended all waits up to `until`."""

    as_of: datetime
    until: datetime


class TopUp(Asked, frozen=True, kw_only=True):
    """Add to what a partner has paid for in advance."""

    partner: str
    reference: str
    unit: str
    units: Points
    amount: int
    currency: str


class Adjust(Asked, frozen=True, kw_only=True):
    """Give points or take them; `limit` is what the caller may do without somebody else's approval."""

    adjustment: str
    unit: str
    amount: int
    reason: str
    partner: str
    limit: int | None = None
    expires_at: datetime | None = None


class Correct(Asked, frozen=True, kw_only=True):
    """Undo the operator's own mistake: what was posted as `of` should have been so much."""

    adjustment: str
    unit: str
    of: str
    of_partner: str
    should_be: int
    reason: str
    partner: str
    reported_by: str | None = None


class DecideAdjustment(Asked, frozen=True, kw_only=True):
    """Approve or reject what waits."""

    adjustment: str
    approve: bool
    limit: int | None = None


class DecidePending(Asked, frozen=True, kw_only=True):
    """Approve or reject the points of an activity that await it."""

    activity: str
    partner: str
    approve: bool
    limit: int | None = None


class PlaceTimedHold(Asked, frozen=True, kw_only=True):
    """Set points aside for a caller who captures or releases them in time."""

    hold: str
    unit: str
    amount: int
    ttl_seconds: int
    partner: str = ""
    reference: str = ""


class AskOfHold(Asked, frozen=True, kw_only=True):
    """Capture or release a hold that a caller placed; of a capture, `amount` leaves the rest to be released."""

    hold: str
    amount: int | None = None


class CancelHold(AskOfHold, frozen=True, kw_only=True):
    """Undo a capture, whole or in part; `by` whose choice or fault."""

    by: str


class CancelSagaHold(CancelHold, frozen=True, kw_only=True):
    """Undo the capture of a redemption's hold, which is always whole."""

    redemption: str = ""


class MatchStatus(Asked, frozen=True, kw_only=True):
    """Give a member the tier that a rival gave it, on a proof; `until` and `needs` where the caller may say so."""

    match: str
    tier: str
    dated: date
    issuer: str = ""
    until: date | None = None
    needs: int | None = None


class Transfer(Asked, frozen=True, kw_only=True):
    """Give points to another member of the program."""

    transfer: str
    to: str
    unit: str
    amount: Points
    partner: str = ""


class Merge(Asked, frozen=True, kw_only=True):
    """Make an account a part of another one."""

    merge: str
    into: str


class Unmerge(Merge, frozen=True, kw_only=True):
    """Take that back."""


class SetHousehold(Asked, frozen=True, kw_only=True):
    """Let `members`, and nobody else, be a household; `leaving` were until now."""

    household: str
    members: tuple[str, ...]
    leaving: tuple[str, ...] = ()
    pooling: bool = True


class Exchange(Asked, frozen=True, kw_only=True):
    """Give points of this program for points of another, whose member is `to_member`."""

    exchange: str
    to_program: str
    to_member: str
    unit: str
    amount: Points
    partner: str = ""
    to_versions: Versions = Versions()

    def judged_by(self) -> dict[str, Versions]:
        """Return by what versions the two programs judge."""
        return {self.to_program: self.to_versions, self.program: self.versions}
