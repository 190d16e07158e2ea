"""What messages can touch, and what is loaded and locked for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from laurel.calendars import local_date
from laurel.contracts.activity import ReportedActivity
from laurel.contracts.processing import CannotProcessError
from laurel.program import CompiledProgram
from laurel.program.outcomes import runs_at
from laurel.program.sharing import gift_counters
from laurel.values import AMOUNT_MAX
from services.points.decoding import Step, judged_by
from services.points.domain.asked import (
    Adjust,
    Asked,
    AskOfHold,
    CancelSagaHold,
    CaptureHold,
    ChangeMember,
    Correct,
    DecideAdjustment,
    DecidePending,
    Enrol,
    Exchange,
    MatchStatus,
    Merge,
    PlaceHold,
    PlaceTimedHold,
    ReleaseHold,
    Report,
    Transfer,
)
from services.points.domain.capping import counters_at
from services.points.domain.paying_back import holds_named
from services.points.domain.shared import BlockName, BudgetName, key_name
from services.points.ports import ActivityKey, Needs, Payment, ProgramBook, Waiting, WalletKey

NEWEST: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""Names the newest window of a counter: a wallet's time never goes back, so no other can be meant."""

A_WEEK: Final = timedelta(days=7)
FIRST_DAY: Final = date(1970, 1, 1)
"""A day before which nothing is counted."""


class Needing:
    """Knows from the programs what is needed."""

    def __init__(self, programs: ProgramBook) -> None:
        self._programs = programs

    def of(self, steps: Sequence[Step]) -> Needs:
        """Say what the messages can touch."""
        needs = Needs()
        for step in steps:
            try:
                self._need_step(needs, step)
            except (ArithmeticError, ValueError) as error:
                # A time with which nobody can reckon is this message's matter; it is parked alone, with its reason.
                raise CannotProcessError(step.message, "undecidable", repr(error)) from error
        return needs

    def _need_step(self, needs: Needs, step: Step) -> None:
        needs.wallets.add(step.key)
        asked = step.asked
        if step.concerned or step.shares:
            self._need_concerned(needs, step)
        self._need_tiers(needs, step.key, step.activity)
        self._need_asked(needs, step, asked)
        if isinstance(asked, Enrol | ChangeMember) and asked.person is not None:
            needs.persons.setdefault(step.key, set()).add(asked.person)
        self._need_due(needs, step.key, asked)
        answering = {*([step.survivor] if step.survivor is not None else []), *step.between, *step.heirs.values()}
        for other in answering:
            _need_counted(needs, other, asked)
        wholly = (*step.pool, *answering)
        needs.whole.update(wholly)
        for other in (*step.others, *wholly):
            needs.wallets.add(other)
            self._need_tiers(needs, other)
            self._need_due(needs, other, asked)

    def _need_asked(self, needs: Needs, step: Step, asked: Asked) -> None:
        """Name what the very thing that is asked can touch."""
        if isinstance(asked, Report):
            self._need_reported(needs, step, asked)
        elif isinstance(asked, Enrol):
            needs.enrolling.add(step.key)
        elif isinstance(asked, PlaceHold | PlaceTimedHold):
            want = (*step.key, asked.unit)
            needs.spending[want] = needs.spending.get(want, 0) + asked.amount
            needs.holds.add((*step.key, asked.hold))
        elif isinstance(asked, DecidePending):
            needs.originals[ActivityKey(step.key.program, asked.partner, asked.activity)] = step.key
            self._need_refilled(needs, step.key, asked)
        elif isinstance(asked, Adjust | Correct | DecideAdjustment):
            _need_for_adjusting(needs, step.key, asked)
        elif isinstance(asked, CaptureHold | ReleaseHold | AskOfHold):
            needs.holds.add((*step.key, asked.hold))
        elif isinstance(asked, MatchStatus):
            _need_counted(needs, step.key, asked)
        elif step.others:
            _need_between(needs, step.key, step.others, asked)

    def of_time(self, wallets: Iterable[WalletKey], until: datetime, *, counting: bool = False) -> Needs:
        """Say what time alone can touch of members by an instant; `counting`: their tiers are looked at then, too."""
        needs = Needs(wallets=set(wallets), until=dict.fromkeys(wallets, until))
        for key in needs.wallets:
            self._need_tiers(needs, key)
            self._need_in_place(needs, key.program)
            if self._programs.conversions(key.program):
                needs.converting.add(key)
            if counting:
                needs.counting[key] = until.date() - A_WEEK
        return needs

    def of_payment(self, payment: Payment, waiting: Sequence[Waiting], until: datetime | None) -> Needs:
        """Say what a payment in advance can touch, for what waits for it."""
        needs = Needs(blocks={BlockName(payment.program, payment.partner, payment.unit)})
        # What waits was judged by whatever version was in force then.
        prepaying = self._programs.prepaying(payment.program)
        needs.blocks |= {
            BlockName(payment.program, funder, unit)
            for funder, unit in self._programs.funded(payment.program)
            if funder in prepaying
        }
        for each in waiting:
            key = WalletKey(each.program, each.member)
            needs.wallets.add(key)
            needs.unfunded.add((*key, each.journal))
            needs.originals[ActivityKey(each.program, each.partner, each.activity)] = key
            self._need_tiers(needs, key)
            if until is not None:
                needs.until[key] = until
                self._need_in_place(needs, key.program)
        return needs

    def _need_reported(self, needs: Needs, step: Step, asked: Report) -> None:
        activity = step.activity
        assert activity is not None  # decode() gives every report its activity
        needs.activities.add(ActivityKey(step.key.program, asked.partner, activity.id))
        self._need_blocks(needs, step.key, asked, activity)
        if (step.takes_back or step.releases) and activity.of is not None:
            needs.originals[ActivityKey(step.key.program, asked.partner, activity.of)] = step.key
        # Its return may be in the same batch.
        needs.holds |= {(*step.key, ref) for ref in holds_named(activity)}
        if activity.type != "return":
            needs.awaiting.add((*step.key, activity.type))
            self._need_more(needs, step.key, asked, activity)
            self._need_late(needs, step.key, asked, activity)

    def _need_due(self, needs: Needs, key: WalletKey, asked: Asked) -> None:
        """Name up to when time takes its due; redemption does not say where a sandbox's clock stands."""
        if self._programs.runs_by_itself(key.program):
            until: datetime | None = asked.at
        else:
            until = judged_by(asked, key.program).as_of
            if until is None and isinstance(asked, PlaceHold | CaptureHold | ReleaseHold | CancelSagaHold):
                needs.clocks.add(key.program)
            if isinstance(asked, ReleaseHold):
                until = asked.comes_after
        if until is not None:
            seen = needs.until.get(key)
            needs.until[key] = until if seen is None else max(seen, until)
            self._need_in_place(needs, key.program)
            if self._programs.conversions(key.program):
                needs.converting.add(key)

    def _need_more(self, needs: Needs, key: WalletKey, asked: Report, activity: ReportedActivity) -> None:
        """Name what an activity's program counts, and what may be credited once."""
        program = self._programs.in_force(key.program, activity.occurred_at, asked.versions.program)
        if program is None:
            return
        if program.counts:
            for counter, start in counters_at(program, activity):
                needs.counters.add((*key, counter, start))
        for limit in program.limited_by_person:
            window = program.windows.of(limit.window, activity.occurred_at, store=activity.store)
            needs.people.add((*key, limit.counter, window.start))
        for rule in program.budgeted:
            if activity.type in rule.on and runs_at(rule, activity.occurred_at):
                needs.budgets.add(BudgetName(key.program, rule.id))
        if activity.exclusive_key is not None:
            needs.keys.add(key_name(program, activity.exclusive_key))
        if activity.type in program.keeping_alive and activity.occurred_at < asked.at:
            self._need_lapsing(needs, key, program, activity, asked.at)

    def _need_lapsing(
        self, needs: Needs, key: WalletKey, program: CompiledProgram, activity: ReportedActivity, at: datetime
    ) -> None:
        """Say what a report may be too late for: all that had no end yet has ended since."""
        for unit in program.units:
            if not program.keeps_alive(unit, activity.type):
                continue
            lapses_at = program.lapses_at(unit, activity.occurred_at)
            if lapses_at is not None and lapses_at <= at:
                needs.lapsing.add((*key, unit))
                needs.spending[*key, unit] = AMOUNT_MAX

    def _need_late(self, needs: Needs, key: WalletKey, asked: Report, activity: ReportedActivity) -> None:
        """Say that points may have ended since, which the activity would have kept alive: they end at midnights."""
        until = asked.at if self._programs.runs_by_itself(key.program) else judged_by(asked, key.program).as_of
        if until is None or activity.occurred_at >= until:
            return
        program = self._programs.in_force(key.program, activity.occurred_at, asked.versions.program)
        if program is None or activity.type not in program.keeping_alive:
            return
        if local_date(activity.occurred_at, program.zone) < local_date(until, program.zone):
            needs.late[key] = min(activity.occurred_at, needs.late.get(key, activity.occurred_at))

    def _need_concerned(self, needs: Needs, step: Step) -> None:
        """Name the wallets of others whom an activity or its return concerns, and where they have a share."""
        needs.journals |= step.shares
        for other in (*step.concerned, *(WalletKey(*share[:2]) for share in sorted(step.shares))):
            needs.wallets.add(other)
            self._need_tiers(needs, other, step.activity)
            self._need_due(needs, other, step.asked)

    def _need_blocks(self, needs: Needs, key: WalletKey, asked: Report, activity: ReportedActivity) -> None:
        """Name the blocks that an activity, or what a return refills, may draw from."""
        prepaying = self._programs.prepaying(key.program)
        if not prepaying:
            return
        if activity.type == "return":
            needs.blocks |= self._refilling(key.program)
            return
        program = self._programs.in_force(key.program, activity.occurred_at, asked.versions.program)
        if program is None:
            return
        needs.blocks |= {
            BlockName(key.program, rule.funder, rule.unit)
            for rule in program.rules
            if rule.funder in prepaying and activity.type in rule.on and rule.may_be_by(asked.partner)
        }

    def _need_refilled(self, needs: Needs, key: WalletKey, asked: DecidePending) -> None:
        """Name the blocks that may pay for what is granted in the place of points that are given up."""
        if not asked.approve:
            needs.blocks |= self._refilling(key.program)

    def _need_in_place(self, needs: Needs, program: str) -> None:
        """Name the same blocks for what may end while it is pending."""
        if self._programs.prepaying(program):
            needs.refilling[program] = self._refilling(program)

    def _refilling(self, name: str) -> set[BlockName]:
        """Return the blocks that may pay for refills, whichever version judged what is refilled (S14)."""
        prepaying = self._programs.prepaying(name)
        if not prepaying or not self._programs.refills(name):
            return set()
        return {BlockName(name, funder, unit) for funder, unit in self._programs.funded(name) if funder in prepaying}

    def _need_tiers(self, needs: Needs, key: WalletKey, activity: ReportedActivity | None = None) -> None:
        """Say that a wallet's tier and segments are needed, and its counts from the day before an activity on."""
        if self._programs.has_segments(key.program):
            needs.segments.add(key)
        reach = self._programs.tiers_reach(key.program)
        if reach is None:
            return
        needs.tiers[key] = reach
        if activity is not None:
            # It may be written with another offset than the program's zone has, so that its day is another one.
            day = activity.occurred_at.date() - timedelta(days=3)
            needs.counting[key] = min(day, needs.counting.get(key, day))


def _need_for_adjusting(needs: Needs, key: WalletKey, asked: Adjust | Correct | DecideAdjustment) -> None:
    needs.adjustments.add((*key, asked.adjustment))
    if isinstance(asked, Adjust):
        want = (*key, asked.unit)
        needs.spending[want] = needs.spending.get(want, 0) + max(0, -asked.amount)
    elif isinstance(asked, Correct):
        needs.adjustments.add((*key, asked.of))
        needs.originals[ActivityKey(key.program, asked.of_partner, asked.of)] = key


def _need_counted(needs: Needs, key: WalletKey, asked: Asked) -> None:
    """Name what counts towards tiers by now: what is told of a standing says how much that is."""
    needs.counting[key] = min(asked.at.date() - A_WEEK, needs.counting.get(key, date.max))


def _need_between(needs: Needs, key: WalletKey, others: Sequence[WalletKey], asked: Asked) -> None:
    """Add what is touched beside the wallets: lots that could pay, what limits have counted, or all that is open."""
    if isinstance(asked, Merge):
        needs.whole |= {key, *others}
        needs.counting[key] = FIRST_DAY
        for other in others:
            _need_counted(needs, other, asked)
    if isinstance(asked, Transfer | Exchange):
        want = (*key, asked.unit)
        needs.spending[want] = needs.spending.get(want, 0) + asked.amount
    if isinstance(asked, Transfer):
        needs.counters |= {(*key, counter, NEWEST) for counter in gift_counters(asked.unit, "given")}
        for other in others:
            needs.counters |= {(*other, counter, NEWEST) for counter in gift_counters(asked.unit, "received")}
