"""A bonus for reaching a threshold goes with what it was given for: when a return leaves less than that in its window.

It lies with the activity that reached the threshold, which may be another one than comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from laurel.program import CompiledProgram
from services.points.domain.facts import BonusTakenBack, Counted, PointsClawedBack, RuleJudged
from services.points.domain.moment import Programs
from services.points.domain.refilling import Counting
from services.points.domain.state import CounterKey, Posting, Wallet

ClawBack = Callable[[tuple[str, str], RuleJudged], list[PointsClawedBack]]
"""Lays what is taken back of an activity's rule over lots."""


class Lost(NamedTuple):
    """A bonus that goes back, with the activity it lies with and the program that judged that."""

    fact: BonusTakenBack
    clawbacks: list[PointsClawedBack]
    back: RuleJudged
    posting: Posting
    program: CompiledProgram


def bonuses_lost(wallet: Wallet, programs: Programs, counting: Counting, claw_back: ClawBack) -> list[Lost]:
    """Take back what is left of each bonus whose threshold is not reached any more, as the counters are moved."""
    lost = []
    for counted in counting.moved():
        known = wallet.counters.get(CounterKey(counted.counter, counted.start))
        if known is not None and known.given_in > 0:
            found = _lost(wallet, programs, counted, known.given_in, claw_back)
            lost += [found] if found is not None else []
    return lost


def _lost(wallet: Wallet, programs: Programs, counted: Counted, given_in: int, claw_back: ClawBack) -> Lost | None:
    of, posting = next((of, each) for of, each in wallet.postings.items() if each.journal == given_in)
    program = programs.version(wallet.program, posting.version)
    if program is None:
        message = f"version {posting.version} of {wallet.program}, which judged {of[1]}, is not known"
        raise AssertionError(message)
    rule = next(rule for rule in program.thresholds if rule.threshold and rule.threshold.counter == counted.counter)
    assert rule.threshold is not None
    if counted.total >= rule.threshold.reaches:
        return None
    amount = max(posting.granted(rule.id) - posting.clawed_back.get(rule.id, 0), 0)
    back = RuleJudged(rule=rule.id, fired=True, reason="returned", computed=0, amount=amount, unit=rule.unit)
    fact = BonusTakenBack(
        counter=counted.counter,
        start=counted.start,
        rule=rule.id,
        of_journal=given_in,
        activity=of[1],
        partner=of[0],
        amount=amount,
    )
    return Lost(fact, claw_back(of, back) if amount else [], back, posting, program)
