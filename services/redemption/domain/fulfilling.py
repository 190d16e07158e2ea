"""The points are held: the saga passes the point of no return, and the member gets the reward.

One that is to be confirmed later waits for that.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import date, datetime, timedelta

from laurel.calendars import local_date, local_midnight, zone_named
from services.redemption.domain import facts as f
from services.redemption.domain.answering import awaits_points, check_price, saga_of
from services.redemption.domain.calling import place_of
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.heard import (
    AskOfRedemption,
    ConfirmRedemption,
    LotAmount,
    PartnerAnswered,
    PointsHeld,
    Terms,
    VoucherTerms,
)
from services.redemption.domain.moment import Moment
from services.redemption.domain.points_back import release
from services.redemption.domain.pools import NEVER
from services.redemption.domain.pricing import to_pay
from services.redemption.domain.state import HoldState, Saga, SagaKey, SagaState, State
from services.redemption.domain.stock import give_back
from services.redemption.domain.timing_out import is_over, now_for, time_out

CAME_LATE = "came_late"


def fulfil(state: State, heard: PointsHeld, moment: Moment) -> tuple[AnyFact, ...]:
    """Make the vouchers and say so together with the request for the capture, which cannot be refused.

    Points that come for a saga that gave up are asked back; a repeat changes nothing. What is to be confirmed later
    is held until then.
    """
    saga = saga_of(state, heard)
    if saga is None:
        return ()
    if not awaits_points(saga):
        return (f.ReleaseAsked(reason=CAME_LATE),) if saga.hold is HoldState.RELEASE_ASKED else ()
    check_price(saga, heard)
    if is_over(saga, now_for(saga, heard, moment)):
        return time_out(saga)
    if saga.later:
        return (*_counted(saga, heard), f.HeldForLater(lots=heard.lots))
    return (*_counted(saga, heard), *finish(state, saga, heard.lots, moment))


def finish(state: State, saga: Saga, lots: tuple[LotAmount, ...], moment: Moment) -> tuple[AnyFact, ...]:
    """Pass the point of no return, and give the member the reward, or ask the partner to."""
    begun = f.FulfilmentBegun(lots=lots)
    fulfilment = state.terms_of(saga).fulfilment
    if fulfilment is not None:
        return (begun, f.PartnerAsked(place=place_of(fulfilment.url)))
    if _vouchers_short(saga, state.terms_of(saga), moment):
        # Codes that were set aside have ended while points were asked for.
        return _sold_out(saga)
    return (begun, *complete(saga, state.terms_of(saga), moment))


def complete(saga: Saga, terms: Terms, moment: Moment, *, elsewhere: bool = False) -> tuple[AnyFact, ...]:
    """Give the member the reward; `elsewhere`: the codes of its vouchers are a partner's, which takes them."""
    out: list[AnyFact] = list(_vouchers(saga, terms, moment, elsewhere=elsewhere))
    if saga.counted:
        out.append(f.StockTaken(reward=saga.reward, quantity=saga.quantity))
    out.append(f.RedemptionFulfilled())
    return tuple(out)


def _counted(saga: Saga, heard: PointsHeld) -> tuple[AnyFact, ...]:
    """Say how many points there were, where as many were to be held as there are."""
    bargain = saga.bargain
    if bargain.least is None:
        return ()
    rest = to_pay(heard.amount, bargain.price, bargain.cost, bargain.rate)
    return (f.PointsCounted(points=heard.amount, to_pay=rest),)


def vouchers_needed(state: State, saga: Saga, heard: PointsHeld | ConfirmRedemption | PartnerAnswered) -> int:
    """Return how many blanks an answer to this may use up."""
    match heard:
        case PointsHeld():
            ready = awaits_points(saga) and not saga.later
        case ConfirmRedemption():
            ready = can_be_confirmed(saga) or can_be_settled(saga, heard)
        case _:
            ready = saga.state is SagaState.FULFILLING and heard.fulfilled and not saga.cancelled_by
    return saga.quantity if ready and state.terms_of(saga).vouchers is not None else 0


def can_be_settled(saga: Saga, heard: AskOfRedemption) -> bool:
    """Say whether an operator may decide for a partner that has been silent for too long."""
    return saga.state is SagaState.FULFILLING and saga.delayed and heard.settles


def can_be_confirmed(saga: Saga) -> bool:
    """Say whether points, stock and price are held for whoever confirms."""
    return saga.state is SagaState.HOLDING and saga.hold is not HoldState.ASKED


def _vouchers_short(saga: Saga, terms: Terms, moment: Moment) -> bool:
    return terms.vouchers is not None and saga.quantity > len(moment.blanks)


def _sold_out(saga: Saga) -> tuple[AnyFact, ...]:
    return (
        *release(saga, "sold_out"),
        *give_back(saga),
        f.RedemptionRefused(code="sold_out", detail="The codes that were set aside have ended", facts={"left": 0}),
    )


def voucher_id(key: SagaKey, number: int) -> str:
    """Return the id of a saga's voucher. The same saga can only ever make the same ids, so none is issued twice."""
    name = "\n".join((*key, str(number))).encode()
    return "v-" + base64.b32encode(hashlib.sha256(name).digest()[:15]).decode().lower()


def _vouchers(saga: Saga, terms: Terms, moment: Moment, *, elsewhere: bool) -> list[f.VoucherIssued]:
    voucher = terms.vouchers
    if voucher is None:
        return []
    expires_at = _expiry(voucher, saga.zone, moment.at)
    return [
        f.VoucherIssued(
            voucher=blank.voucher,
            number=number,
            suffix=blank.suffix,
            value=voucher.value,
            expires_at=_sooner(expires_at, blank.code_ends_at),
            not_above_basket=voucher.not_above_basket,
            percent=voucher.percent,
            product=voucher.product,
            parts=voucher.parts,
            elsewhere=elsewhere or voucher.elsewhere,
            code_ends_at=blank.code_ends_at,
        )
        for number, blank in zip(range(1, saga.quantity + 1), moment.blanks, strict=True)
    ]


def _sooner(expires_at: datetime | None, code_ends_at: datetime | None) -> datetime | None:
    """Return when a voucher ends: with its code at the latest."""
    ends = [each for each in (expires_at, code_ends_at) if each is not None and each != NEVER]
    return min(ends, default=None)


def _expiry(terms: VoucherTerms, zone: str, at: datetime) -> datetime | None:
    """Return the local midnight so many days after today's (S3); the last good day is the one before it."""
    if terms.valid_days is None:
        return None
    today = local_date(at, zone_named(zone))
    if terms.valid_days >= (date.max - today).days:
        return None  # good for longer than there are dates
    return local_midnight(today + timedelta(days=terms.valid_days), zone_named(zone))
