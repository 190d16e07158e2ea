"""What a redemption would cost and whether it would be granted: the same judgement as a request's, changing nothing."""

from __future__ import annotations

from typing import Any

import msgspec

from services.redemption.domain.days import leaves_day_open
from services.redemption.domain.heard import Money, Redeem
from services.redemption.domain.judging import Judged, judge
from services.redemption.domain.moment import Moment
from services.redemption.domain.pricing import may_be_priced, to_pay
from services.redemption.domain.reasons import Reason
from services.redemption.domain.state import State


class Quoted(msgspec.Struct, frozen=True):
    """`eligible` says whether anything but points stands in the way; `reasons` are codes, `explained` their sentences.

    `points` is what is to be paid of the `price` with what is `available`, `shortfall` what is missing of that.
    """

    eligible: bool
    reasons: tuple[str, ...]
    explained: tuple[dict[str, Any], ...]
    price: dict[str, Any] | None
    points: int | None
    to_pay: Money | None
    available: int
    shortfall: int
    affordable: bool


def quote(state: State, heard: Redeem, moment: Moment, balances: dict[str, int]) -> Quoted:
    """Judge a wish for a member with these balances; what is below zero is owed."""
    return _told(judge(state, heard, moment), balances)


def offer(state: State, heard: Redeem, moment: Moment, balances: dict[str, int]) -> Quoted:
    """Judge a reward of the catalogue: what a wish would have to say yet does not stand in its way."""
    judged = judge(state, heard, moment)
    reasons = tuple(each for each in judged.reasons if not _is_left_open(each, judged, heard, moment))
    return _told(judged._replace(reasons=reasons), balances)


def _is_left_open(reason: Reason, judged: Judged, heard: Redeem, moment: Moment) -> bool:
    """Say whether it may be no reason once the wish says what it leaves open yet."""
    if judged.terms is None:
        return False
    if reason.code == "blacked_out":
        return leaves_day_open(judged.terms, heard)
    if reason.facts.get("why") == "chart":
        return may_be_priced(judged.terms, heard, moment)
    return reason.code == "invalid"


def _told(judged: Judged, balances: dict[str, int]) -> Quoted:
    priced, unit = judged.priced, judged.terms.unit if judged.terms is not None else ""
    # Below zero it is owed, and paid before anything can be held (S11).
    net = balances.get(unit, 0)
    available = max(0, net)
    explained = tuple({"code": each.code, "detail": each.detail, **each.facts} for each in judged.reasons)
    reasons = tuple(dict.fromkeys(each.code for each in judged.reasons))
    if priced is None:
        return Quoted(not reasons, reasons, explained, None, None, None, available, 0, affordable=False)
    points, rest, needed = priced.points, priced.to_pay, priced.points
    if priced.least is not None:
        points, needed = min(points, available), priced.least
        rest = to_pay(points, priced.price, priced.cost, priced.rate)
    shortfall = max(0, needed - net) if needed else 0
    price = {"unit": unit, "amount": priced.price}
    return Quoted(not reasons, reasons, explained, price, points, rest, available, shortfall, affordable=not shortfall)
