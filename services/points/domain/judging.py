"""An activity is judged: a purchase and its like earn, a return takes back, and so does what ends something early."""

from __future__ import annotations

from laurel.contracts.activity import ReportedActivity
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
    if activity.of is not None:
        ended = _ended(wallet, asked, activity, moment)
        if ended is None or ended:
            return take_back(wallet, asked, activity, moment, rules=ended or frozenset())
    return earn(wallet, asked, activity, moment)


def _ended(wallet: Wallet, asked: Report, activity: ReportedActivity, moment: Moment) -> frozenset[str] | None:
    """Return the rules that give less because something ended early; None where what it names is not known."""
    program = moment.programs.in_force(wallet.program, activity.occurred_at, asked.versions.program)
    if program is None or activity.type not in program.closing:
        return frozenset()
    posting = wallet.postings.get((asked.partner, activity.of or ""))
    if posting is None:
        return None
    judged_by = moment.programs.version(wallet.program, posting.version)
    if judged_by is None:
        return None
    return judged_by.taken_back_by(activity.type, activity.occurred_at, posting.occurred_at)
