"""What the gateway says: requests as messages of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from laurel.contracts.asking import (
    ActivityReported,
    AdjustmentDecisionRequested,
    AdjustmentRequested,
    BlockTopUpRequested,
    ClockTurnRequested,
    CorrectionRequested,
    EnrolmentRequested,
    ExchangeRequested,
    HouseholdSetRequested,
    MemberChangeRequested,
    MemberCloseRequested,
    MemberEraseRequested,
    MergeRequested,
    PendingDecisionRequested,
    RedemptionCancelRequested,
    RedemptionConfirmRequested,
    RedemptionRequested,
    ResourcePublishRequested,
    RewardPublishRequested,
    StatusMatchRequested,
    TimedHoldCancelRequested,
    TimedHoldCaptureRequested,
    TimedHoldReleaseRequested,
    TimedHoldRequested,
    TransferRequested,
    UnmergeRequested,
    VoucherRedeemRequested,
    VoucherVoidRequested,
)
from laurel.contracts.envelope import Cause
from laurel.contracts.programs import PartnerPublished, ProgramPublished
from laurel.io.saying import MAIN, PROGRAMS, Saying
from laurel.shapes import encode, struct_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from laurel.contracts.activity import Activity
    from laurel.contracts.envelope import Event
    from laurel.contracts.http import (
        AdjustPoints,
        CancelHold,
        ChangeMember,
        ExchangePoints,
        MatchStatus,
        PlaceHold,
        RedeemVoucher,
        TopUpBlock,
        TransferPoints,
    )
    from laurel.contracts.http_redeeming import PublishResource, PublishReward
    from services.gateway.asking import Stamp
    from services.gateway.store.households import NewHousehold
    from services.gateway.store.members import NewMember
    from services.gateway.store.partner_terms import TermsRow
    from services.gateway.store.programs import VersionRow

_Cause: Any = struct_of(Cause)
_Enrolment: Any = struct_of(EnrolmentRequested)
_RewardPublish: Any = struct_of(RewardPublishRequested)
_StatusMatch: Any = struct_of(StatusMatchRequested)
_Redemption: Any = struct_of(RedemptionRequested)
_Turn: Any = struct_of(ClockTurnRequested)
_Published: Any = struct_of(ProgramPublished)
_Terms: Any = struct_of(PartnerPublished)


class _Reported(msgspec.Struct, frozen=True):
    """`ActivityReported`, whose activity is JSON already: a batch keeps it so between file and outbox."""

    program: str
    member: str | None
    at: datetime
    cause: Any
    partner: str
    hash: str
    activity: msgspec.Raw
    versions: Any


def activity_json(activity: Activity, member: str | None) -> bytes:
    """Return an activity as events carry it: member resolved, defaults left out, the partner beside it."""
    struct: Any = activity
    return encode(msgspec.structs.replace(struct, member=member, partner=None))


def activity_reported(
    stamp: Stamp, *, member: str, partner: str, hash_: str, occurred_at: datetime, activity: bytes, traceparent: str
) -> Saying:
    """Somebody did something."""
    program, at = stamp.correlation.key.program, stamp.at(occurred_at)
    body = _Reported(program, member or None, at, _cause(stamp), partner, hash_, msgspec.Raw(activity), stamp.versions)
    return _said(ActivityReported.TYPE, stamp, member, at, encode(body), traceparent)


def enrolment_requested(stamp: Stamp, new: NewMember, attributes: dict[str, Any], traceparent: str) -> Saying:
    """Somebody is to become a member."""
    at = stamp.at(new.enrolled_at)
    body = _Enrolment(
        program=new.program,
        member=new.member,
        at=at,
        cause=_cause(stamp),
        enrolled_at=new.enrolled_at,
        person=new.person,
        referred_by=new.referred_by,
        attributes=attributes,
        versions=stamp.versions,
    )
    return _said(EnrolmentRequested.TYPE, stamp, new.member, at, encode(body), traceparent)


def member_change_requested(stamp: Stamp, change: str, member: str, body: ChangeMember, traceparent: str) -> Saying:
    """Something about a member is to be changed."""
    fields = {"change": change, "person": body.person, "attributes": body.attributes}
    return _to_points(MemberChangeRequested, stamp, member, traceparent, **fields)


def member_close_requested(stamp: Stamp, change: str, member: str, traceparent: str) -> Saying:
    """A member is to take part no more."""
    return _to_points(MemberCloseRequested, stamp, member, traceparent, change=change)


def member_erase_requested(stamp: Stamp, change: str, member: str, accounts: list[str], traceparent: str) -> Saying:
    """Whoever a member is is to be forgotten, in all accounts that became a part of its own."""
    return _to_points(MemberEraseRequested, stamp, member, traceparent, change=change, accounts=accounts)


def status_match_requested(stamp: Stamp, match: str, member: str, asked: MatchStatus, traceparent: str) -> Saying:
    """A member is to get the tier that a rival gave it."""
    at = stamp.at(stamp.now)
    body = _StatusMatch(
        program=stamp.correlation.key.program,
        member=member,
        at=at,
        cause=_cause(stamp),
        match=match,
        tier=asked.tier,
        issuer=asked.evidence.issuer,
        dated=asked.evidence.dated,
        until=asked.until,
        needs=None if asked.challenge is None else asked.challenge.needs,
        versions=stamp.versions,
    )
    return _said(StatusMatchRequested.TYPE, stamp, member, at, encode(body), traceparent)


def reward_publish_requested(stamp: Stamp, reward: str, document: PublishReward, traceparent: str) -> Saying:
    """A reward is to be offered, or changed."""
    at = stamp.at(stamp.now)
    program = stamp.correlation.key.program
    body = _RewardPublish(program=program, member=None, at=at, cause=_cause(stamp), reward=reward, document=document)
    return _said(RewardPublishRequested.TYPE, stamp, "", at, encode(body), traceparent)


def resource_publish_requested(stamp: Stamp, resource: str, document: PublishResource, traceparent: str) -> Saying:
    """Seats or rooms are to be offered on some days."""
    return _to_points(ResourcePublishRequested, stamp, "", traceparent, resource=resource, document=document)


def redemption_requested(
    stamp: Stamp,
    wanted: Mapping[str, Any],
    *,
    redemption: str,
    member: str,
    partner: str,
    hash_: str,
    traceparent: str,
    at: datetime | None = None,
) -> Saying:
    """A member wants a reward; `wanted` is what of it is said as it was asked (see `wanting`)."""
    at = at or stamp.at(stamp.now)
    body = _Redemption(
        program=stamp.correlation.key.program,
        member=member,
        at=at,
        cause=_cause(stamp),
        redemption=redemption,
        partner=partner,
        hash=hash_,
        versions=stamp.versions,
        **wanted,
    )
    return _said(RedemptionRequested.TYPE, stamp, member, at, encode(body), traceparent)


def redemption_confirm_requested(
    stamp: Stamp,
    redemption: str,
    member: str,
    partner: str,
    traceparent: str,
    *,
    settles: bool = False,
    at: datetime | None = None,
) -> Saying:
    """What is held for a redemption is to be finished; an operator `settles` it for a partner that is silent."""
    fields = {"redemption": redemption, "partner": partner, "settles": settles}
    return _to_redemption(RedemptionConfirmRequested, stamp, member, traceparent, at, **fields)


def redemption_cancel_requested(
    stamp: Stamp,
    redemption: str,
    member: str,
    partner: str,
    by: str,
    traceparent: str,
    *,
    settles: bool = False,
    at: datetime | None = None,
) -> Saying:
    """A redemption is to be taken back, also from a partner that is silent, where an operator `settles` it."""
    fields = {"redemption": redemption, "partner": partner, "by": by, "settles": settles}
    return _to_redemption(RedemptionCancelRequested, stamp, member, traceparent, at, **fields)


def clock_turn_requested(stamp: Stamp, as_of: datetime, traceparent: str) -> Saying:
    """A program's clock is to be turned."""
    program = stamp.correlation.key.program
    body = _Turn(program=program, member=None, at=as_of, cause=_cause(stamp), as_of=as_of, versions=stamp.versions)
    return _said(ClockTurnRequested.TYPE, stamp, "", as_of, encode(body), traceparent)


def hold_requested(stamp: Stamp, hold: str, member: str, partner: str, body: PlaceHold, traceparent: str) -> Saying:
    """Points are to be set aside for a caller."""
    fields = {"unit": body.unit, "amount": body.amount, "partner": partner, "reference": body.reference}
    ttl_seconds = body.ttl_seconds or HOLD_SECONDS
    return _to_points(TimedHoldRequested, stamp, member, traceparent, hold=hold, ttl_seconds=ttl_seconds, **fields)


def capture_requested(stamp: Stamp, hold: str, member: str, amount: int | None, traceparent: str) -> Saying:
    """A caller's hold is to be spent."""
    return _to_points(TimedHoldCaptureRequested, stamp, member, traceparent, hold=hold, amount=amount)


def release_requested(stamp: Stamp, hold: str, member: str, traceparent: str) -> Saying:
    """A caller's hold is to be released."""
    return _to_points(TimedHoldReleaseRequested, stamp, member, traceparent, hold=hold)


def cancel_requested(stamp: Stamp, hold: str, member: str, body: CancelHold, traceparent: str) -> Saying:
    """The capture of a caller's hold is to be undone."""
    fields = {"amount": body.amount, "by": body.by}
    return _to_points(TimedHoldCancelRequested, stamp, member, traceparent, hold=hold, **fields)


def adjustment_requested(
    stamp: Stamp, name: str, member: str, partner: str, limit: int | None, body: AdjustPoints, traceparent: str
) -> Saying:
    """Points are to be given or taken by a person's decision."""
    fields = {"unit": body.unit, "amount": body.amount, "reason": body.reason, "expires_at": body.expires_at}
    shared = {"adjustment": name, "partner": partner, "limit": limit}
    return _to_points(AdjustmentRequested, stamp, member, traceparent, **shared, **fields)


def correction_requested(
    stamp: Stamp, name: str, member: str, partner: str, of_partner: str, body: AdjustPoints, traceparent: str
) -> Saying:
    """The operator's own mistake is to be undone."""
    corrects = body.corrects
    assert corrects is not None
    fields = {"of": corrects.id, "of_partner": of_partner, "should_be": corrects.should_be}
    shared = {"adjustment": name, "partner": partner, "unit": body.unit, "reason": body.reason or "correction"}
    told = {"reported_by": corrects.reported_by}
    return _to_points(CorrectionRequested, stamp, member, traceparent, **shared, **fields, **told)


def adjustment_decision_requested(
    stamp: Stamp, name: str, member: str, limit: int | None, traceparent: str, *, approve: bool
) -> Saying:
    """Somebody decides about an adjustment that waits."""
    fields = {"adjustment": name, "approve": approve, "limit": limit}
    return _to_points(AdjustmentDecisionRequested, stamp, member, traceparent, **fields)


def voucher_redeem_requested(
    stamp: Stamp,
    voucher: str,
    member: str,
    partner: str,
    body: RedeemVoucher,
    traceparent: str,
    at: datetime | None = None,
) -> Saying:
    """A voucher is to be spent."""
    fields = {"partner": partner, "reference": body.reference, "basket": body.basket, "amount": body.amount}
    return _to_redemption(VoucherRedeemRequested, stamp, member, traceparent, at, voucher=voucher, **fields)


def voucher_void_requested(
    stamp: Stamp, voucher: str, member: str, partner: str, reference: str | None, traceparent: str, *, anybodys: bool
) -> Saying:
    """A use of a voucher is to be undone, or the voucher is to be dead."""
    fields = {"partner": partner, "reference": reference, "anybodys": anybodys}
    return _to_points(VoucherVoidRequested, stamp, member, traceparent, voucher=voucher, **fields)


def transfer_requested(
    stamp: Stamp, name: str, giver: str, receiver: str, partner: str, body: TransferPoints, traceparent: str
) -> Saying:
    """A member gives points to another."""
    fields = {"transfer": name, "to": receiver, "unit": body.unit, "amount": body.amount, "partner": partner}
    return _to_points(TransferRequested, stamp, giver, traceparent, **fields)


def exchange_requested(
    stamp: Stamp, name: str, giver: str, receiver: str, partner: str, body: ExchangePoints, traceparent: str
) -> Saying:
    """A member's points are to become those of another program."""
    to = {"to_program": body.to.program, "to_member": receiver, "to_versions": stamp.versions_there}
    fields = {"exchange": name, "unit": body.unit, "amount": body.amount, "partner": partner}
    return _to_points(ExchangeRequested, stamp, giver, traceparent, **fields, **to)


def merge_requested(stamp: Stamp, name: str, member: str, into: str, traceparent: str, *, undo: bool = False) -> Saying:
    """An account is to become a part of another, or one of its own again."""
    type_ = UnmergeRequested if undo else MergeRequested
    return _to_points(type_, stamp, member, traceparent, merge=name, into=into)


def household_set_requested(stamp: Stamp, new: NewHousehold, traceparent: str) -> Saying:
    """Somebody is to be in a household, or not any more; asked of the program, so that it is done in order."""
    fields = {"household": new.household, "pooling": new.pooling}
    members = {"members": list(new.members), "leaving": list(new.leaving)}
    return _to_points(HouseholdSetRequested, stamp, "", traceparent, **fields, **members)


def pending_decision_requested(
    stamp: Stamp, activity: str, member: str, partner: str, limit: int | None, traceparent: str, *, approve: bool
) -> Saying:
    """Somebody decides about points that await approval."""
    fields = {"activity": activity, "partner": partner, "approve": approve, "limit": limit}
    return _to_points(PendingDecisionRequested, stamp, member, traceparent, **fields)


def _to_points(type_: type[Event], stamp: Stamp, member: str, traceparent: str, **fields: object) -> Saying:
    """Say what has no time of its own: points knows when it happens where the program's clock is manual."""
    return _to_redemption(type_, stamp, member, traceparent, None, **fields)


def _to_redemption(
    type_: type[Event], stamp: Stamp, member: str, traceparent: str, at: datetime | None, **fields: object
) -> Saying:
    """Say what has no time of its own; redemption is told when it happens, where the program's clock is manual."""
    at = at or stamp.at(stamp.now)
    shape: Any = struct_of(type_)
    program = stamp.correlation.key.program
    body = shape(program=program, member=member or None, at=at, cause=_cause(stamp), versions=stamp.versions, **fields)
    return _said(type_.TYPE, stamp, member, at, encode(body), traceparent)


HOLD_SECONDS = 900
"""How long a hold is open unless its caller says otherwise (S12)."""


def program_published(row: VersionRow, document: dict[str, Any], traceparent: str) -> Saying:
    """A version of a program, on the compacted topic where no version is ever replaced."""
    body = _Published(
        program=row.program,
        member=None,
        at=row.published_at,
        cause=_Cause(kind="program", id=f"{row.program}:{row.version}"),
        version=row.version,
        document=document,
        effective_from=row.effective_from,
        published_at=row.published_at,
    )
    return Saying(
        PROGRAMS,
        row.program,
        "",
        ProgramPublished.TYPE,
        encode(body),
        row.published_at,
        traceparent=traceparent,
        key=f"{row.program}:{row.version}",
    )


def partner_published(row: TermsRow, traceparent: str) -> Saying:
    """What is said of a partner, on the same topic; versions are counted over all partners of a program."""
    body = _Terms(
        program=row.program,
        member=None,
        at=row.published_at,
        cause=_Cause(kind="partner", id=f"{row.program}:{row.partner}:{row.version}"),
        version=row.version,
        partner=row.partner,
        state=row.state,
        since=row.since,
        billing=row.billing,
        published_at=row.published_at,
    )
    return Saying(
        PROGRAMS,
        row.program,
        "",
        PartnerPublished.TYPE,
        encode(body),
        row.published_at,
        traceparent=traceparent,
        key=f"{row.program}:{row.partner}:{row.version}",
    )


def block_top_up_requested(stamp: Stamp, partner: str, body: TopUpBlock, traceparent: str) -> Saying:
    """A partner has paid for points in advance."""
    paid = {"unit": body.unit, "units": body.units, "amount": body.amount, "currency": body.currency}
    return _to_points(BlockTopUpRequested, stamp, "", traceparent, partner=partner, reference=body.reference, **paid)


def _cause(stamp: Stamp) -> Cause:
    cause: Cause = _Cause(kind="request", id=str(stamp.correlation))
    return cause


def _said(type_: str, stamp: Stamp, member: str, at: datetime, body: bytes, traceparent: str) -> Saying:
    return Saying(
        MAIN,
        stamp.correlation.key.program,
        member,
        type_,
        body,
        at,
        correlation=str(stamp.correlation),
        traceparent=traceparent,
    )
