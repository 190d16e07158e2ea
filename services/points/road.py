"""The one road that every change takes, whether one message or five hundred came.

decode -> load (sets, locked in order) -> decide (pure) -> write (sets) -> announce; the caller commits. What is due
for a member by the time of a message is applied before the message is decided. Messages arrive sifted: none was
applied before, and those of one key are in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from laurel.contracts.activity import ReportedActivity
from laurel.contracts.parking import VERSION_UNKNOWN, version_unknown
from laurel.errors import PROBLEMS
from laurel.values import AMOUNT_MAX
from services.points import announcing
from services.points.deciders import AMONG, DECIDERS, NOT_FOR_US, OF_PROGRAMS, Among, Decider
from services.points.domain.asked import (
    Adjust,
    Asked,
    AskOfHold,
    CaptureHold,
    ChangeMember,
    Correct,
    DecideAdjustment,
    DecidePending,
    Enrol,
    Exchange,
    Merge,
    PlaceHold,
    PlaceTimedHold,
    ReleaseHold,
    Report,
    SetHousehold,
    Transfer,
    TurnClock,
    Versions,
)
from services.points.domain.capping import counters_at
from services.points.domain.capturing import ImpossibleRequestError
from services.points.domain.concerning import give_share, others_of, takes_part
from services.points.domain.converting import earliest, look_ahead, next_date
from services.points.domain.expiring import due
from services.points.domain.facts import (
    ADJUSTING,
    HOLD_MOVING,
    ActivityPosted,
    ActivityRefused,
    ActivityReturned,
    AnyFact,
    BirthdayAwaited,
    Household,
    PendingReleased,
    PointsConverted,
    PointsReleased,
)
from services.points.domain.funding import give_funds
from services.points.domain.joining import pass_on
from services.points.domain.moment import Moment
from services.points.domain.paying import credited_to
from services.points.domain.pooling import drawn, lend, short_of, with_pool
from services.points.domain.returning import give_back_share
from services.points.domain.segmenting import Judgement, changes_segments, judged
from services.points.domain.shared import BlockName, BudgetName, key_name
from services.points.domain.state import Adjustment, Balance, Hold, Wallet
from services.points.domain.tiering import ANY_VERSION, Shown, moves_tiers, shown
from services.points.needing import need_between
from services.points.ports import (
    ActivityKey,
    Announcement,
    Decided,
    Incoming,
    Journal,
    Known,
    Loaded,
    Needs,
    Payment,
    ProgramBook,
    Relation,
    Store,
    Turn,
    Waiting,
    WalletKey,
)
from services.points.topping_up import (
    BlockSeen,
    answer_payment,
    funding_journal,
    partners_of,
    payment_of,
    seen_block,
    share_journal,
    shares_named,
    time_of_funding,
)

_NOBODY: Mapping[str, Wallet] = {}


class CannotProcessError(Exception):
    """One message can not be processed and must not take others with it: the caller parks it.

    `also` names further ones, so that a batch with many of them need not be run again for each.
    """

    def __init__(self, message: Incoming, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.message = message
        self.reason = reason
        self.detail = detail
        self.also: tuple[CannotProcessError, ...] = ()


@dataclass(slots=True)
class Step:
    """A message on the road, decoded."""

    message: Incoming
    decider: Decider | Among
    asked: Asked
    key: WalletKey
    activity: ReportedActivity | None = None
    takes_back: bool = False
    """Whether it may take back what another activity earned: a return, or what ends something early."""
    others: tuple[WalletKey, ...] = ()
    survivor: WalletKey | None = None
    """Of which account the wallet is a part: what the decision leaves in it goes there."""
    pool: tuple[WalletKey, ...] = ()
    """The others of the household that pay together with the member."""
    concerned: set[WalletKey] = field(default_factory=set)
    """The wallets of those whom an activity may concern besides."""
    shares: set[tuple[str, str, int]] = field(default_factory=set)


@dataclass(slots=True)
class Batch:
    """What deciding a batch has led to so far."""

    loaded: Loaded
    decided: list[Decided] = field(default_factory=list)
    touched: dict[WalletKey, Wallet] = field(default_factory=dict)
    recent: dict[ActivityKey, Journal] = field(default_factory=dict)
    again: list[tuple[str, str, int]] = field(default_factory=list)


class Road:
    """Runs batches of messages from bytes to announcements, inside the caller's transaction."""

    def __init__(self, programs: ProgramBook) -> None:
        self._programs = programs

    async def run(self, store: Store, messages: Sequence[Incoming]) -> list[Announcement]:
        """Decide and write the messages; return what is to be said, in order.

        Raises `CannotProcessError` naming the messages that stand in the way (nothing of the batch may then be
        kept), such as those that carry a program version which does not come.
        """
        of_programs = [await self._asked_of_program(each) for each in messages if each.type in OF_PROGRAMS]
        if of_programs:
            await store.begin_turns([each for each in of_programs if isinstance(each, Turn)])
            messages = [message for message in messages if message.type not in OF_PROGRAMS]
        steps = decode(messages)
        try:
            await self._programs.ensure(newest_versions(steps))
        except TimeoutError as error:
            self._park_early(steps, error)
        for step in steps:
            step.takes_back = self._takes_back(step)
        announcements: list[Announcement] = []
        for part in parts(steps):
            for between in between_conversions(part, self._programs):
                announcements += await self._run(store, between)
        # Blocks are locked after wallets.
        for each in of_programs:
            if isinstance(each, Payment):
                announcements += answer_payment(each, await store.pay(each, AMOUNT_MAX))
        return announcements

    async def _asked_of_program(self, message: Incoming) -> Turn | Payment:
        """Read what is asked of a program, and know it by the versions that this was accepted under."""
        try:
            asked = OF_PROGRAMS[message.type](message.body)
        except msgspec.MsgspecError as error:
            raise CannotProcessError(message, "undecodable", str(error)) from error
        version = asked.versions.program
        try:
            await self._programs.ensure({asked.program: version, partners_of(asked.program): asked.versions.partners})
        except TimeoutError as error:
            raise CannotProcessError(message, VERSION_UNKNOWN, version_unknown(asked.program, version)) from error
        if isinstance(asked, TurnClock):
            return Turn(asked.program, asked.as_of, message.id, message.correlation, message.traceparent)
        return payment_of(asked, message)

    def _takes_back(self, step: Step) -> bool:
        activity = step.activity
        if activity is None or activity.of is None:
            return False
        if activity.type == "return":
            return True
        program = self._programs.in_force(step.key.program, activity.occurred_at, step.asked.versions.program)
        return program is not None and activity.type in program.closing

    def _park_early(self, steps: Sequence[Step], error: TimeoutError) -> None:
        """Name the messages that came before the version they carry; the others need not wait for it."""
        wrong = [
            CannotProcessError(step.message, VERSION_UNKNOWN, version_unknown(*early[0]))
            for step in steps
            if (early := [each for each in _versions_of(step) if not self._programs.knows(*each)])
        ]
        wrong += [
            CannotProcessError(step.message, VERSION_UNKNOWN, version_unknown(partners_of(step.key.program), version))
            for step in steps
            if self._programs.knows(step.key.program, step.asked.versions.program)
            and not self._programs.knows(partners_of(step.key.program), version := step.asked.versions.partners)
        ]
        if wrong:
            wrong[0].also = tuple(wrong[1:])
            raise wrong[0] from error

    async def _run(self, store: Store, steps: Sequence[Step]) -> list[Announcement]:
        batch = Batch(await self._load(store, steps))
        for step in steps:
            try:
                self._decide(batch, step)
            except CannotProcessError:
                raise
            except Exception as error:
                # Whatever a decider trips over is this message's matter; it is parked alone, with its reason.
                raise CannotProcessError(step.message, "undecidable", repr(error)) from error
        await self._give_again(store, batch)
        fresh = [decided.journal for decided in batch.decided if not decided.again]
        await store.write(fresh, batch.touched.values())
        return self._say(batch)

    async def _load(self, store: Store, steps: Sequence[Step]) -> Loaded:
        """Load what the messages can touch; begin again where what is returned turns out to lie in another wallet."""
        for step in steps:
            self._credit_payer(step)
        await self._name_pools(store, steps)
        await self._find_others(store, steps)
        loaded = await store.load(self._needs(steps))
        # Whom a return concerns is told by its original, and whom a member brings along may have moved meanwhile.
        while [
            step
            for step in steps
            if _follow_original(loaded, step)
            or follow_merged(loaded, step)
            or follow_household(loaded, step)
            or follow_shares(loaded, step)
            or self._moved_on(loaded, step)
        ]:
            loaded = await store.load(self._needs(steps))
        return loaded

    async def _name_pools(self, store: Store, steps: Sequence[Step]) -> None:
        """Name who pays together with those who spend, before anything is locked, so that all is locked in one order.

        It is looked at again under the locks.
        """
        spending = [step for step in steps if isinstance(step.asked, SPENDING)]
        if spending:
            households = await store.households({step.key for step in spending})
            for step in spending:
                step.pool = pool_of(step.key, households.get(step.key))

    async def _find_others(self, store: Store, steps: Sequence[Step]) -> None:
        """Name the wallets of those whom activities may concern besides, also by what comes just before them."""
        if not any(self._programs.gives_to_others(program) for program in {step.key.program for step in steps}):
            return
        asking = [(step, roles) for step in steps if (roles := self._roles(step))]
        if not asking:
            return
        relations = await store.relations(sorted({step.key for step, _ in asking}))
        named: dict[WalletKey, set[str]] = {}
        for step in steps:
            told = step.asked.referred_by if isinstance(step.asked, Enrol) else None
            told = step.activity.referrer if step.activity is not None else told
            if told is not None:
                named.setdefault(step.key, set()).add(told)
        for step, roles in asking:
            assert step.activity is not None  # only activities have roles
            related = relations.get(step.key) or Relation(step.key.member, None, {})
            found = {*others_of(roles, step.activity, related).values(), *named.get(step.key, ())}
            step.concerned = {WalletKey(step.key.program, other) for other in found - {step.key.member}}

    def _roles(self, step: Step) -> frozenset[str]:
        """Return whom the program of an activity may give points to besides the member."""
        activity = step.activity
        if activity is None or activity.type == "return" or not isinstance(step.asked, Report):
            return frozenset()
        if not self._programs.gives_to_others(step.key.program):
            return frozenset()
        program = self._programs.in_force(step.key.program, activity.occurred_at, step.asked.versions.program)
        return program.roles if program is not None else frozenset()

    def _moved_on(self, loaded: Loaded, step: Step) -> bool:
        """Name those who turn out to be concerned once the wallet is locked; say if there are any."""
        if not self._programs.gives_to_others(step.key.program):
            return False
        roles = self._roles(step)
        if not roles or step.activity is None:
            return False
        wallet = loaded.wallets[step.key]
        found = {WalletKey(wallet.program, other) for other in others_of(roles, step.activity, wallet).values()}
        more = found - step.concerned
        step.concerned |= found
        return bool(more)

    def _concerned(self, batch: Batch, step: Step, wallet: Wallet) -> dict[str, Wallet]:
        """Return the wallets of those whom an activity concerns besides, by role, with what is due for them done."""
        roles = self._roles(step)
        if not roles or step.activity is None:
            return {}
        found: dict[str, Wallet] = {}
        for role, member in others_of(roles, step.activity, wallet).items():
            other = batch.loaded.wallets.get(WalletKey(wallet.program, member))
            if other is not None and takes_part(wallet, other):
                self._apply_due_of(batch, step, other)
                found[role] = other
        return found

    def _apply_due_of(self, batch: Batch, step: Step, other: Wallet) -> None:
        until = self._due_until(batch, step, other)
        if until is not None:
            self._apply_due(batch, other, until)

    def _share(self, batch: Batch, step: Step, facts: tuple[AnyFact, ...], others: dict[str, Wallet]) -> None:
        """Enter what an activity, or its return, means for others, each in a journal of its own."""
        first, key = facts[0], step.key
        assert isinstance(step.asked, Report)
        decided = batch.decided[-1]
        posted = first if isinstance(first, ActivityPosted) else None
        for share in posted.shares if posted is not None else ():
            assert posted is not None
            roles = [role for role, other in others.items() if other.member == share.member]
            other = others[roles[0]]
            moment = self._moment(batch, other, max(decided.journal.at, other.at), None)
            given = give_share(other, key.member, posted, roles, step.asked.versions.partners, moment)
            self._enter_share(batch, step, other, moment.at, given, decided)
        if isinstance(first, ActivityReturned):
            for program, member, journal in sorted(step.shares):
                other = batch.loaded.wallets[WalletKey(program, member)]
                self._apply_due_of(batch, step, other)
                moment = self._moment(batch, other, max(decided.journal.at, other.at), None)
                back = give_back_share(other, key.member, first, journal, moment)
                if back:
                    self._enter_share(batch, step, other, moment.at, back, decided)

    def _enter_share(
        self, batch: Batch, step: Step, other: Wallet, at: datetime, facts: tuple[AnyFact, ...], of: Decided
    ) -> None:
        self._enter(batch, step, other, at, facts, shared=True)
        of.shared.append(batch.decided[-1])
        self._apply_due_of(batch, step, other)

    def _credit_payer(self, step: Step) -> None:
        """Name the wallet of whoever paid, where that is who the activity is credited to."""
        asked, activity = step.asked, step.activity
        if activity is None or activity.payer is None or activity.type == "return" or not isinstance(asked, Report):
            return
        program = self._programs.in_force(step.key.program, activity.occurred_at, asked.versions.program)
        if program is not None:
            step.key = WalletKey(step.key.program, credited_to(program, activity, step.key.member))

    async def run_due(self, store: Store, wallets: Sequence[WalletKey], until: datetime) -> list[Announcement]:
        """Apply what is due by `until` to members whom nobody touched; the same as a message would do first."""
        _, announcements = await self.run_turn(store, wallets, until, turned_to=None)
        return announcements

    async def run_funding(
        self, store: Store, payment: Payment, waiting: Sequence[Waiting]
    ) -> tuple[list[Announcement], BlockSeen]:
        """Cover what waits for a block, in its order, as far as the block goes; tell how that stands then."""
        needs = Needs(blocks={BlockName(payment.program, payment.partner, payment.unit)})
        program = self._programs.in_force(payment.program, payment.at, ANY_VERSION)
        for funder in self._programs.prepaying(payment.program):
            needs.blocks |= {BlockName(payment.program, funder, unit) for unit in (program.units if program else ())}
        runs_by_itself = self._programs.runs_by_itself(payment.program)
        until = payment.at if runs_by_itself else payment.as_of
        for each in waiting:
            key = WalletKey(each.program, each.member)
            needs.wallets.add(key)
            needs.unfunded.add((*key, each.journal))
            needs.originals[ActivityKey(each.program, each.partner, each.activity)] = key
            self._need_tiers(needs, key)
            if until is not None:
                needs.until[key] = until
        batch = Batch(await store.load(needs))
        for each in waiting:
            wallet = batch.loaded.wallets[WalletKey(each.program, each.member)]
            if until is not None:
                self._apply_due(batch, wallet, until)
            at = time_of_funding(payment, wallet, runs_by_itself=runs_by_itself)
            moment = self._moment(batch, wallet, at, None)
            facts = give_funds(wallet, each.journal, payment.versions, moment, reference=payment.reference)
            if facts:
                self._enter(batch, None, wallet, at, facts, waiting=each)
                if until is not None:
                    self._apply_due(batch, wallet, until)
        await store.write([decided.journal for decided in batch.decided], batch.touched.values())
        block = batch.loaded.shared.block(payment.program, payment.partner, payment.unit)
        return self._say(batch), seen_block(payment.unit, block)

    async def run_turn(
        self, store: Store, wallets: Sequence[WalletKey], until: datetime, *, turned_to: datetime | None
    ) -> tuple[list[AnyFact], list[Announcement]]:
        """Do the same, and tell the facts; a turn of a clock leaves its mark on the wallets that it moves."""
        needs = Needs(wallets=set(wallets), until=dict.fromkeys(wallets, until))
        for key in wallets:
            self._need_tiers(needs, key)
            if self._programs.conversions(key.program):
                needs.converting.add(key)
        batch = Batch(await store.load(needs))
        for key in sorted(wallets):
            wallet = batch.loaded.wallets[key]
            before = wallet.version
            self._apply_due(batch, wallet, until)
            if wallet.version > before and turned_to is not None:
                wallet.turned_to = turned_to
            batch.touched[key] = wallet
        await store.write([decided.journal for decided in batch.decided], batch.touched.values())
        facts = [fact for decided in batch.decided for fact in decided.journal.facts]
        for decided in batch.decided:
            decided.turned_to = turned_to
        return facts, self._say(batch)

    async def run_judgement(
        self,
        store: Store,
        judgement: Judgement,
        measures: Mapping[WalletKey, Mapping[str, int]],
        *,
        turned_to: datetime | None,
    ) -> tuple[list[AnyFact], list[Announcement]]:
        """Judge members by what was measured of them, after what is due for them by then."""
        needs = Needs(wallets=set(measures), until=dict.fromkeys(measures, judgement.at))
        for key in measures:
            self._need_tiers(needs, key)
            if self._programs.conversions(key.program):
                needs.converting.add(key)
        batch = Batch(await store.load(needs))
        for key in sorted(measures):
            wallet = batch.loaded.wallets[key]
            before = wallet.version
            self._apply_due(batch, wallet, judgement.at)
            facts = judged(wallet, judgement, measures[key])
            if facts:
                self._enter(batch, None, wallet, max(judgement.at, wallet.at), facts, due_at=judgement.at)
            if wallet.version > before and turned_to is not None:
                wallet.turned_to = turned_to
        for decided in batch.decided:
            decided.turned_to = turned_to
        # Whoever is not moved is not written.
        await store.write([decided.journal for decided in batch.decided], batch.touched.values())
        return [fact for decided in batch.decided for fact in decided.journal.facts], self._say(batch)

    def _say(self, batch: Batch) -> list[Announcement]:
        said: list[Announcement] = []
        for decided in batch.decided:
            try:
                said.extend(announcing.announce(decided, self._programs))
            except Exception as error:
                if decided.message is None:
                    raise
                raise CannotProcessError(decided.message, "undecidable", repr(error)) from error
        return said

    def _needs(self, steps: Sequence[Step]) -> Needs:
        """Say what the messages can touch."""
        needs = Needs()
        for step in steps:
            needs.wallets.add(step.key)
            asked = step.asked
            if step.concerned or step.shares:
                self._need_concerned(needs, step)
            self._need_tiers(needs, step.key, step.activity)
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
            elif isinstance(asked, Adjust | Correct | DecideAdjustment):
                _need_for_adjusting(needs, step.key, asked)
            elif isinstance(asked, CaptureHold | ReleaseHold | AskOfHold):
                needs.holds.add((*step.key, asked.hold))
            elif step.others:
                need_between(needs, step.key, step.others, asked)
            if isinstance(asked, Enrol | ChangeMember) and asked.person is not None:
                needs.persons.setdefault(step.key, set()).add(asked.person)
            self._need_due(needs, step.key, asked)
            wholly = (*step.pool, *([step.survivor] if step.survivor is not None else []))
            needs.whole.update(wholly)
            for other in (*step.others, *wholly):
                needs.wallets.add(other)
                self._need_tiers(needs, other)
                self._need_due(needs, other, asked)
        return needs

    def _need_reported(self, needs: Needs, step: Step, asked: Report) -> None:
        activity = step.activity
        assert activity is not None  # decode() gives every report its activity
        needs.activities.add(ActivityKey(step.key.program, asked.partner, activity.id))
        self._need_blocks(needs, step.key, asked, activity)
        if step.takes_back and activity.of is not None:
            needs.originals[ActivityKey(step.key.program, asked.partner, activity.of)] = step.key
        if activity.type != "return":
            needs.awaiting.add((*step.key, activity.type))
            self._need_more(needs, step.key, asked, activity)

    def _need_due(self, needs: Needs, key: WalletKey, asked: Asked) -> None:
        """Name up to when time takes its due; redemption does not say where a sandbox's clock stands."""
        if self._programs.runs_by_itself(key.program):
            until: datetime | None = asked.at
        else:
            until = _judged_by(asked, key.program).as_of
            if until is None and isinstance(asked, PlaceHold | CaptureHold | ReleaseHold):
                needs.clocks.add(key.program)
        if until is not None:
            seen = needs.until.get(key)
            needs.until[key] = until if seen is None else max(seen, until)
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
            if activity.type in rule.on and rule.runs_at(activity.occurred_at):
                needs.budgets.add(BudgetName(key.program, rule.id))
        if activity.exclusive_key is not None:
            needs.keys.add(key_name(program, activity.exclusive_key))

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
        program = self._programs.in_force(key.program, activity.occurred_at, asked.versions.program)
        if program is None:
            return
        needs.blocks |= {
            BlockName(key.program, rule.funder, rule.unit)
            for rule in program.rules
            if rule.funder in prepaying
            and (
                program.refill_on_return
                if activity.type == "return"
                else activity.type in rule.on and rule.may_be_by(asked.partner)
            )
        }

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

    def _decide(self, batch: Batch, step: Step) -> None:
        if isinstance(step.decider, Among):
            self._decide_among(batch, step, step.decider)
            return
        wallet = batch.loaded.wallets[step.key]
        due_until = self._due_until(batch, step, wallet)
        if due_until is not None:
            self._apply_due(batch, wallet, due_until)
        at = self._time_of(step, wallet, due_until)
        others: dict[str, Wallet] = {}
        if isinstance(step.asked, Report):
            if step.concerned:
                others = self._concerned(batch, step, wallet)
            facts = self._judge(batch, step, step.decider, wallet, at, others)
        else:
            moment = self._moment(batch, wallet, at, None)
            try:
                facts = step.decider.decide(wallet, step.asked, moment)
                if step.pool and self._draw(batch, step, wallet, facts):
                    at = max(at, wallet.at)
                    facts = step.decider.decide(wallet, step.asked, self._moment(batch, wallet, at, None))
            except ImpossibleRequestError as error:
                raise CannotProcessError(step.message, "impossible", str(error)) from error
            facts = self._with_pool(batch, step, facts)
        if facts:
            self._enter(batch, step, wallet, at, facts)
            if step.concerned or step.shares:
                self._share(batch, step, facts, others)
            if step.survivor is not None:
                self._pass_on(batch, step, wallet, facts)
            # What came late may have ended before it was granted.
            if due_until is not None:
                self._apply_due(batch, wallet, due_until, done_until=due_until)

    def _pass_on(self, batch: Batch, step: Step, wallet: Wallet, facts: tuple[AnyFact, ...]) -> None:
        """Let what is left in an account that is a part of another go there, in journals of their own."""
        assert step.survivor is not None  # the caller has looked
        survivor = batch.loaded.wallets[step.survivor]
        until = self._due_until(batch, step, survivor)
        if until is not None:
            self._apply_due(batch, survivor, until)
        at = max(wallet.at, survivor.at)
        wallets = (wallet, survivor)
        moments = [self._moment(batch, each, at, None) for each in wallets]
        halves = pass_on(wallet, survivor, _cause_of(step), facts, moments)
        for each, its in zip(wallets, halves, strict=True):
            if its:
                self._enter(batch, step, each, at, its, kind="merge")

    def _draw(self, batch: Batch, step: Step, wallet: Wallet, facts: tuple[AnyFact, ...]) -> bool:
        """Let the others of a household pay what the member cannot, where they can; say if they did."""
        short = short_of(facts)
        if short is None:
            return False
        pool = [batch.loaded.wallets[key] for key in step.pool]
        for other in pool:
            until = self._due_until(batch, step, other)
            if until is not None:
                self._apply_due(batch, other, until)
        if with_pool(short, pool) is not None:
            return False
        at = max(each.at for each in (wallet, *pool))
        at = max(at, step.asked.at) if self._programs.runs_by_itself(wallet.program) else at
        for owner, parts in drawn(pool, short.unit, short.shortfall):
            left, arrived = lend(owner, wallet, short.unit, parts, _cause_of(step))
            self._enter(batch, step, owner, at, left, kind="pooling")
            self._enter(batch, step, wallet, at, arrived, kind="pooling")
        return True

    def _with_pool(self, batch: Batch, step: Step, facts: tuple[AnyFact, ...]) -> tuple[AnyFact, ...]:
        """Let a refusal for want of points count what the household has."""
        short = short_of(facts) if step.pool else None
        together = with_pool(short, [batch.loaded.wallets[key] for key in step.pool]) if short is not None else None
        return facts if together is None else (together,)

    def _decide_among(self, batch: Batch, step: Step, among: Among) -> None:
        """Decide for several wallets at once; those of one program are moved at one instant."""
        wallets = [batch.loaded.wallets[key] for key in (step.key, *step.others)]
        until = [self._due_until(batch, step, wallet) for wallet in wallets]
        at: dict[str, datetime] = {}
        for wallet, due_until in zip(wallets, until, strict=True):
            if due_until is not None:
                self._apply_due(batch, wallet, due_until)
            time = self._time_of(step, wallet, due_until)
            at[wallet.program] = max(time, at.get(wallet.program, time))
        moments = [self._moment(batch, wallet, at[wallet.program], None) for wallet in wallets]
        halves = list(among.decide(wallets, step.asked, moments))
        if step.pool and self._draw(batch, step, wallets[0], halves[0]):
            at = {
                name: max([time, *(each.at for each in wallets if each.program == name)]) for name, time in at.items()
            }
            moments = [self._moment(batch, wallet, at[wallet.program], None) for wallet in wallets]
            halves = list(among.decide(wallets, step.asked, moments))
        halves[0] = self._with_pool(batch, step, halves[0])
        for wallet, facts in zip(wallets, halves, strict=True):
            if facts:
                self._enter(batch, step, wallet, at[wallet.program], facts)
        for wallet, due_until in zip(wallets, until, strict=True):
            if due_until is not None:
                self._apply_due(batch, wallet, due_until)

    def _due_until(self, batch: Batch, step: Step, wallet: Wallet) -> datetime | None:
        """Return up to when time has taken its due when the message is decided.

        On a wall clock that is the message's time; on a manual one the program's now, and before the clock was
        ever set nothing is due.
        """
        if self._programs.runs_by_itself(wallet.program):
            return max(step.asked.at, wallet.at)
        return _judged_by(step.asked, wallet.program).as_of or batch.loaded.clocks.get(wallet.program)

    def _time_of(self, step: Step, wallet: Wallet, now: datetime | None) -> datetime:
        """Return when the message happens; a wallet's time never goes back.

        On a manual clock, what has no time of its own happens at the later of now and the member's latest
        activity, and where there is neither, at its enrolment.
        """
        own = step.asked.at
        if not self._programs.runs_by_itself(wallet.program) and not isinstance(step.asked, Report | Enrol):
            told = [time for time in (now, wallet.occurred_at) if time is not None]
            own = max(told, default=wallet.enrolled_at or own)
        return max(own, wallet.at)

    def _moment(
        self,
        batch: Batch,
        wallet: Wallet,
        at: datetime,
        activity: ReportedActivity | None,
        others: Mapping[str, Wallet] = _NOBODY,
    ) -> Moment:
        return Moment(at, wallet.version + 1, self._programs, activity, batch.loaded.shared, others)

    def _judge(
        self, batch: Batch, step: Step, decider: Decider, wallet: Wallet, at: datetime, others: Mapping[str, Wallet]
    ) -> tuple[AnyFact, ...]:
        """Judge an activity whose id is new; an id that is known is answered as before (S8)."""
        asked, activity = step.asked, step.activity
        assert isinstance(asked, Report)
        assert activity is not None
        known = batch.loaded.known.get(ActivityKey(wallet.program, asked.partner, activity.id))
        if known is None:
            return decider.decide(wallet, asked, self._moment(batch, wallet, at, activity, others))
        if known.hash == asked.hash and known.member == wallet.member:
            batch.again.append((*step.key, known.journal))
            balances = [_copy(balance) for balance in wallet.balances.values()]
            before = Journal(wallet, known.journal, decider.kind, activity.id, at, (), at)
            batch.decided.append(Decided(step.message, before, balances, wallet.version, again=True))
            return ()
        return (
            ActivityRefused(
                activity=activity.id,
                partner=asked.partner,
                code="idempotency_mismatch",
                detail="The id was used before with another content",
            ),
        )

    def _apply_due(self, batch: Batch, wallet: Wallet, until: datetime, *, done_until: datetime | None = None) -> None:
        """Let time take its due, each instant in a journal of its own.

        `done_until`: that was done before, up to then, and only what came late is taken now.
        """
        if wallet.next_due_at is None or wallet.next_due_at > until:
            return
        for moment, facts in due(wallet, until, self._programs):
            self._enter(batch, None, wallet, max(moment, wallet.at), facts, due_at=moment)
            if done_until is not None:
                look_ahead(wallet, done_until, self._programs)
            else:
                look_ahead(wallet, moment, self._programs, included=not isinstance(facts[0], PointsConverted))

    def _enter(
        self,
        batch: Batch,
        step: Step | None,
        wallet: Wallet,
        at: datetime,
        facts: tuple[AnyFact, ...],
        *,
        due_at: datetime | None = None,
        kind: str = "",
        waiting: Waiting | None = None,
        shared: bool = False,
    ) -> None:
        """Make the journal, move the wallet by its facts, and keep the balances as they stand then."""
        wallet.version += 1
        wallet.at = at
        for fact in facts:
            wallet.apply(wallet.version, fact)
            batch.loaded.shared.apply(wallet.program, wallet.member, wallet.version, fact)
        done_until = self._due_until(batch, step, wallet) or earliest(facts) if step is not None else None
        if done_until is not None:
            look_ahead(wallet, done_until, self._programs)
        message: Incoming | None = step.message if step is not None else None
        if step is not None and shared:
            journal, message = share_journal(step.message, _journal(step, wallet, at, facts))
        elif step is not None and kind:
            journal = Journal(wallet, wallet.version, kind, _cause_of(step), at, facts, at, message=step.message.id)
        elif step is not None:
            journal = _journal(step, wallet, at, facts)
        elif waiting is not None:
            journal, message = funding_journal(waiting, wallet, at, facts)
        else:
            journal = _due_journal(wallet, at, facts, due_at or at)
        key = WalletKey(wallet.program, wallet.member)
        batch.touched[key] = wallet
        if journal.hash:
            self._remember(batch, journal)
        balances = [_copy(balance) for balance in wallet.balances.values()]
        batch.decided.append(
            Decided(
                message,
                journal,
                balances,
                wallet.version,
                holds=_holds_of(wallet, facts, journal.kind),
                adjustments=_adjustments_of(wallet, facts, journal.kind),
                standing=self._standing(wallet, facts, at) if wallet.tiers is not None else None,
            )
        )

    def _standing(self, wallet: Wallet, facts: tuple[AnyFact, ...], at: datetime) -> Shown | None:
        """Return where the member stands, where facts moved that."""
        if not moves_tiers(facts):
            return None
        return shown(wallet, self._programs.in_force(wallet.program, at, ANY_VERSION), at)

    def _remember(self, batch: Batch, journal: Journal) -> None:
        key = ActivityKey(journal.wallet.program, journal.partner, journal.cause)
        if journal.kept:
            batch.loaded.known[key] = Known(journal.wallet.member, journal.number, journal.hash, journal.code)
            batch.recent[key] = journal

    async def _give_again(self, store: Store, batch: Batch) -> None:
        """Put what was decided before into the places of the answers that are given again."""
        if not batch.again:
            return
        recent = {
            (journal.wallet.program, journal.wallet.member, journal.number): journal
            for journal in batch.recent.values()
        }
        old = await store.facts_of([name for name in set(batch.again) if name not in recent])
        shares = await store.facts_of(sorted({name for each in old.values() for name in shares_named(each)}))
        for decided in batch.decided:
            if decided.again:
                wallet = decided.journal.wallet
                name = (wallet.program, wallet.member, decided.journal.number)
                decided.journal = recent.get(name) or old[name]
                decided.journal.wallet = wallet
                decided.funded = decided.journal.funded_in is not None
                decided.shared = [
                    Decided(None, shares[each], [], each[2]) for each in shares_named(decided.journal) if each in shares
                ]


def decode(messages: Sequence[Incoming]) -> list[Step]:
    """Read the messages that are for points; raises `CannotProcessError` naming all that cannot be read."""
    steps: list[Step] = []
    wrong: list[CannotProcessError] = []
    for message in messages:
        try:
            step = _read(message)
        except CannotProcessError as error:
            wrong.append(error)
            continue
        if step is not None:
            steps.append(step)
    if wrong:
        wrong[0].also = tuple(wrong[1:])
        raise wrong[0]
    return steps


def _read(message: Incoming) -> Step | None:
    decider = DECIDERS.get(message.type) or AMONG.get(message.type)
    if decider is None:
        if message.type.startswith(NOT_FOR_US):
            return None
        raise CannotProcessError(message, "unknown_type", f"No decider answers {message.type}")
    try:
        asked = decider.decode(message.body)
        activity = asked.decoded() if isinstance(asked, Report) else None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CannotProcessError(message, "undecodable", str(error)) from error
    if (asked.member or "") != message.member or asked.program != message.program:
        # The order of keys would not protect it.
        raise CannotProcessError(message, "undecodable", "The body names another member than its key")
    step = Step(message, decider, asked, WalletKey(message.program, message.member), activity)
    if isinstance(decider, Among):
        step.others = tuple(WalletKey(*other) for other in decider.others(asked))
        if not message.member:
            # It is asked of the program; the first whom it concerns stands for all.
            step.key, *others = sorted(set(step.others))
            step.others = tuple(others)
    return step


def _follow_original(loaded: Loaded, step: Step) -> bool:
    """Name the wallet that an original was credited to, if it is not the one that the return names; say if so."""
    asked, activity = step.asked, step.activity
    if activity is None or not step.takes_back or activity.of is None or not isinstance(asked, Report):
        return False
    known = loaded.known.get(ActivityKey(step.key.program, asked.partner, activity.of))
    if known is None or known.code is not None or known.member == step.key.member:
        return False
    step.key = WalletKey(step.key.program, known.member)
    return True


def follow_merged(loaded: Loaded, step: Step) -> bool:
    """Name the account that answers for one that became a part of it; say if it was not named yet.

    What is new is the other's from the start. What belongs to this one's past is decided here, and what that leaves
    goes on to the other.
    """
    if loaded.wallets[step.key].merged_into is None and not step.others and step.survivor is None:
        return False
    found = False
    others = [
        key if isinstance(step.asked, Merge | SetHousehold) else (_survivor(loaded, key) or key) for key in step.others
    ]
    if others != list(step.others):
        step.others, found = tuple(others), True
    survivor = _survivor(loaded, step.key)
    if survivor is None or isinstance(step.asked, Merge | SetHousehold | Enrol) or step.others:
        return found
    if _is_new_activity(loaded, step):
        step.key = survivor
        return True
    if step.survivor is None or (further := _survivor(loaded, step.survivor)) is not None:
        step.survivor = survivor if step.survivor is None else further
        return True
    return found


def follow_household(loaded: Loaded, step: Step) -> bool:
    """Name the others who pay together with a member that spends; say if they were not named yet."""
    if not isinstance(step.asked, SPENDING):
        return False
    before, step.pool = step.pool, pool_of(step.key, loaded.wallets[step.key].household)
    return not set(before).issuperset(step.pool)


def pool_of(key: WalletKey, household: Household | None) -> tuple[WalletKey, ...]:
    """Return the others of a household that pay together with a member."""
    if household is None or not household.pooling:
        return ()
    return tuple(WalletKey(key.program, member) for member in household.members if member != key.member)


SPENDING = (PlaceHold, PlaceTimedHold, Transfer, Exchange)
"""What is asked of a member's points, and of those of its household."""


def _survivor(loaded: Loaded, key: WalletKey) -> WalletKey | None:
    wallet = loaded.wallets.get(key)
    return None if wallet is None or wallet.merged_into is None else WalletKey(key.program, wallet.merged_into)


def _is_new_activity(loaded: Loaded, step: Step) -> bool:
    if step.activity is None or step.activity.type == "return" or not isinstance(step.asked, Report):
        return False
    known = loaded.known.get(ActivityKey(step.key.program, step.asked.partner, step.activity.id))
    return known is None or known.member != step.key.member


def follow_shares(loaded: Loaded, step: Step) -> bool:
    """Name the wallets in which others have a share of what a return takes back; say if they were not named yet."""
    activity = step.activity
    if activity is None or activity.type != "return" or activity.of is None or not isinstance(step.asked, Report):
        return False
    posting = loaded.wallets[step.key].postings.get((step.asked.partner, activity.of))
    if posting is None or not posting.shares:
        return False
    before, step.shares = step.shares, {(step.key.program, share.member, share.journal) for share in posting.shares}
    return step.shares != before


def parts(steps: Sequence[Step]) -> Iterable[Sequence[Step]]:
    """Cut a batch before a return whose original is in it: what it takes back is loaded once that is written.

    A merge stands alone, because who comes after it may belong to somebody else.
    """
    seen: set[tuple[str, str, str]] = set()
    start = 0
    for index, step in enumerate(steps):
        if isinstance(step.asked, Merge):
            if start < index:
                yield steps[start:index]
            yield steps[index : index + 1]
            start = index + 1
            seen.clear()
            continue
        if step.activity is None or not isinstance(step.asked, Report):
            continue
        program, partner = step.key.program, step.asked.partner
        if step.takes_back and (program, partner, step.activity.of or "") in seen:
            yield steps[start:index]
            start = index
            seen.clear()
        seen.add((program, partner, step.activity.id))
    if start < len(steps):
        yield steps[start:]


def between_conversions(steps: Sequence[Step], programs: ProgramBook) -> Iterable[Sequence[Step]]:
    """Cut a batch where a date of conversion lies between its messages: what it converts is loaded whole."""
    dates: dict[str, datetime | None] = {}
    start = 0
    for index, step in enumerate(steps):
        program, asked = step.key.program, step.asked
        if not programs.conversions(program):
            continue
        until = asked.at if programs.runs_by_itself(program) else _judged_by(asked, program).as_of
        date = next_date(program, until, programs) if until is not None else None
        if dates.setdefault(program, date) != date:
            yield steps[start:index]
            start, dates = index, {program: date}
    if start < len(steps):
        yield steps[start:]


def newest_versions(steps: Sequence[Step]) -> dict[str, int]:
    """Return the newest version of each program that any of the messages was accepted under."""
    newest: dict[str, int] = {}
    for step in steps:
        for program, version in _versions_of(step):
            if version > newest.get(program, 0):
                newest[program] = version
    return newest


def _versions_of(step: Step) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for program, versions in step.asked.judged_by().items():
        found.append((program, versions.program))
        if versions.partners:
            found.append((partners_of(program), versions.partners))
    return found


def _judged_by(asked: Asked, program: str) -> Versions:
    return asked.judged_by()[program]


def _copy(balance: Balance) -> Balance:
    return Balance(
        balance.unit,
        balance.available,
        balance.pending,
        balance.held,
        balance.owed,
        balance.earned,
        balance.spent,
        balance.expired,
        balance.reversed,
        balance.adjusted,
        balance.active_until,
    )


def _adjustments_of(wallet: Wallet, facts: tuple[AnyFact, ...], kind: str) -> dict[str, Adjustment]:
    """Return the same of adjustments."""
    if kind not in _ADJUSTING:
        return {}
    return {
        fact.adjustment: replace(wallet.adjustments[fact.adjustment]) for fact in facts if isinstance(fact, ADJUSTING)
    }


_ADJUSTING = frozenset({"adjustment", "correction"})
_WITHOUT_HOLDS = frozenset(
    {
        "activity",
        "birthday",
        "change",
        "close",
        "conversion",
        "enrolment",
        "exchange",
        "expiry",
        "funding",
        "merge",
        "release_of_pending",
        "return",
        "return_of_share",
        "segment",
        "share",
        "status_match",
        "tier_review",
        "transfer",
        "unmerge",
    }
)


def _need_for_adjusting(needs: Needs, key: WalletKey, asked: Adjust | Correct | DecideAdjustment) -> None:
    needs.adjustments.add((*key, asked.adjustment))
    if isinstance(asked, Adjust):
        want = (*key, asked.unit)
        needs.spending[want] = needs.spending.get(want, 0) + max(0, -asked.amount)
    elif isinstance(asked, Correct):
        needs.adjustments.add((*key, asked.of))
        needs.originals[ActivityKey(key.program, asked.of_partner, asked.of)] = key


def _holds_of(wallet: Wallet, facts: tuple[AnyFact, ...], kind: str) -> dict[str, Hold]:
    """Return copies of the holds that facts speak of, as they stand now; what is earned speaks of none."""
    if kind in _WITHOUT_HOLDS:
        return {}
    return {
        fact.hold: replace(wallet.holds[fact.hold])
        for fact in facts
        if isinstance(fact, HOLD_MOVING) and fact.hold in wallet.holds
    }


def _due_journal(wallet: Wallet, at: datetime, facts: tuple[AnyFact, ...], due_at: datetime) -> Journal:
    """Make the row of what time alone brought about; it happened when it was due."""
    first = facts[0]
    kind, cause = "expiry", f"{due_at:%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(first, PendingReleased):
        kind = "release_of_pending"
    elif isinstance(first, BirthdayAwaited):
        kind = "birthday"
    elif isinstance(first, PointsReleased):
        kind, cause = "hold_timeout", first.hold
    elif isinstance(first, PointsConverted):
        kind = "conversion"
    elif moves_tiers(facts):
        kind = "tier_review"
    elif changes_segments(facts):
        kind = "segment"
    return Journal(wallet, wallet.version, kind, cause, at, facts, due_at)


def _journal(step: Step, wallet: Wallet, at: datetime, facts: tuple[AnyFact, ...]) -> Journal:
    """Make the row of a decision; an activity's row keeps the activity as it was sent."""
    kind, asked, message = step.decider.kind, step.asked, step.message.id
    if not isinstance(asked, Report) or step.activity is None:
        return Journal(wallet, wallet.version, kind, _cause(asked), at, facts, at, message=message)
    refusal = facts[0] if isinstance(facts[0], ActivityRefused) else None
    code = refusal.code if refusal is not None else None
    version: Any = getattr(facts[0], "version", 0)
    return Journal(
        wallet,
        wallet.version,
        "return" if step.activity.type == "return" or isinstance(facts[0], ActivityReturned) else kind,
        step.activity.id,
        at,
        facts,
        step.activity.occurred_at,
        partner=asked.partner,
        version=version,
        message=message,
        body=bytes(asked.activity),
        hash=asked.hash,
        code=code,
        kept=code is None or PROBLEMS[code].kept,
        correlation=step.message.correlation,
        traceparent=step.message.traceparent,
    )


def _cause_of(step: Step) -> str:
    return step.activity.id if step.activity is not None else _cause(step.asked)


def _cause(asked: Asked) -> str:
    for name in ("hold", "adjustment", "match", "change", "transfer", "exchange", "merge", "household", "activity"):
        named = getattr(asked, name, None)
        if named:
            return str(named)
    return asked.member or ""
