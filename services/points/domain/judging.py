"""An activity is judged: a purchase and its like earn, a return takes back."""

from __future__ import annotations

from services.points.domain.asked import Report
from services.points.domain.earning import earn
from services.points.domain.facts import AnyFact
from services.points.domain.moment import Moment
from services.points.domain.returning import take_back
from services.points.domain.state import Wallet


def judge(wallet: Wallet, asked: Report, moment: Moment) -> tuple[AnyFact, ...]:
    """Return what the activity leads to; whether its id was used before is the road's to know."""
    activity = moment.activity if moment.activity is not None else asked.decoded()
    if activity.type == "return":
        return take_back(wallet, asked, activity, moment)
    return earn(wallet, asked, activity, moment)
