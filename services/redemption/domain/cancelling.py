"""A redemption is taken back: before its points are spent as if it had never been, afterwards as S13 says."""

from __future__ import annotations

from datetime import datetime

from services.redemption.domain import facts as f
from services.redemption.domain.answering import saga_asked_of
from services.redemption.domain.calling import place_of
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.fulfilling import can_be_settled
from services.redemption.domain.heard import CancelRedemption
from services.redemption.domain.moment import Moment
from services.redemption.domain.points_back import release, restore, tell_at_once
from services.redemption.domain.state import Saga, SagaState, State
from services.redemption.domain.stock import bring_back, give_back
from services.redemption.domain.timing_out import is_over, now_for, time_out
from services.redemption.domain.vouchers import Voucher, VoucherState

CANCELLED = "cancelled"


def cancel(state: State, heard: CancelRedemption, moment: Moment) -> tuple[AnyFact, ...]:
    """Give back stock, points and vouchers, or say why not. It is told when points have given back theirs."""
    saga = saga_asked_of(state, heard)
    if saga.state is SagaState.HOLDING:
        if is_over(saga, now_for(saga, heard, moment)):
            return (*time_out(saga), cancel_refused("redemption_ended", "It was not confirmed in time"))
        cancelled = f.RedemptionCancelled(by=heard.by, correlation=moment.correlation)
        return (*release(saga, CANCELLED), *give_back(saga), cancelled, *tell_at_once(saga))
    if saga.state is SagaState.FULFILLING:
        return _while_a_partner_is_asked(state, saga, heard, moment)
    if saga.state is SagaState.FULFILLED:
        return _take_back(state, saga, heard, moment)
    if saga.state is SagaState.CANCELLED:
        return (f.RequestRepeated(),) if saga.told else ()
    return (cancel_refused("redemption_ended", f"It has ended as {saga.state}"),)


def _while_a_partner_is_asked(state: State, saga: Saga, heard: CancelRedemption, moment: Moment) -> tuple[AnyFact, ...]:
    """Wait for what the partner says; an operator decides for one that has been silent for too long."""
    if not can_be_settled(saga, heard):
        if saga.cancelling:
            return ()
        return (f.CancellationNoted(by=heard.by, correlation=moment.correlation),)
    told = (
        (cancel_refused("redemption_ended", "An operator has taken it back", correlation=saga.cancelling),)
        if saga.cancelling
        else ()
    )
    cancelled = f.RedemptionCancelled(by=heard.by, correlation=moment.correlation)
    given = (f.PartnerDone(settled=True), *release(saga, CANCELLED), *give_back(saga))
    return (*given, *told, cancelled, *tell_partner(state, saga, heard.by), *tell_at_once(saga))


def tell_partner(state: State, saga: Saga, by: str) -> tuple[AnyFact, ...]:
    """Have a partner told that what it fulfilled, or may have fulfilled, is taken back."""
    fulfilment = state.terms_of(saga).fulfilment
    return (f.PartnerToBeTold(place=place_of(fulfilment.url), by=by),) if fulfilment is not None else ()


def vouchers_of(state: State, saga: Saga) -> list[Voucher]:
    """Return the vouchers that a redemption made, as they stand."""
    key = saga.key
    found = [each for each in state.vouchers.values() if (*each.key[:2], each.redemption) == key]
    return sorted(found, key=lambda voucher: voucher.key)


def _take_back(state: State, saga: Saga, heard: CancelRedemption, moment: Moment) -> tuple[AnyFact, ...]:
    vouchers = vouchers_of(state, saga)
    now = heard.versions.as_of if moment.program.manual else moment.at
    refused = next((found for each in vouchers if (found := _stands_in_the_way(each, heard.by, now))), None)
    if refused is not None:
        return (refused,)
    gone = taken_back(state, saga, heard.by, correlation=moment.correlation)
    return (*restore(saga, heard.by), *gone, *tell_at_once(saga))


def taken_back(state: State, saga: Saga, by: str, *, correlation: str) -> tuple[AnyFact, ...]:
    """Put what a fulfilled saga took on offer again, and kill those of its vouchers that nobody used."""
    dead = [
        f.VoucherVoided(voucher=each.key.voucher, partner=saga.partner)
        for each in vouchers_of(state, saga)
        if each.state is VoucherState.ISSUED
    ]
    cancelled = f.RedemptionCancelled(by=by, correlation=correlation)
    return (*bring_back(saga), cancelled, *tell_partner(state, saga, by), *dead)


def _stands_in_the_way(voucher: Voucher, by: str, now: datetime | None) -> f.AskRefused | None:
    """Say why a voucher keeps its redemption: it was used; or it has ended, which the member cannot undo."""
    if voucher.state is VoucherState.SPENT or voucher.remaining != voucher.value:
        detail = f"Voucher {voucher.key.voucher} was used; undo that first"
    elif by == "member" and voucher.elsewhere:
        detail = f"Voucher {voucher.key.voucher} is used at its partner, who may have taken it"
    elif by == "member" and voucher.is_over(now):
        detail = f"Voucher {voucher.key.voucher} has expired"
    else:
        return None
    return cancel_refused("redemption_used", detail, voucher=voucher.key.voucher)


def cancel_refused(code: str, detail: str, *, correlation: str = "", **facts: str) -> f.AskRefused:
    """Say that it is not taken back, and why; to somebody who asked earlier, by their correlation."""
    return f.AskRefused(asked="cancel", code=code, detail=detail, facts=facts, correlation=correlation)
