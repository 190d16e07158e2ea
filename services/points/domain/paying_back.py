"""What points paid for came back: the capture that a tender names is undone as far, as by a cancellation (S13)."""

from __future__ import annotations

from laurel.contracts.activity import ReportedActivity
from laurel.rounding import scaled
from services.points.domain.asked import Report
from services.points.domain.cancelling import undo
from services.points.domain.facts import ActivityRefused, AnyFact
from services.points.domain.moment import Moment
from services.points.domain.returning import read_return, tender_positions
from services.points.domain.state import Hold, Wallet

POINTS = "points"
"""The kind of a tender that is paid with points; its `ref` names the hold, or the redemption, which is its hold."""


def holds_named(activity: ReportedActivity) -> list[str]:
    """Return the names of holds that paid for a part of an activity."""
    return [each.ref for each in activity.tenders or () if each.kind == POINTS and each.ref]


def captures_back(wallet: Wallet, asked: Report, activity: ReportedActivity) -> list[tuple[Hold, int]]:
    """Return how much of which captures comes back with a return, all parts of which make the whole.

    Another partner's hold is not named by this one's till; one that was not captured has nothing to give.
    """
    found = read_return(wallet, asked, activity) if wallet.holds else None
    if found is None or isinstance(found, ActivityRefused):
        return []
    sums: dict[str, tuple[int, int, int]] = {}
    for each in tender_positions(found, activity):
        if each.kind == POINTS:
            amount, before, after = sums.get(each.ref, (0, 0, 0))
            sums[each.ref] = (amount + each.amount, before + each.before, after + each.after)
    out = []
    for ref, (amount, before, after) in sums.items():
        hold = wallet.holds.get(ref)
        if hold is None or hold.state != "captured" or hold.partner not in {"", asked.partner} or not amount:
            continue
        spent = hold.captured + hold.cancelled
        upto, had = (scaled(spent, each, amount, "half_up") for each in (after, before))
        if back := min(upto - had, hold.captured):
            out.append((hold, back))
    return out


def pay_back(
    wallet: Wallet, hold: Hold, amount: int, activity: ReportedActivity, moment: Moment
) -> tuple[AnyFact, ...]:
    """Give points of a capture back. Unless the return says otherwise the member did not choose that."""
    return undo(wallet, hold, amount, activity.by or "provider", moment, by_return=activity.id)
