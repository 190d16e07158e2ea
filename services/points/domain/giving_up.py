"""Points that wait are given up: as a return would, that makes room in the windows and limits that had counted them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from services.points.domain.facts import AnyFact, LotPart, PendingDecided, PendingGivenUp, RuleJudged, Unrefused
from services.points.domain.granting import pay
from services.points.domain.limiting import people_back
from services.points.domain.moment import Moment
from services.points.domain.pending_state import ends_waiting_at
from services.points.domain.refilling import Counting, Refilling, give_limits_back, lower
from services.points.domain.state import CounterKey, Lot, Posting, Refusal, Wallet
from services.points.domain.tiering import ANY_VERSION


def give_up(
    wallet: Wallet,
    lots: Sequence[Lot],
    decided: PendingDecided,
    newest: int,
    moment: Moment,
    theirs: Sequence[Lot] = (),
) -> tuple[AnyFact, ...]:
    """Give the pending points of an activity up; let what they leave room for be granted, as after a return.

    What caps had refused to the same awards is forgotten: nobody approves it either. `theirs` are the lots that others
    give up of it, `newest` the version up to which is known what was said of partners.
    """
    lots = sorted(lots, key=lambda lot: lot.name)
    posting = wallet.postings.get((decided.partner, decided.activity))
    given_up = [
        PendingGivenUp(
            unit=lot.unit,
            rule=lot.rule,
            funder=lot.funder,
            part=LotPart(lot.name, lot.pending),
            of_journal=posting.journal if posting is not None and posting.journal != lot.name.journal else 0,
        )
        for lot in lots
    ]
    if posting is not None and theirs:
        decided = msgspec.structs.replace(decided, of_journal=posting.journal, theirs=_by_rule(theirs))
    program = moment.programs.version(wallet.program, posting.version) if posting is not None else None
    if posting is None or program is None or not posting.counted:
        return (decided, *given_up)
    back = [
        RuleJudged(rule=lot.rule, fired=True, reason="given_up", computed=0, amount=lot.pending, unit=lot.unit)
        for lot in lots
    ]
    counting = Counting(wallet)
    unrefused = _unrefused(wallet, posting, {lot.rule for lot in lots})
    # What was pending was not outstanding.
    refilling = Refilling(wallet, moment, counting, (), unrefused, newest)
    freed = lower(program, posting, back, counting)
    give_limits_back(program, posting, _gone(posting, [*lots, *theirs]), counting)
    # What is refilled would not know what the account has counted of which this one is a part.
    for counted, amount in freed if wallet.merged_into is None else ():
        refilling.refill(CounterKey(counted.counter, counted.start), amount)
    owed = {unit: balance.owed for unit, balance in wallet.balances.items() if balance.owed}
    return (
        msgspec.structs.replace(decided, counted=counting.moved(), unrefused=unrefused),
        *people_back(posting, counting.moved()),
        *given_up,
        *refilling.drawn,
        *refilling.grants,
        *pay(owed, refilling.grants, moment.journal),
    )


def next_given_up(wallet: Wallet, until: datetime) -> datetime | None:
    """Return when the next lot ends before what it awaits has come, by `until`."""
    ends = (ends_waiting_at(wallet, lot) for lot in wallet.lots.values() if lot.pending)
    return min((end for end in ends if end is not None and end <= until), default=None)


def give_up_ended(wallet: Wallet, moment: Moment) -> tuple[AnyFact, ...]:
    """Give up what has ended of one activity, the one that was posted first: nobody can have it any more."""
    ended = [
        lot
        for lot in wallet.lots.values()
        if lot.pending and (end := ends_waiting_at(wallet, lot)) is not None and end <= moment.at
    ]
    first = min(ended, key=lambda lot: lot.name)
    lots = [lot for lot in ended if (lot.partner, lot.activity) == (first.partner, first.activity)]
    amount = sum(lot.pending for lot in lots)
    decided = PendingDecided(activity=first.activity, partner=first.partner, approved=False, amount=amount, ended=True)
    return give_up(wallet, lots, decided, ANY_VERSION, moment)


def _unrefused(wallet: Wallet, posting: Posting, rules: set[str]) -> tuple[Unrefused, ...]:
    own = [
        refusal
        for refusal in wallet.refusals.values()
        if refusal.journal == posting.journal and refusal.rule in rules and refusal.left
    ]
    return tuple(Unrefused(each.journal, each.rule, each.left) for each in sorted(own, key=Refusal.order))


def _gone(posting: Posting, lots: Sequence[Lot]) -> set[str]:
    """Return the rules of whose award nothing is left once these lots are given up."""
    return {
        rule
        for rule, amount in _by_rule(lots).items()
        if amount + posting.clawed_back.get(rule, 0) >= posting.granted(rule)
    }


def _by_rule(lots: Sequence[Lot]) -> dict[str, int]:
    falls: dict[str, int] = {}
    for lot in lots:
        falls[lot.rule] = falls.get(lot.rule, 0) + lot.pending
    return falls
