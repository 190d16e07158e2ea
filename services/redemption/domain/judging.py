"""Whether a member gets a reward, for what price, and what it draws from: asked by a request and by a quote alike."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from services.redemption.domain.bargain import Bargain, Draw
from services.redemption.domain.drawing import draws, is_of_seats, segments_of, shortages, unknown_resources
from services.redemption.domain.eligibility import what_stands_in_the_way
from services.redemption.domain.heard import Redeem, Terms
from services.redemption.domain.moment import Moment
from services.redemption.domain.pricing import Priced, price
from services.redemption.domain.reasons import Reason, not_eligible
from services.redemption.domain.resources import of_day
from services.redemption.domain.state import RewardKey, State

QUANTITY_MAX: Final = 1000
"""The most pieces of one redemption: all its vouchers are made in one transaction."""

_MISUNDERSTOOD: Final = frozenset({"invalid", "resource_unknown", "currency_not_accepted"})


class Judged(NamedTuple):
    """What was found: without `reasons` the member gets it. A price may be known although it does not."""

    version: int = 0
    terms: Terms | None = None
    reasons: tuple[Reason, ...] = ()
    priced: Priced | None = None
    drawn: tuple[Draw, ...] = ()


def judge(state: State, heard: Redeem, moment: Moment) -> Judged:
    """Look at everything that a reward asks for; the first reason is the one that a refusal names."""
    key = RewardKey(heard.program, heard.reward)
    stock = state.stock.get(key)
    if stock is None or stock.version == 0:
        return Judged(reasons=(Reason("reward_unknown", f"There is no reward {heard.reward}"),))
    if heard.stands is not None and not heard.stands.active:
        # Points would say so of what costs any; of what is free nobody else would.
        return Judged(reasons=(Reason("member_not_active", "The member takes part no more"),))
    version = state.in_force(key, moment.at)
    if version is None:
        return Judged(reasons=(not_eligible("Not offered yet", "not_yet_open"),))
    terms = state.terms[key, version]
    resources = state.resources_of(heard.program)
    reasons = [*unknown_resources(terms, heard, resources), *what_stands_in_the_way(terms, heard, moment)]
    pieces = heard.pieces
    if pieces > QUANTITY_MAX:
        reasons.append(Reason("limit_reached", f"At most {QUANTITY_MAX} pieces at once", {"most": QUANTITY_MAX}))
    priced = price(terms, heard, moment)
    if isinstance(priced, Reason):
        reasons.append(priced)
    drawn = draws(terms, heard, moment, resources)
    # Nothing is short of a resource that nobody knows.
    unknown = any(reason.code == "resource_unknown" for reason in reasons)
    reasons += shortages([each for each in drawn if not (unknown and is_of_seats(each))], heard, state.tallies)
    left = stock.left(terms, clock_at(heard, moment))
    if left is not None and left < pieces:
        detail = f"{pieces} of {heard.reward} were asked for, {left} are left"
        reasons.append(Reason("sold_out", detail, {"left": left}))
    if isinstance(priced, Priced) and priced.points:
        reasons += _away(_honoured_by(terms, heard, state), moment)
    # What was not understood comes first; what is short all the same is said in the catalogue.
    reasons.sort(key=lambda reason: reason.code not in _MISUNDERSTOOD)
    return Judged(version, terms, tuple(reasons), None if isinstance(priced, Reason) else priced, drawn)


def _away(partner: str | None, moment: Moment) -> list[Reason]:
    """Say what points would say last of all, and only of what costs points: nothing is spent with who is away."""
    if partner not in moment.away:
        return []
    return [Reason("partner_not_active", f"{partner} does not take part now", {"partner": partner})]


def clock_at(heard: Redeem, moment: Moment) -> datetime | None:
    """Return the time by which things end: that of the program's clock; nothing ends before one was set by hand."""
    return heard.versions.as_of if moment.program.manual else moment.at


def bargain_of(judged: Judged, heard: Redeem, state: State) -> Bargain:
    """Return what a saga keeps of it."""
    terms, priced = judged.terms, judged.priced
    if terms is None or priced is None:
        return Bargain(quantity=heard.quantity, party=heard.party)
    return Bargain(
        price=priced.price,
        least=priced.least,
        cost=priced.cost,
        rate=priced.rate,
        to_pay=priced.to_pay,
        quantity=heard.quantity,
        party=heard.party,
        honoured_by=_honoured_by(terms, heard, state),
        beneficiary=heard.beneficiary,
        for_other=heard.for_other,
        on=heard.on,
    )


def _honoured_by(terms: Terms, heard: Redeem, state: State) -> str | None:
    """Return who gives it: the partner of the first seat, else that of the reward."""
    resources = state.resources_of(heard.program)
    for segment in segments_of(terms, heard):
        said = of_day(resources.get(segment.resource, ()), segment.on)
        if said is not None and said.partner is not None:
            return said.partner
    return terms.partner
