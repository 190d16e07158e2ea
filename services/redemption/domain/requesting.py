"""A member asks for a reward: stock is set aside at once, then points are asked for the price."""

from __future__ import annotations

from typing import Final

from laurel.errors import PROBLEMS
from laurel.values import AMOUNT_MAX
from services.redemption.domain import facts as f
from services.redemption.domain.answering import ImpossibleMessageError
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.heard import Redeem
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import HoldState, RewardKey, Saga, SagaKey, SagaState, State, Stock

QUANTITY_MAX: Final = 1000
"""The most pieces of one redemption: all its vouchers are made in one transaction."""


def request(state: State, heard: Redeem, moment: Moment) -> tuple[AnyFact, ...]:
    """Reserve and ask for points, or refuse at once."""
    assert heard.member is not None
    saga = state.sagas.get(SagaKey(heard.program, heard.member, heard.redemption))
    if saga is not None and not _may_be_judged_again(saga):
        return _again(saga, heard)
    stock = state.stock.get(RewardKey(heard.program, heard.reward))
    if stock is None or stock.version == 0:
        detail = f"There is no reward {heard.reward}"
        return (_asked(heard, moment), f.RedemptionRefused(code="reward_unknown", detail=detail))
    return _reserve(state, stock, heard, moment)


def _reserve(state: State, stock: Stock, heard: Redeem, moment: Moment) -> tuple[AnyFact, ...]:
    terms = state.terms[stock.key, stock.version]
    points = terms.price * heard.quantity
    if heard.quantity > QUANTITY_MAX or points > AMOUNT_MAX:
        detail = f"At most {QUANTITY_MAX} pieces and {AMOUNT_MAX} {terms.unit} at once"
        return (_asked(heard, moment), f.RedemptionRefused(code="limit_reached", detail=detail))
    asked = _asked(heard, moment, reward_version=stock.version, unit=terms.unit, points=points)
    now = heard.versions.as_of if moment.program.manual else moment.at
    if not stock.has(heard.quantity, now):
        left = stock.left_at(now)
        detail = f"{heard.quantity} of {heard.reward} were asked for, {left} are left"
        return (asked, f.RedemptionRefused(code="sold_out", detail=detail, facts={"left": left}))
    waiting = _waiting(heard, moment)
    if stock.total is None:
        return (asked, waiting)
    return (asked, f.StockReserved(reward=heard.reward, quantity=heard.quantity), waiting)


def _waiting(heard: Redeem, moment: Moment) -> f.PointsAsked:
    """Say how long it waits: by the wall's clock, or, to be confirmed, by the program's own where that was ever set.

    Nothing else of a program with a clock of its own waits: points answer whenever they do.
    """
    if not moment.program.manual:
        return f.PointsAsked(waits_until=moment.at + moment.hold_wait)
    if heard.later and heard.versions.as_of is not None:
        return f.PointsAsked(waits_until=heard.versions.as_of + moment.hold_wait, manual=True)
    return f.PointsAsked()


def _asked(
    heard: Redeem, moment: Moment, *, reward_version: int = 0, unit: str = "", points: int = 0
) -> f.RedemptionRequested:
    return f.RedemptionRequested(
        partner=heard.partner,
        hash=heard.hash,
        reward=heard.reward,
        quantity=heard.quantity,
        version=heard.versions.program,
        zone=moment.program.zone,
        correlation=moment.correlation,
        reward_version=reward_version,
        unit=unit,
        points=points,
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
