"""A redemption is taken back: before its points are spent as if it had never been, afterwards as S13 says."""

from __future__ import annotations

from datetime import datetime

from services.redemption.domain import facts as f
from services.redemption.domain.answering import saga_asked_of
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.heard import CancelRedemption
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import Saga, SagaState, State
from services.redemption.domain.stock import bring_back, give_back
from services.redemption.domain.timing_out import is_over, time_out
from services.redemption.domain.vouchers import Voucher, VoucherState

CANCELLED = "cancelled"


def cancel(state: State, heard: CancelRedemption, moment: Moment) -> tuple[AnyFact, ...]:
    """Give back stock, points and vouchers, or say why not. It is told when points have given back theirs."""
    saga = saga_asked_of(state, heard)
    if saga.state is SagaState.HOLDING:
        if is_over(saga, moment.at):
            return (*time_out(saga), _refused("redemption_ended", "It was not confirmed in time"))
        cancelled = f.RedemptionCancelled(by=heard.by, correlation=moment.correlation)
        return (f.ReleaseAsked(reason=CANCELLED), *give_back(saga), cancelled)
    if saga.state is SagaState.FULFILLED:
        return _take_back(state, saga, heard, moment)
    if saga.state is SagaState.CANCELLED and saga.told:
        return (f.RequestRepeated(),)
    if saga.state is SagaState.CANCELLED:
        return ()
    return (_refused("redemption_ended", f"It has ended as {saga.state}"),)


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
    dead = [
        f.VoucherVoided(voucher=each.key.voucher, partner=saga.partner)
        for each in vouchers
        if each.state is VoucherState.ISSUED
    ]
    cancelled = f.RedemptionCancelled(by=heard.by, correlation=moment.correlation)
    return (f.CancelAsked(by=heard.by), *bring_back(saga), cancelled, *dead)


def _stands_in_the_way(voucher: Voucher, by: str, now: datetime | None) -> f.AskRefused | None:
    """Say why a voucher keeps its redemption: it was used; or it has ended, which the member cannot undo."""
    if voucher.state is VoucherState.SPENT or voucher.remaining != voucher.value:
        detail = f"Voucher {voucher.key.voucher} was used; undo that first"
    elif by == "member" and voucher.is_over(now):
        detail = f"Voucher {voucher.key.voucher} has expired"
    else:
        return None
    return _refused("redemption_used", detail, voucher=voucher.key.voucher)


def _refused(code: str, detail: str, **facts: str) -> f.AskRefused:
    return f.AskRefused(asked="cancel", code=code, detail=detail, facts=facts)
