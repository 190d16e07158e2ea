"""The one road that every change takes, whether one message or five hundred came.

decode -> load (sets, locked in order) -> decide (pure) -> write (sets) -> announce; the caller commits. What is due
for a member by the time of a message is applied before the message is decided. Messages arrive sifted: none was
applied before, and those of one key are in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from laurel.contracts.activity import ReportedActivity
from laurel.errors import PROBLEMS
from services.points import announcing
from services.points.deciders import DECIDERS, NOT_FOR_US, Decider
from services.points.domain.asked import Asked, CaptureHold, Enrol, PlaceHold, ReleaseHold, Report
from services.points.domain.capturing import ImpossibleRequestError
from services.points.domain.expiring import due
from services.points.domain.facts import ActivityRefused, AnyFact
from services.points.domain.moment import Moment
from services.points.domain.state import Balance, Wallet
from services.points.domain.tiering import ANY_VERSION, Shown, moves_tiers, shown
from services.points.ports import (
    ActivityKey,
    Announcement,
    Decided,
    Incoming,
    Journal,
    Known,
    Loaded,
    Needs,
    ProgramBook,
    Store,
    WalletKey,
)


class CannotProcessError(Exception):
    """One message can not be processed and must not take others with it: the caller parks it."""

    def __init__(self, message: Incoming, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.message = message
        self.reason = reason
        self.detail = detail


@dataclass(slots=True)
class Step:
    """A message on the road, decoded."""

    message: Incoming
    decider: Decider
    asked: Asked
    key: WalletKey
    activity: ReportedActivity | None = None


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

        Raises `CannotProcessError` naming the message that stands in the way (nothing of the batch may then be
        kept), `TimeoutError` when a program version that a message carries does not come.
        """
        steps = decode(messages)
        await self._programs.ensure(newest_versions(steps))
        announcements: list[Announcement] = []
        for part in parts(steps):
            announcements += await self._run(store, part)
        return announcements

    async def _run(self, store: Store, steps: Sequence[Step]) -> list[Announcement]:
        batch = Batch(await store.load(self._needs(steps)))
        for step in steps:
            self._decide(batch, step)
        await self._give_again(store, batch)
        fresh = [decided.journal for decided in batch.decided if not decided.again]
        await store.write(fresh, batch.touched.values())
        return [said for decided in batch.decided for said in announcing.announce(decided, self._programs)]

    async def run_due(self, store: Store, wallets: Sequence[WalletKey], until: datetime) -> list[Announcement]:
        """Apply what is due by `until` to members whom nobody touched; the same as a message would do first."""
        needs = Needs(wallets=set(wallets), until=dict.fromkeys(wallets, until))
        for key in wallets:
            self._need_tiers(needs, key)
        batch = Batch(await store.load(needs))
        for key in sorted(wallets):
            wallet = batch.loaded.wallets[key]
            self._apply_due(batch, wallet, until)
            batch.touched[key] = wallet
        await store.write([decided.journal for decided in batch.decided], batch.touched.values())
        return [said for decided in batch.decided for said in announcing.announce(decided, self._programs)]

    def _needs(self, steps: Sequence[Step]) -> Needs:
        """Say what the messages can touch."""
        needs = Needs()
        for step in steps:
            needs.wallets.add(step.key)
            asked = step.asked
            self._need_tiers(needs, step.key, step.activity)
            if isinstance(asked, Report):
                activity = step.activity
                assert activity is not None  # decode() gives every report its activity
                needs.activities.add(ActivityKey(step.key.program, asked.partner, activity.id))
                if activity.type == "return" and activity.of is not None:
                    needs.originals[ActivityKey(step.key.program, asked.partner, activity.of)] = step.key
            elif isinstance(asked, Enrol):
                needs.enrolling.add(step.key)
            elif isinstance(asked, PlaceHold):
                want = (*step.key, asked.unit)
                needs.spending[want] = needs.spending.get(want, 0) + asked.amount
                needs.holds.add((*step.key, asked.hold))
            elif isinstance(asked, CaptureHold | ReleaseHold):
                needs.holds.add((*step.key, asked.hold))
            if self._programs.runs_by_itself(step.key.program):
                seen = needs.until.get(step.key)
                needs.until[step.key] = asked.at if seen is None else max(seen, asked.at)
        return needs

    def _need_tiers(self, needs: Needs, key: WalletKey, activity: ReportedActivity | None = None) -> None:
        """Say that a wallet's tier is needed, and its counts from the day before an activity on."""
        reach = self._programs.tiers_reach(key.program)
        if reach is None:
            return
        needs.tiers[key] = reach
        if activity is not None:
            # It may be written with another offset than the program's zone has, so that its day is another one.
            day = activity.occurred_at.date() - timedelta(days=3)
            needs.counting[key] = min(day, needs.counting.get(key, day))

    def _decide(self, batch: Batch, step: Step) -> None:
        wallet = batch.loaded.wallets[step.key]
        at = max(step.asked.at, wallet.at)
        if self._programs.runs_by_itself(wallet.program):
            self._apply_due(batch, wallet, at)
        if isinstance(step.asked, Report):
            facts = self._judge(batch, step, wallet, at)
        else:
            moment = Moment(at, wallet.version + 1, self._programs)
            try:
                facts = step.decider.decide(wallet, step.asked, moment)
            except ImpossibleRequestError as error:
                raise CannotProcessError(step.message, "impossible", str(error)) from error
        if facts:
            self._enter(batch, step, wallet, at, facts)
            # What came late may have ended before it was granted.
            if self._programs.runs_by_itself(wallet.program):
                self._apply_due(batch, wallet, at)

    def _judge(self, batch: Batch, step: Step, wallet: Wallet, at: datetime) -> tuple[AnyFact, ...]:
        """Judge an activity whose id is new; an id that is known is answered as before (S8)."""
        asked, activity = step.asked, step.activity
        assert isinstance(asked, Report)
        assert activity is not None
        known = batch.loaded.known.get(ActivityKey(wallet.program, asked.partner, activity.id))
        if known is None:
            return step.decider.decide(wallet, asked, Moment(at, wallet.version + 1, self._programs, activity))
        if known.hash == asked.hash and known.member == wallet.member:
            batch.again.append((*step.key, known.journal))
            balances = [_copy(balance) for balance in wallet.balances.values()]
            before = Journal(wallet, known.journal, step.decider.kind, activity.id, at, (), at)
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

    def _apply_due(self, batch: Batch, wallet: Wallet, until: datetime) -> None:
        """Let time take its due, each instant in a journal of its own."""
        if wallet.next_due_at is None or wallet.next_due_at > until:
            return
        for moment, facts in due(wallet, until, self._programs):
            self._enter(batch, None, wallet, max(moment, wallet.at), facts)

    def _enter(self, batch: Batch, step: Step | None, wallet: Wallet, at: datetime, facts: tuple[AnyFact, ...]) -> None:
        """Make the journal, move the wallet by its facts, and keep the balances as they stand then."""
        wallet.version += 1
        wallet.at = at
        for fact in facts:
            wallet.apply(wallet.version, fact)
        journal = _journal(step, wallet, at, facts)
        key = WalletKey(wallet.program, wallet.member)
        batch.touched[key] = wallet
        if journal.hash:
            self._remember(batch, journal)
        balances = [_copy(balance) for balance in wallet.balances.values()]
        standing = self._standing(wallet, facts, at) if wallet.tiers is not None else None
        message = step.message if step else None
        batch.decided.append(Decided(message, journal, balances, wallet.version, standing=standing))

    def _standing(self, wallet: Wallet, facts: tuple[AnyFact, ...], at: datetime) -> Shown | None:
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
        for decided in batch.decided:
            if decided.again:
                wallet = decided.journal.wallet
                name = (wallet.program, wallet.member, decided.journal.number)
                decided.journal = recent.get(name) or old[name]
                decided.journal.wallet = wallet


def decode(messages: Sequence[Incoming]) -> list[Step]:
    """Read the messages that are for points; raises `CannotProcessError` for what cannot be read."""
    steps = []
    for message in messages:
        decider = DECIDERS.get(message.type)
        if decider is None:
            if message.type.startswith(NOT_FOR_US):
                continue
            raise CannotProcessError(message, "unknown_type", f"No decider answers {message.type}")
        try:
            asked = decider.decode(message.body)
            activity = asked.decoded() if isinstance(asked, Report) else None
        except msgspec.MsgspecError as error:
            raise CannotProcessError(message, "undecodable", str(error)) from error
        key = WalletKey(message.program, message.member)
        steps.append(Step(message, decider, asked, key, activity))
    return steps


def parts(steps: Sequence[Step]) -> Iterable[Sequence[Step]]:
    """Cut a batch before a return whose original is in it: what it takes back is loaded once that is written."""
    seen: set[tuple[str, str, str]] = set()
    start = 0
    for index, step in enumerate(steps):
        if step.activity is None or not isinstance(step.asked, Report):
            continue
        program, partner = step.key.program, step.asked.partner
        if step.activity.type == "return" and (program, partner, step.activity.of or "") in seen:
            yield steps[start:index]
            start = index
            seen.clear()
        seen.add((program, partner, step.activity.id))
    if start < len(steps):
        yield steps[start:]


def newest_versions(steps: Sequence[Step]) -> dict[str, int]:
    """Return the newest version of each program that any of the messages was accepted under."""
    newest: dict[str, int] = {}
    for step in steps:
        version = step.asked.versions.program
        if version > newest.get(step.key.program, 0):
            newest[step.key.program] = version
    return newest


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


def _journal(step: Step | None, wallet: Wallet, at: datetime, facts: tuple[AnyFact, ...]) -> Journal:
    """Make the row of a decision; an activity's row keeps the activity as it was sent."""
    if step is None:
        due = "tier_review" if moves_tiers(facts) else "expiry"
        return Journal(wallet, wallet.version, due, f"{at:%Y-%m-%dT%H:%M:%SZ}", at, facts, at)
    kind, asked, message = step.decider.kind, step.asked, step.message.id
    if not isinstance(asked, Report) or step.activity is None:
        return Journal(wallet, wallet.version, kind, _cause(asked), at, facts, at, message=message)
    refusal = facts[0] if isinstance(facts[0], ActivityRefused) else None
    code = refusal.code if refusal is not None else None
    version: Any = getattr(facts[0], "version", 0)
    return Journal(
        wallet,
        wallet.version,
        "return" if step.activity.type == "return" else kind,
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
    )


def _cause(asked: Asked) -> str:
    return str(getattr(asked, "hold", None) or getattr(asked, "match", None) or asked.member or "")
