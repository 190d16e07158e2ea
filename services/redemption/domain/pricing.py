"""What a reward costs, and how it is paid: whole points, rounded up for money (S2), the rest in money where it may."""

from __future__ import annotations

from typing import NamedTuple

from laurel.rounding import scaled
from laurel.values import AMOUNT_MAX
from services.redemption.domain.asking_terms import holds
from services.redemption.domain.days import days_of, falls_in, leaves_day_open
from services.redemption.domain.heard import ChartRow, Money, Pay, PayTerms, Rate, Redeem, Terms
from services.redemption.domain.moment import Moment
from services.redemption.domain.reasons import Reason, invalid, not_eligible


class Priced(NamedTuple):
    """`price` is all of it. `points` are to be held: exactly, or with `least` as many of them as there are."""

    price: int
    points: int
    least: int | None = None
    cost: Money | None = None
    rate: Rate | None = None
    to_pay: Money | None = None


def price(terms: Terms, heard: Redeem, moment: Moment) -> Priced | Reason:
    """Return what is to be paid, or why it cannot be said."""
    pieces = heard.pieces
    one = _of_one(terms, heard, moment)
    if isinstance(one, Reason):
        return one
    points, amount = one[0] * pieces, None if one[1] is None else one[1] * pieces
    if points > AMOUNT_MAX or (amount or 0) > AMOUNT_MAX:
        return Reason("limit_reached", f"At most {AMOUNT_MAX} {terms.unit} at once", {"price": points})
    rate = terms.by_amount or (terms.pay.rate if terms.pay is not None else None)
    cost = _cost(points, amount, rate)
    if cost is not None and cost.amount > AMOUNT_MAX:
        return Reason("limit_reached", f"At most {AMOUNT_MAX} {cost.currency} at once", {"price": points})
    wrong = _currency(heard, rate)
    return wrong or _paid(terms, heard.pay, Priced(points, points, None, cost, rate))


def to_pay(points: int, price_: int, cost: Money | None, rate: Rate | None) -> Money | None:
    """Return what so many points leave to be paid in money; nothing where they are the whole price."""
    if points >= price_ or cost is None or rate is None:
        return None
    return Money(max(0, cost.amount - scaled(points, rate.per, rate.points, "down")), cost.currency)


def may_be_priced(terms: Terms, heard: Redeem, moment: Moment) -> bool:
    """Say whether the chart has a price for this member once the wish says the zone or day that it leaves open."""
    return any(_fits(row, terms, heard, moment, openly=True) for row in terms.chart)


def _of_one(terms: Terms, heard: Redeem, moment: Moment) -> tuple[int, int | None] | Reason:
    """Return the points, and the money where that was named, for one piece and one person."""
    if terms.by_amount is not None:
        amount = heard.amount or terms.by_amount.amount
        if amount is None:
            return invalid("This reward is priced by an amount", "/amount", "missing")
        return scaled(amount, terms.by_amount.points, terms.by_amount.per, "up"), amount
    if heard.amount is not None:
        return invalid("This reward has a price of its own", "/amount")
    if not terms.chart:
        return terms.price, None
    for row in terms.chart:
        if _fits(row, terms, heard, moment):
            return row.price, None
    return not_eligible("No row of the chart is for this", "chart")


def _fits(row: ChartRow, terms: Terms, heard: Redeem, moment: Moment, *, openly: bool = False) -> bool:
    """Say whether a row is for this; `openly`: also where the wish has still to say the zone or the day."""
    zone = heard.attributes.get("zone")
    if row.zone not in {None, zone} and not (openly and zone is None):
        return False
    if row.season is not None and not (openly and leaves_day_open(terms, heard)):
        # The season is that of the earliest day, in whatever order the days are named.
        earliest = min(days_of(heard, moment))
        if not falls_in(earliest, terms.seasons.get(row.season, ())):
            return False
    if row.tiers is not None and (heard.stands is None or heard.stands.tier not in row.tiers):
        return False
    return row.where is None or holds(row.where, terms, heard, moment)


def _cost(points: int, amount: int | None, rate: Rate | None) -> Money | None:
    if rate is None:
        return None
    return Money(scaled(points, rate.per, rate.points, "up") if amount is None else amount, rate.currency)


def _currency(heard: Redeem, rate: Rate | None) -> Reason | None:
    named = [heard.currency, heard.pay.cash.currency if heard.pay is not None and heard.pay.cash is not None else None]
    for currency in named:
        if currency is not None and (rate is None or currency != rate.currency):
            wanted = "no money" if rate is None else rate.currency
            return Reason("currency_not_accepted", f"This reward takes {wanted}, not {currency}")
    return None


def _paid(terms: Terms, wish: Pay | None, whole: Priced) -> Priced | Reason:
    pay = terms.pay or PayTerms()
    if whole.price == 0:
        return whole
    if not pay.cash:
        return _in_points(terms, wish, whole, pay.least)
    if (wish is None and pay.most) or (wish is not None and wish.all_points):
        return _enough(whole.price, pay.least, whole._replace(least=max(pay.least or 1, _for_cash(wish, whole))))
    if wish is None:
        return _enough(whole.price, pay.least, whole)
    points = _wished(wish, whole)
    rest = to_pay(points, whole.price, whole.cost, whole.rate)
    needed = rest.amount if rest is not None else 0
    if wish.cash is not None and points < whole.price and points == _for_cash(wish, whole):
        # What cash leaves is rounded up to whole points, so it may be a little more than these points would leave.
        rest = wish.cash
    elif wish.cash is not None and wish.cash.amount != needed:
        detail = f"{points} {terms.unit} leave {needed} to pay, not {wish.cash.amount}"
        return Reason("not_eligible", detail, {"why": "cash", "points": points, "to_pay": needed})
    return _enough(points, pay.least, whole._replace(points=points, to_pay=rest))


def _in_points(terms: Terms, wish: Pay | None, whole: Priced, least: int | None) -> Priced | Reason:
    """Pay the whole price in points, as who asks must want it."""
    wants_cash = wish is not None and wish.cash is not None and wish.cash.amount > 0
    if wants_cash or (wish is not None and wish.points is not None and wish.points < whole.price):
        return not_eligible(f"This reward is paid in {terms.unit} alone", "cash")
    return _enough(whole.price, least, whole)


def _wished(wish: Pay, whole: Priced) -> int:
    """Return how many points are to be paid: never more than the price."""
    if wish.points is not None:
        return min(wish.points, whole.price)
    return _for_cash(wish, whole)


def _for_cash(wish: Pay | None, whole: Priced) -> int:
    """Return how many points pay what the cash that somebody names leaves; none where nobody names any."""
    if wish is None or wish.cash is None:
        return 0
    assert whole.cost is not None and whole.rate is not None  # noqa: PT018 - there is a currency, so there is a rate
    rest = max(0, whole.cost.amount - wish.cash.amount)
    return min(whole.price, scaled(rest, whole.rate.points, whole.rate.per, "up"))


def _enough(points: int, least: int | None, priced: Priced) -> Priced | Reason:
    if points < (least or 1):
        return Reason("below_minimum", f"At least {least or 1} are to be paid in points", {"least": least or 1})
    return priced
