"""A member asks for a reward: stock is set aside at once, then points are asked for the price."""

from __future__ import annotations

from laurel.errors import PROBLEMS
from services.redemption.domain import facts as f
from services.redemption.domain.answering import ImpossibleMessageError
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.fulfilling import finish
from services.redemption.domain.heard import Redeem
from services.redemption.domain.judging import Judged, bargain_of, judge
from services.redemption.domain.moment import Moment
from services.redemption.domain.pricing import price
from services.redemption.domain.reasons import Reason, told_together
from services.redemption.domain.state import HoldState, RewardKey, Saga, SagaKey, SagaState, State


def request(state: State, heard: Redeem, moment: Moment) -> tuple[AnyFact, ...]:
    """Reserve and ask for points, or refuse at once."""
    assert heard.member is not None
    saga = state.sagas.get(SagaKey(heard.program, heard.member, heard.redemption))
    if saga is not None and not _may_be_judged_again(saga):
        return _again(saga, heard)
    judged = judge(state, heard, moment)
    asked = _asked(heard, moment, judged, state)
    if judged.reasons:
        reason = told_together(judged.reasons)
        return (asked, f.RedemptionRefused(code=reason.code, detail=reason.detail, facts=reason.facts))
    facts: list[AnyFact] = [asked]
    if judged.terms is not None and judged.terms.counted:
        facts.append(f.StockReserved(reward=heard.reward, quantity=asked.quantity))
    if judged.drawn:
        facts.append(f.Drawn(draws=judged.drawn))
    waiting = _waiting(heard, moment)
    if asked.points:
        return (*facts, waiting)
    if heard.later:
        return (*facts, f.HeldForLater(lots=(), waits_until=waiting.waits_until, manual=waiting.manual))
    return (*facts, *_at_once(state, heard, facts, moment))


def vouchers_at_once(state: State, heard: Redeem, moment: Moment) -> int:
    """Return how many blanks a request uses up that costs no points, and so waits for none.

    Only what looks free is judged for this; everything else is judged once, by `request`.
    """
    assert heard.member is not None
    saga = state.sagas.get(SagaKey(heard.program, heard.member, heard.redemption))
    if heard.later or (saga is not None and not _may_be_judged_again(saga)):
        return 0
    key = RewardKey(heard.program, heard.reward)
    version = state.in_force(key, moment.at)
    terms = state.terms.get((key, version)) if version is not None else None
    if terms is None or terms.vouchers is None or terms.fulfilment is not None:
        return 0
    priced = price(terms, heard, moment)
    if isinstance(priced, Reason) or priced.points or judge(state, heard, moment).reasons:
        return 0
    return heard.pieces


def _at_once(state: State, heard: Redeem, facts: list[AnyFact], moment: Moment) -> tuple[AnyFact, ...]:
    """Fulfil what costs no points: there is nothing to hold."""
    assert heard.member is not None
    key = SagaKey(heard.program, heard.member, heard.redemption)
    begun = State(terms=state.terms)
    for fact in facts:
        begun.apply(heard.program, key, fact)
    return finish(begun, begun.sagas[key], (), moment)


def _waiting(heard: Redeem, moment: Moment) -> f.PointsAsked:
    """Say how long it waits: by the wall's clock, or, to be confirmed, by the program's own.

    Nothing else of a program with a clock of its own waits: points answer whenever they do.
    """
    manual = moment.program.manual
    if manual and not heard.later:
        return f.PointsAsked()
    return f.PointsAsked(waits_until=moment.at + moment.hold_wait, manual=manual)


def _asked(heard: Redeem, moment: Moment, judged: Judged, state: State) -> f.RedemptionRequested:
    priced = judged.priced
    return f.RedemptionRequested(
        partner=heard.partner,
        hash=heard.hash,
        reward=heard.reward,
        quantity=heard.pieces,
        version=heard.versions.program,
        zone=moment.program.zone,
        correlation=moment.correlation,
        reward_version=judged.version,
        unit=judged.terms.unit if judged.terms is not None else "",
        points=priced.points if priced is not None else 0,
        bargain=bargain_of(judged, heard, state),
        later=heard.later,
    )


def _may_be_judged_again(saga: Saga) -> bool:
    """Say whether the contract left the id free: a refusal that is not kept, and nothing that points know of it."""
    return (
        saga.state is SagaState.REFUSED
        and saga.hold is HoldState.NONE
        and saga.code in PROBLEMS
        and not PROBLEMS[saga.code].kept
    )


def _again(saga: Saga, heard: Redeem) -> tuple[AnyFact, ...]:
    """Answer an id that is taken: a saga on its way will end by itself, one that has ended says so again.

    Another request under a taken id is the gateway's to refuse. One that comes here all the same (a gateway that
    lost its memory) is parked: a second outcome would contradict the first one before everybody who listens.
    """
    if saga.hash != heard.hash:
        raise ImpossibleMessageError(f"redemption {heard.redemption} was asked for before with another request")
    return (f.RequestRepeated(),) if saga.told else ()
