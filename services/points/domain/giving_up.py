"""Points that wait are given up: as a return would, that makes room in the windows and limits that had counted them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.points.domain.asked import DecidePending
from services.points.domain.facts import AnyFact, LotPart, PendingDecided, PendingGivenUp, RuleJudged, Unrefused
from services.points.domain.granting import pay
from services.points.domain.limiting import people_back
from services.points.domain.moment import Moment
from services.points.domain.refilling import Counting, Refilling, give_limits_back, lower
from services.points.domain.state import CounterKey, Lot, Posting, Refusal, Wallet


def give_up(
    wallet: Wallet,
    lots: Sequence[Lot],
    decided: PendingDecided,
    asked: DecidePending,
    moment: Moment,
    theirs: Sequence[Lot] = (),
) -> tuple[AnyFact, ...]:
    """Give the pending points of an activity up; let what they leave room for be granted, as after a return.

    What caps had refused to the same awards is forgotten: nobody approves it either. `theirs` are the lots that others
    give up of it.
    """
    lots = sorted(lots, key=lambda lot: lot.name)
    given_up = [
        PendingGivenUp(unit=lot.unit, rule=lot.rule, funder=lot.funder, part=LotPart(lot.name, lot.pending))
        for lot in lots
    ]
    posting = wallet.postings.get((decided.partner, decided.activity))
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
    refilling = Refilling(wallet, moment, counting, (), unrefused, asked.versions.partners)
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
