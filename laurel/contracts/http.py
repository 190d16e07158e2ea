"""What callers send to the gateway, beside activities. Names and meanings are the contract's."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from laurel.contracts.activity import Identifier, Word
from laurel.contracts.envelope import Body
from laurel.contracts.rewards import Money, Reward
from laurel.contracts.vouchers import VoucherTermsBody
from laurel.values import (
    NO_NUL_PATTERN,
    Amount,
    Attributes,
    Currency,
    Day,
    Id,
    Instant,
    JsonObject,
    Name,
    NotNegative,
    PartnerId,
    Positive,
    ProgramId,
    Reference,
    Text,
)

Scope = Literal["earn", "redeem", "members", "read", "adjust", "admin"]
ProgramNames = Annotated[list[ProgramId], Field(min_length=1, max_length=100)]


class TurnClock(Body):
    """Do what is due up to an instant, in a program with a manual clock."""

    as_of: Instant


class CopyProgram(Body):
    """Make a new, empty program from the document in force, with some of its values changed."""

    to: ProgramId
    changes: JsonObject = Field(default_factory=dict)


class CreateWebhook(Body):
    """Where to tell what: names of types as `points.awarded` or `points.*`, of the programs named."""

    url: Annotated[str, Field(min_length=1, max_length=2000, pattern=NO_NUL_PATTERN)]
    types: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=100, pattern=NO_NUL_PATTERN)]],
        Field(min_length=1, max_length=50),
    ]
    programs: ProgramNames


class RotateSecret(Body):
    """Give a webhook another secret; for how long the one before signs, too: a day unless it says otherwise."""

    overlap_seconds: Annotated[int, Field(ge=0, le=604_800)] | None = None


class ChangeWebhook(Body):
    """Enable or disable a webhook; there is nothing to say beside that."""


class SendAgain(Body):
    """Send a delivery again; there is nothing to say beside that."""


class SavePartner(Body):
    """A partner, whose id is in the path."""

    name: Name | None = None


class KeyLimits(Body):
    """How much a key may do: `adjust` is the largest adjustment in points, `rate` how many requests a second."""

    adjust: Positive | None = None
    rate: Annotated[int, Field(ge=1, le=100_000)] | None = None


class CreateKey(Body):
    """A key belongs to the partner in the path and to the programs named."""

    scopes: Annotated[list[Scope], Field(min_length=1, max_length=6)]
    programs: ProgramNames
    expires_at: Instant | None = None
    limits: KeyLimits | None = None


class RotateKey(Body):
    """Give a key another secret. For so long the one before stays good, a day if it is not said; 0 ends it at once."""

    overlap_seconds: Annotated[int, Field(ge=0, le=2_592_000)] | None = None


Score = Annotated[int, Field(ge=1, le=5)]


class Scores(Body):
    """How a partner was judged before it was let in."""

    brand_fit: Score
    customers: Score
    information_system: Score
    service: Score
    database_marketing: Score


class JoinPartner(Body):
    """The terms on which a partner takes part in a program; `since` may lie in the past."""

    state: Literal["applicant", "approved", "suspended", "terminated"] | None = None
    since: Instant | None = None
    scores: Scores | None = None
    billing: Literal["netting", "prepaid"] | None = None


class TopUpBlock(Body):
    """Points that a partner pays for in advance. `reference` is the caller's own name of the payment."""

    unit: Name
    units: Positive
    amount: NotNegative
    currency: Currency
    reference: Annotated[str, Field(min_length=1, max_length=128, pattern=NO_NUL_PATTERN)]


class EnrolMember(Body):
    """Without `member` the gateway makes an id; without `enrolled_at` it is the program's now."""

    member: Id | None = None
    identifiers: Annotated[list[Identifier], Field(max_length=20)] = Field(default_factory=list)
    enrolled_at: Instant | None = None
    referred_by: Id | None = None
    person: Id | None = None
    attributes: Attributes = Field(default_factory=dict)


class FindMember(Body):
    """Find a member by an identifier, without putting it into a URL."""

    scheme: Word
    value: Name


class AddIdentifier(Body):
    """A further identifier; `replaces` is the value of the one that it takes the place of."""

    scheme: Word
    value: Name
    replaces: Name | None = None


class ChangeMember(Body):
    """What may be changed of a member; attributes not named stay as they are."""

    person: Id | None = None
    attributes: Attributes = Field(default_factory=dict)


class CloseMember(Body):
    """Nothing needs to be said to close a member."""


class EraseMember(Body):
    """Nothing needs to be said to forget a member."""


class Evidence(Body):
    """A rival's proof of a tier: who gave it, and the day it bears."""

    issuer: Name
    dated: Day


class ChallengeBody(Body):
    """What keeps a matched tier, where the caller may say so."""

    counter: Name | None = None
    needs: Positive


class MatchStatus(Body):
    """A rival's tier to be matched. `until` and `challenge` are the program's own but for keys that may adjust."""

    tier: Word
    evidence: Evidence
    until: Day | None = None
    challenge: ChallengeBody | None = None


class ClaimActivity(Body):
    """Whose purchase it was, when it was reported without a member."""

    member: Id | Identifier


class MoneyBody(Money):
    """An amount in minor units of a currency, as callers send it."""

    model_config = ConfigDict(extra="forbid")


class PublishReward(Reward):
    """A reward, whose id is in the path and may be repeated in the body."""

    model_config = ConfigDict(extra="forbid")

    value: MoneyBody | None = None
    voucher: VoucherTermsBody | None = None


class RequestRedemption(Body):
    """What a member wants. What would change price or payment is refused until it is understood."""

    id: Id | None = None
    member: Id | Identifier
    reward: Id
    quantity: Annotated[int, Field(ge=1, le=1000)] = 1
    partner: PartnerId | None = None
    attributes: Attributes = Field(default_factory=dict)


class Corrects(Body):
    """The operator's own mistake: what was posted as the activity or adjustment `id` should have been so much."""

    id: Id
    should_be: NotNegative
    reported_by: Literal["member", "operator"] | None = None
    partner: PartnerId | None = None


class AdjustPoints(Body):
    """Points given or taken by a person's decision, or a mistake that is undone instead of an amount."""

    member: Id | Identifier
    unit: Name
    amount: Amount | None = None
    reason: Name | None = None
    note: Annotated[str, Field(min_length=1, max_length=1024, pattern=NO_NUL_PATTERN)] | None = None
    expires_at: Instant | None = None
    corrects: Corrects | None = None


class DecideAdjustment(Body):
    """Nothing needs to be said to approve or reject what waits."""


class PlaceHold(Body):
    """Set points aside for a payment in two steps, for 900 seconds unless it says otherwise.

    `reference` is the caller's id of what they pay; `partner` honours the points.
    """

    member: Id | Identifier
    unit: Name
    amount: Positive
    ttl_seconds: Annotated[int, Field(ge=1, le=2_592_000)] | None = None
    reference: Annotated[str, Field(min_length=1, max_length=128, pattern=NO_NUL_PATTERN)]
    partner: PartnerId | None = None


class TransferPoints(Body):
    """Points that one member gives to another of the program."""

    from_: Annotated[Id | Identifier, Field(alias="from")]
    to: Id | Identifier
    unit: Name
    amount: Positive


class ExchangeTo(Body):
    """Whose points of which other program they become."""

    program: ProgramId
    member: Id | Identifier


class ExchangePoints(Body):
    """Points that become points of another program, at the rate that this one agreed with it."""

    member: Id | Identifier
    to: ExchangeTo
    unit: Name
    amount: Positive


class MergeMember(Body):
    """The account that answers for the one in the path from now on."""

    into: Id | Identifier


class UnmergeMember(Body):
    """Nothing needs to be said to take a merge back."""


class PutHousehold(Body):
    """Who shares a wallet: whoever was in the household before and is not named leaves it."""

    members: Annotated[list[Id | Identifier], Field(min_length=1, max_length=50)]
    pooling: bool = True


class CaptureHold(Body):
    """Spend what is held; with an amount, the rest is released."""

    amount: Positive | None = None


class ReleaseHold(Body):
    """Nothing needs to be said to release a hold."""


class CancelHold(Body):
    """Undo a capture, whole or in part."""

    by: Literal["member", "provider"]
    reason: Annotated[str, Field(min_length=1, max_length=256, pattern=NO_NUL_PATTERN)]
    amount: Positive | None = None


class RedeemVoucher(Body):
    """Pay with a voucher: for what, and, where the voucher must not exceed it, for how much."""

    reference: Reference
    basket: Money | None = None
    amount: Positive | None = None


class VoidVoucher(Body):
    """Undo the use for a reference; without one the voucher is dead."""

    reference: Reference | None = None


class CancelRedemption(Body):
    """By whom a redemption is taken back: it decides what becomes of points that have expired since."""

    by: Literal["member", "provider"]
    reason: Text
