"""Facts are entered: a journal each time, the wallet moved by them, and what stands then kept for the telling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from laurel.contracts.activity import ReportedActivity
from laurel.contracts.processing import CannotProcessError
from services.points import announcing
from services.points.decoding import Step, judged_by
from services.points.domain.asked import ReleaseHold
from services.points.domain.converting import earliest, look_ahead
from services.points.domain.expiring import due
from services.points.domain.facts import AnyFact, PointsConverted
from services.points.domain.folding import fold
from services.points.domain.moment import Moment
from services.points.domain.state import Wallet
from services.points.domain.tiering import ANY_VERSION, Shown, moves_tiers, shown
from services.points.journaling import (
    adjustments_of,
    cause_of,
    copy_of,
    due_journal,
    funding_journal,
    holds_of,
    journal_of,
    share_journal,
)
from services.points.ports import (
    ActivityKey,
    Announcement,
    Decided,
    Incoming,
    Journal,
    Known,
    Loaded,
    ProgramBook,
    Waiting,
    WalletKey,
)

_NOBODY: Mapping[str, Wallet] = {}


@dataclass(slots=True)
class Batch:
    """What deciding a batch has led to so far."""

    loaded: Loaded
    decided: list[Decided] = field(default_factory=list)
    touched: dict[WalletKey, Wallet] = field(default_factory=dict)
    recent: dict[ActivityKey, Journal] = field(default_factory=dict)
    again: list[tuple[str, str, int]] = field(default_factory=list)


class Entering:
    """Moves the wallets of a batch."""

    def __init__(self, programs: ProgramBook) -> None:
        self._programs = programs

    def moment(
        self,
        batch: Batch,
        wallet: Wallet,
        at: datetime,
        activity: ReportedActivity | None,
        others: Mapping[str, Wallet] = _NOBODY,
    ) -> Moment:
        """Return what a decider is told besides the wallet and what is asked."""
        return Moment(at, wallet.version + 1, self._programs, activity, batch.loaded.shared, others)

    def due_until(self, batch: Batch, step: Step, wallet: Wallet) -> datetime | None:
        """Return up to when time has taken its due when the message is decided.

        On a wall clock that is the message's time; on a manual one the program's now, and before the clock was
        ever set nothing is due. A turn that ends a wait has come to just before its end.
        """
        if self._programs.runs_by_itself(wallet.program):
            return max(step.asked.at, wallet.at)
        now = judged_by(step.asked, wallet.program).as_of or batch.loaded.clocks.get(wallet.program)
        come_to = step.asked.comes_after if isinstance(step.asked, ReleaseHold) else None
        return max((each for each in (now, come_to) if each is not None), default=None)

    def apply_due(self, batch: Batch, wallet: Wallet, until: datetime, *, done_until: datetime | None = None) -> None:
        """Let time take its due, each instant in a journal of its own.

        `done_until`: that was done before, up to then, and only what came late is taken now.
        """
        if wallet.next_due_at is None or wallet.next_due_at > until:
            return
        for moment, facts in due(wallet, until, self._programs, batch.loaded.shared):
            self.enter(batch, None, wallet, max(moment, wallet.at), facts, due_at=moment)
            if done_until is not None:
                look_ahead(wallet, done_until, self._programs)
            else:
                look_ahead(wallet, moment, self._programs, included=not isinstance(facts[0], PointsConverted))

    def apply_due_of(self, batch: Batch, step: Step, wallet: Wallet) -> datetime | None:
        """Let time take its due up to when a message is decided; return that instant."""
        until = self.due_until(batch, step, wallet)
        if until is not None:
            self.apply_due(batch, wallet, until)
        return until

    def enter(
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
        if wallet.late is not None:
            wallet.late.note(facts, at, due_at or at)
        for fact in facts:
            fold(wallet, wallet.version, fact)
            batch.loaded.shared.apply(wallet.program, wallet.member, wallet.version, fact)
        if step is not None and self._programs.conversions(wallet.program):
            done_until = self.due_until(batch, step, wallet) or earliest(facts)
            if done_until is not None:
                look_ahead(wallet, done_until, self._programs)
        message: Incoming | None = step.message if step is not None else None
        if step is not None and shared:
            journal, message = share_journal(step.message, journal_of(step, wallet, at, facts))
        elif step is not None and kind:
            journal = Journal(wallet, wallet.version, kind, cause_of(step), at, facts, at, message=step.message.id)
        elif step is not None:
            journal = journal_of(step, wallet, at, facts)
        elif waiting is not None:
            journal, message = funding_journal(waiting, wallet, at, facts)
        else:
            journal = due_journal(wallet, at, facts, due_at or at)
        key = WalletKey(wallet.program, wallet.member)
        batch.touched[key] = wallet
        if journal.hash:
            self._remember(batch, journal)
        balances = [copy_of(balance) for balance in wallet.balances.values()]
        batch.decided.append(
            Decided(
                message,
                journal,
                balances,
                wallet.version,
                holds=holds_of(wallet, facts, journal.kind),
                adjustments=adjustments_of(wallet, facts, journal.kind),
                standing=self._standing(wallet, facts, at) if wallet.tiers is not None else None,
            )
        )

    def say(self, batch: Batch) -> list[Announcement]:
        """Return what is to be said of all that was decided, in its order."""
        said: list[Announcement] = []
        for decided in batch.decided:
            try:
                said.extend(announcing.announce(decided, self._programs))
            except Exception as error:
                if decided.message is None:
                    raise
                raise CannotProcessError(decided.message, "undecidable", repr(error)) from error
        return said

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
