"""What answers look like, for the OpenAPI document. Routes write these shapes as bytes; a test compares the two."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from laurel.contracts.points import Award, Balance, LotAmount, Reversal, RuleDecision, TierSeen
from laurel.contracts.redemption import Price
from laurel.contracts.rewards import Money
from laurel.values import Day, Instant


class Shown(BaseModel):
    """A part of an answer; fields may be added."""

    model_config = ConfigDict(extra="allow")


class FaultShown(Shown):
    """One thing wrong with a request."""

    pointer: str
    code: str
    detail: str


class ProblemShown(Shown):
    """A problem document (RFC 9457); `code` is stable."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[FaultShown]


class ProgramShown(Shown):
    """A published version."""

    program: str
    version: int
    effective_from: Instant


class ProgramDetails(ProgramShown):
    """A version with its document."""

    published_at: Instant
    document: dict[str, Any]


class VersionsShown(Shown):
    """A page of versions."""

    data: list[ProgramShown]
    next_cursor: str | None


class ValidShown(Shown):
    """A document without a fault, and how many members and open lots a change of expiry or tiers speaks of."""

    program: str
    valid: bool
    effective_from: Instant
    changed: list[str] = []
    applies: dict[str, Literal["new_lots", "open_lots", "all"]] = {}
    members: int = 0
    lots: int = 0


class ClockShown(Shown):
    """Where a sandbox's clock stands, and what its last turn brought about."""

    as_of: Instant | None
    state: Literal["pending", "posted"] = "posted"
    released: int = 0
    holds_timed_out: int = 0
    lots_expired: int = 0
    vouchers_expired: int = 0
    tiers_changed: int = 0
    converted: int = 0
    vouchers_issued: int = 0


class PartnerShown(Shown):
    """A partner."""

    partner: str
    name: str | None
    created_at: Instant


class KeyShown(Shown):
    """A key as it was made; this is the only time that its secret is shown."""

    key: str
    secret: str
    prefix: str
    partner: str
    scopes: list[str]
    programs: list[str]
    limits: dict[str, int]
    expires_at: Instant | None
    created_at: Instant


class OldSecretShown(Shown):
    """The secret before a rotation, by its prefix, and until when it is good."""

    prefix: str
    good_until: Instant


class RotatedKeyShown(KeyShown):
    """A key with its new secret; this is the only time that it is shown."""

    previous: OldSecretShown


class ChangeShown(Shown):
    """A change: who made it by which request, and digests of what was there before and is there after."""

    id: str
    at: Instant
    key: str
    partner: str
    program: str | None
    action: str
    target: str
    request: str
    before: str | None
    after: str | None


class AuditShown(Shown):
    """Changes, newest first."""

    data: list[ChangeShown]
    next_cursor: str | None


class WebhookShown(Shown):
    """A webhook. With the reason `failing` or `gone` it is disabled because of its receiver, with `key_ended` because
    the key that made or enabled it is good no more.
    """

    id: str
    url: str
    types: list[str]
    programs: list[str]
    state: Literal["enabled", "disabled"]
    reason: Literal["asked", "failing", "gone", "key_ended"] | None
    changed_at: Instant
    created_at: Instant
    before_until: Instant | None
    failing_since: Instant | None
    last_error: str | None
    delivered_at: Instant | None
    missed_at: Instant | None


class WebhookMade(WebhookShown):
    """A webhook with its secret, which is shown only when it is made or given another."""

    secret: str


class WebhooksShown(Shown):
    """A page of webhooks."""

    data: list[WebhookShown]
    next_cursor: str | None


class DeliveryShown(Shown):
    """What became of an event that a webhook was to be told."""

    delivery: str
    webhook: str
    program: str
    member: str | None
    type: str
    state: Literal["waiting", "delivered", "failed"]
    attempts: int
    next_at: Instant | None
    status: int | None
    error: str | None
    first_at: Instant | None
    tried_at: Instant | None


class DeliveriesShown(Shown):
    """A page of deliveries."""

    data: list[DeliveryShown]
    next_cursor: str | None


class TierShown(Shown):
    """Where a member stands."""

    name: str | None
    since: date | None
    until: date | None
    years: int
    benefits: list[dict[str, Any]]
    progress: list[dict[str, Any]]


class ChallengeShown(Shown):
    """What keeps a matched tier, through a day."""

    counter: str
    needs: int
    until: date


class MatchShown(Shown):
    """A rival's tier that was matched."""

    match: str
    state: Literal["posted", "pending", "refused"]
    tier: str | None = None
    since: date | None = None
    until: date | None = None
    challenge: ChallengeShown | None = None
    code: str | None = None
    delayed: bool = False


class MemberShown(Shown):
    """A member with its balances."""

    member: str
    program: str
    state: Literal["posted"]
    status: str
    enrolled_at: Instant
    person: str | None
    tier: TierShown
    attributes: dict[str, Any]
    segments: list[dict[str, Any]]
    household: str | None
    counters: list[dict[str, Any]]
    balances: list[Balance]


class IdentifierHeld(Shown):
    """What somebody is found by; `value` is missing where it was given before values were kept."""

    account: str
    scheme: str
    value: str | None
    state: Literal["active", "blocked"]
    since: Instant


class OperationHeld(Shown):
    """Something that was asked of a wallet, with what was noted about it."""

    kind: str
    id: str
    account: str
    partner: str
    state: str
    note: str | None
    at: Instant


class ExtractShown(Shown):
    """All that is held about a member: by the gateway, by points and by redemption."""

    member: str
    program: str
    at: Instant
    accounts: list[str]
    profile: dict[str, Any]
    identifiers: list[IdentifierHeld]
    operations: list[OperationHeld]
    statement: list[dict[str, Any]]
    lots: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    vouchers: list[dict[str, Any]]


class FoundShown(Shown):
    """Whose an identifier is."""

    member: str
    program: str


class IdentifierShown(Shown):
    """An identifier that a member has; its value is shown to nobody."""

    member: str
    program: str
    scheme: str
    state: Literal["active"]


class GivenBackShown(Shown):
    """What a return gave back of how its original was paid, in the tender's own money."""

    kind: str
    ref: str
    amount: int


class ActivityShown(Shown):
    """What an activity earned, and why; what is pending may say the `reason` that it waits for.

    Of a return, `given_back` are the vouchers and points among the tenders that came back with it.
    """

    id: str
    state: Literal["posted", "pending", "refused"]
    reason: str | None = None
    awards: list[Award] = []
    reversals: list[Reversal] = []
    balances: list[Balance] = []
    decision: list[RuleDecision] = []
    tier: TierSeen | None = None
    vouchers: list[dict[str, Any]] = []
    given_back: list[GivenBackShown] = []
    code: str | None = None
    delayed: bool = False


class PendingShown(Shown):
    """A request whose outcome is not known yet; look again at `Location`. An activity may say its `reason`."""

    state: Literal["pending"]
    reason: str | None = None
    delayed: bool = False


class QuoteShown(Shown):
    """What an activity would earn."""

    awards: list[dict[str, Any]]
    decision: list[RuleDecision]


class AwardedShown(Shown):
    """How much was awarded of a unit."""

    unit: str
    amount: int


class BatchShown(Shown):
    """How far a file is."""

    batch: str
    created_at: Instant
    state: Literal["receiving", "running", "done", "cut_off"]
    received: int
    posted: int
    refused: int
    pending: int
    delayed: int
    """How many of the pending ones wait for something that had to be parked."""
    rejected: int
    duplicate: int
    awarded: list[AwardedShown]


class BatchesShown(Shown):
    """A page of files."""

    data: list[BatchShown]
    next_cursor: str | None


class RewardShown(Shown):
    """A reward as it is offered."""

    reward: str
    name: str
    kind: str


class PendingDecisionShown(Shown):
    """What became of points that awaited approval."""

    id: str
    state: Literal["pending", "posted", "refused"]
    approved: bool | None = None
    amount: int = 0
    balances: list[Balance] = []
    code: str | None = None


class BlockShown(Shown):
    """What a partner has paid for in advance of a unit, and what is used of it."""

    unit: str
    units: int
    used: int
    left: int


class VettingShown(Shown):
    """What a partner's scores come to, and each reason for which they do not suffice."""

    total: int | None
    passed: bool
    reasons: list[str]


class PartnershipShown(Shown):
    """On what terms a partner takes part in a program; without `since` from the beginning."""

    partner: str
    state: Literal["applicant", "approved", "suspended", "terminated"]
    since: Instant | None
    vetting: VettingShown
    billing: Literal["netting", "prepaid"]
    block: BlockShown | None = None
    blocks: list[BlockShown] = []


class PaymentShown(Shown):
    """Points that a partner paid for in advance, and how its block stood when all was posted that waited for it."""

    partner: str
    reference: str | None = None
    state: Literal["pending", "posted", "refused"]
    unit: str | None = None
    units: int | None = None
    amount: int | None = None
    currency: str | None = None
    block: BlockShown | None = None
    code: str | None = None
    delayed: bool = False


class RewardStanding(Shown):
    """A reward as it is offered, where it is, and what became of its newest document."""

    reward: str
    state: Literal["posted", "pending", "refused"]
    name: str | None = None
    kind: str | None = None
    code: str | None = None
    delayed: bool = False


class ResourceShown(Shown):
    """What is said of a resource."""

    resource: str
    capacity: int


class ResourceStanding(Shown):
    """A resource on a day: how many there are, how many of them are for awards, taken of these, and left."""

    resource: str
    on: Day
    capacity: int
    quota: int
    taken: int
    left: int
    partner: str | None = None


class RedemptionQuoteShown(Shown):
    """What a redemption would cost and whether it would be granted.

    `eligible` says whether anything but points stands in the way: `reasons` are the codes a refusal would have, and
    `explained` says them in sentences. `shortfall` is what is missing of the points it takes.
    """

    eligible: bool
    reasons: list[str]
    explained: list[dict[str, Any]] = []
    price: Price | None
    points: int | None
    to_pay: Money | None
    available: int
    shortfall: int
    affordable: bool = False


class FulfilmentSecret(Shown):
    """The common secret with the partner that fulfils a reward."""

    reward: str
    secret: str


class RewardsShown(Shown):
    """A page of the catalogue."""

    data: list[RewardShown]
    next_cursor: str | None


class LineNotTaken(Shown):
    """A line of a file that was not taken, and why; `duplicate` where it was there already."""

    line: int
    code: str
    detail: str


class CodesShown(Shown):
    """What became of a file of codes; of the lines that were not taken at most the first 1,000 are named."""

    reward: str
    received: int
    added: int
    duplicate: int
    rejected: int
    errors: list[LineNotTaken] = []


class VoucherShown(Shown):
    """A voucher; its code in full only to keys that redeem."""

    voucher: str
    suffix: str
    code: str | None = None
    value: Money | None = None
    expires_at: Instant | None = None
    percent: int | None = None
    product: str | None = None


class VoucherUseShown(Shown):
    """What a use of a voucher paid; nothing of a currency where it was for a product."""

    reference: str
    amount: int | None
    currency: str | None


class VoucherStanding(Shown):
    """A voucher as it stands; its code in full only to keys that redeem. `left` is what it is still worth."""

    voucher: str
    code: str | None
    suffix: str
    state: Literal["issued", "spent", "expired", "void"]
    value: int | None
    left: int | None
    currency: str | None
    issued_at: Instant
    expires_at: Instant | None
    member: str
    redemption: str | None = None
    conversion: str | None = None
    percent: int | None = None
    product: str | None = None
    parts: bool = False
    not_above_basket: bool | None = None
    used_here: bool = True
    use: VoucherUseShown | None = None


class VouchersShown(Shown):
    """A page of vouchers."""

    data: list[VoucherStanding]
    next_cursor: str | None


class RedemptionShown(Shown):
    """A redemption as it stands."""

    redemption: str
    state: Literal["requested", "holding", "fulfilling", "fulfilled", "refused", "cancelled", "pending"]
    member: str | None = None
    reward: str | None = None
    price: Price | None = None
    points: int = 0
    to_pay: Money | None = None
    lots: list[LotAmount] = []
    vouchers: Annotated[list[VoucherShown], Field(max_length=1000)] = []
    expires_at: Instant | None = None
    by: Literal["member", "provider"] | None = None
    reference: str | None = None
    code: str | None = None
    delayed: bool = False


class HoldShown(Shown):
    """A hold as it stands. `captured` is net of what was cancelled; `lots` are those held, or those spent."""

    hold: str
    state: Literal["pending", "held", "captured", "released", "expired", "cancelled", "refused"]
    member: str | None = None
    unit: str | None = None
    amount: int = 0
    captured: int = 0
    cancelled: int = 0
    expires_at: Instant | None = None
    partner: str | None = None
    reference: str | None = None
    lots: list[LotAmount] = []
    code: str | None = None
    delayed: bool = False


class TransferShown(Shown):
    """A transfer as it stands; `lots` are those that it was paid from, `balances` those of the giver."""

    transfer: str
    state: Literal["pending", "posted", "refused"]
    from_: str | None = Field(default=None, alias="from")
    to: str | None = None
    unit: str | None = None
    amount: int = 0
    lots: list[LotAmount] = []
    balances: list[Balance] = []
    code: str | None = None
    delayed: bool = False


class ExchangedTo(Shown):
    """What an exchange became in the other program."""

    program: str
    member: str
    unit: str | None = None
    amount: int = 0


class ExchangeShown(Shown):
    """An exchange as it stands; `lots` are those that it was paid from, `balances` those of the giver."""

    exchange: str
    state: Literal["pending", "posted", "refused"]
    member: str | None = None
    unit: str | None = None
    amount: int = 0
    to: ExchangedTo | None = None
    lots: list[LotAmount] = []
    balances: list[Balance] = []
    code: str | None = None
    delayed: bool = False


class MergeShown(Shown):
    """A merge as it stands: `into` answers for the member once it is posted."""

    merge: str
    state: Literal["pending", "posted", "refused"]
    member: str | None = None
    into: str | None = None
    code: str | None = None
    delayed: bool = False


class UnmergeShown(Shown):
    """How a merge was taken back."""

    unmerge: str
    state: Literal["pending", "posted", "refused"]
    member: str | None = None
    out_of: str | None = None
    code: str | None = None
    delayed: bool = False


class HouseholdShown(Shown):
    """Who shares a wallet; with `pooling`, what one cannot pay comes from the others."""

    household: str
    program: str
    state: Literal["pending", "posted"] = "posted"
    members: list[str] = []
    pooling: bool = True


class AdjustmentShown(Shown):
    """An adjustment as it stands; of a correction, what was reversed and written off, and what waits."""

    adjustment: str
    state: Literal["pending", "waiting", "posted", "refused", "rejected"]
    member: str | None = None
    unit: str | None = None
    amount: int = 0
    partner: str | None = None
    note: str | None = None
    corrects: str | None = None
    reversed: int = 0
    written_off: int = 0
    waiting: int = 0
    bonus: int = 0
    owed: int = 0
    expires_at: Instant | None = None
    lots: list[LotAmount] = []
    balances: list[Balance] = []
    code: str | None = None
    delayed: bool = False


class PageShown(Shown):
    """A page of a list."""

    data: list[dict[str, Any]]
    next_cursor: str | None


class LiabilityShown(Shown):
    """What is outstanding of each unit; `provision` is set aside for it, and `affords` so many of each reward."""

    units: list[dict[str, Any]]


class UnitBroken(Shown):
    """What became of the points of a unit; the shares are of what was granted, with one decimal."""

    unit: str
    granted: int
    redeemed: int
    expired: int
    outstanding: int
    redemption_percent: str | None
    breakage_percent: str | None


class BreakageShown(Shown):
    """What became of the points that were granted."""

    units: list[UnitBroken]


class ConcentrationShown(Shown):
    """How much of what `members` counted comes from the `top` of them."""

    unit: str
    from_: Annotated[Day, Field(alias="from")]
    until: Day
    members: int
    top: int
    total: int
    of_top: int
    percent: str | None
