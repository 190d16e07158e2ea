"""What a wallet can be asked: the requests that deciders answer, in imperatives."""

from __future__ import annotations

from datetime import date, datetime

import msgspec

from laurel.contracts.activity import ReportedActivity
from laurel.shapes import trusting_decoder_of

decode_activity = trusting_decoder_of(ReportedActivity)


class Cause(msgspec.Struct, frozen=True):
    """What led to this, named by kind and id."""

    kind: str
    id: str


class Versions(msgspec.Struct, frozen=True):
    """The newest versions that the gateway had published when it accepted the request."""

    program: int = 0
    partners: int = 0


class Asked(msgspec.Struct, frozen=True):
    """The root of all requests; `at` was stamped once by the entry that accepted it."""

    program: str
    at: datetime
    member: str | None = None
    versions: Versions = Versions()


class Enrol(Asked, frozen=True, kw_only=True):
    """Open a wallet."""

    enrolled_at: datetime
    person: str | None = None
    referred_by: str | None = None
    attributes: dict[str, str | int | bool] = {}


class Report(Asked, frozen=True, kw_only=True):
    """Judge an activity or a return. `activity` stays raw, so that its bytes are kept as they came."""

    partner: str
    hash: str
    activity: msgspec.Raw

    def decoded(self) -> ReportedActivity:
        """Read the activity; raises `msgspec.ValidationError`."""
        return decode_activity(bytes(self.activity))


class PlaceHold(Asked, frozen=True, kw_only=True):
    """Set points aside for a redemption."""

    hold: str
    unit: str
    amount: int
    redemption: str = ""


class CaptureHold(Asked, frozen=True, kw_only=True):
    """Spend what a hold set aside."""

    hold: str
    redemption: str = ""


class ReleaseHold(Asked, frozen=True, kw_only=True):
    """Give back what a hold set aside."""

    hold: str
    redemption: str = ""
    reason: str = ""


class MatchStatus(Asked, frozen=True, kw_only=True):
    """Give a member the tier that a rival gave it, on a proof; `until` and `needs` where the caller may say so."""

    match: str
    tier: str
    dated: date
    issuer: str = ""
    until: date | None = None
    needs: int | None = None
