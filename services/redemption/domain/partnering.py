"""A partner fulfils: what it says is done; while it is silent nothing is undone, for it may have fulfilled."""

from __future__ import annotations

import base64
import hashlib

from services.redemption.domain import facts as f
from services.redemption.domain.cancelling import cancel_refused, tell_partner
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.fulfilling import complete
from services.redemption.domain.heard import PartnerAnswered, PartnerSilent
from services.redemption.domain.moment import Moment
from services.redemption.domain.points_back import release, restore, tell_at_once
from services.redemption.domain.state import Saga, SagaKey, SagaState, State
from services.redemption.domain.stock import bring_back, give_back

PARTNER_REFUSED = "partner_refused"


def take_answer(state: State, heard: PartnerAnswered, moment: Moment) -> tuple[AnyFact, ...]:
    """Fulfil or refuse as the partner says. One that was taken back meanwhile is fulfilled, and cancelled at once."""
    saga = _fulfilling(state, heard)
    if saga is None:
        return ()
    done = f.PartnerDone(reference=heard.reference)
    if not heard.fulfilled:
        return (done, *_refused(saga, heard))
    if not saga.cancelled_by:
        return (done, *complete(saga, state.terms_of(saga), moment, elsewhere=bool(heard.codes)))
    taken = (f.StockTaken(reward=saga.reward, quantity=saga.quantity),) if saga.counted else ()
    cancelled = f.RedemptionCancelled(by=saga.cancelled_by, correlation=saga.cancelling)
    told = tell_partner(state, saga, saga.cancelled_by)
    undone = (*restore(saga, saga.cancelled_by), *bring_back(saga), cancelled, *told, *tell_at_once(saga))
    return (done, *taken, f.RedemptionFulfilled(), *undone)


def see_silence(state: State, heard: PartnerSilent, _moment: Moment) -> tuple[AnyFact, ...]:
    """Tell that the partner is silent for too long; nothing else follows from it."""
    saga = _fulfilling(state, heard)
    return (f.PartnerDelayed(),) if saga is not None and not saga.delayed else ()


def call_id(key: SagaKey) -> str:
    """Return under which id a partner is asked: the same saga and step is the same question, however often."""
    name = "\n".join((*key, "fulfil")).encode()
    return "f-" + base64.b32encode(hashlib.sha256(name).digest()[:15]).decode().lower()


def _fulfilling(state: State, heard: PartnerAnswered | PartnerSilent) -> Saga | None:
    saga = state.sagas.get(SagaKey(heard.program, heard.member or "", heard.redemption))
    return saga if saga is not None and saga.state is SagaState.FULFILLING else None


def _refused(saga: Saga, heard: PartnerAnswered) -> tuple[AnyFact, ...]:
    told = (
        (cancel_refused("redemption_ended", "The partner has refused it", correlation=saga.cancelling),)
        if saga.cancelling
        else ()
    )
    refused = f.RedemptionRefused(
        code=PARTNER_REFUSED, detail=f"The partner says {heard.code}", facts={"partner_code": heard.code}
    )
    return (*release(saga, PARTNER_REFUSED), *give_back(saga), refused, *told)
