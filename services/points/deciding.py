"""A message is decided: for its wallet, for several at once, and for those whom it concerns besides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from laurel.contracts.processing import CannotProcessError
from services.points.deciders import Among, Decider
from services.points.decoding import Step
from services.points.domain.approving import decide_share
from services.points.domain.asked import DecidePending, Enrol, PlaceHold, ReleaseHold, Report
from services.points.domain.capturing import ImpossibleRequestError
from services.points.domain.concerning import give_share, others_of, takes_part
from services.points.domain.facts import ActivityPosted, ActivityRefused, ActivityReturned, AnyFact, PendingDecided
from services.points.domain.granting import takes
from services.points.domain.joining import pass_on
from services.points.domain.paying_back import captures_back, pay_back
from services.points.domain.pending import release_by_event
from services.points.domain.pooling import Short, drawn, lend, more_for, short_of, with_pool
from services.points.domain.returning import give_back_share
from services.points.domain.state import Wallet
from services.points.entering import Batch, Entering
from services.points.following import Following
from services.points.journaling import cause_of, copy_of, shares_named
from services.points.ports import ActivityKey, Decided, Journal, ProgramBook, Store, WalletKey


class Deciding:
    """Has each message of a batch decided, and enters what that leads to."""

    def __init__(self, programs: ProgramBook, following: Following, entering: Entering) -> None:
        self._programs = programs
        self._following = following
        self._entering = entering

    def decide(self, batch: Batch, step: Step) -> None:
        """Decide one message, after what is due by then of the wallets that it moves."""
        if isinstance(step.decider, Among):
            self._decide_among(batch, step, step.decider)
            return
        wallet = batch.loaded.wallets[step.key]
        due_until = self._entering.apply_due_of(batch, step, wallet)
        if step.survivor is not None:
            self._answered_by(batch, step, wallet, step.survivor)
        at = self._time_of(step, wallet, due_until)
        others: dict[str, Wallet] = {}
        if isinstance(step.asked, Report):
            if step.concerned:
                others = self._concerned(batch, step, wallet)
            facts = self._judge(batch, step, step.decider, wallet, at, others)
            if facts and isinstance(facts[0], ActivityRefused):
                # It did not happen, so in a sandbox it moves nobody's time.
                at = min(at, self._time_of_another(step, wallet, due_until))
        else:
            at, facts = self._decided(batch, step, step.decider, wallet, at)
        if facts:
            self._entering.enter(batch, step, wallet, at, facts)
            if isinstance(step.asked, ReleaseHold) and step.asked.turned_to is not None:
                # The turn is not over before the member is shown with this.
                wallet.turned_to = step.asked.turned_to
            if step.concerned or step.shares:
                self._share(batch, step, facts, others)
            if step.survivor is not None:
                self._pass_on(batch, step, wallet, facts)
            # What came late may have ended before it was granted.
            if due_until is not None:
                self._entering.apply_due(batch, wallet, due_until, done_until=due_until)

    def _decided(
        self, batch: Batch, step: Step, decider: Decider, wallet: Wallet, at: datetime
    ) -> tuple[datetime, tuple[AnyFact, ...]]:
        """Decide what is asked of one wallet, with the points of its household where they are needed."""
        moment = self._entering.moment(batch, wallet, at, None, self._sharing(batch, step))
        try:
            facts = decider.decide(wallet, step.asked, moment)
            if step.pool and self._draw(batch, step, wallet, facts):
                at = max(at, wallet.at)
                facts = decider.decide(wallet, step.asked, self._entering.moment(batch, wallet, at, None))
        except ImpossibleRequestError as error:
            raise CannotProcessError(step.message, "impossible", str(error)) from error
        return at, self._with_pool(batch, step, facts)

    def _decide_among(self, batch: Batch, step: Step, among: Among) -> None:
        """Decide for several wallets at once; those of one program are moved at one instant."""
        wallets = [batch.loaded.wallets[key] for key in (step.key, *step.others)]
        until = [self._entering.apply_due_of(batch, step, wallet) for wallet in wallets]
        at: dict[str, datetime] = {}
        for wallet, due_until in zip(wallets, until, strict=True):
            time = self._time_of(step, wallet, due_until)
            at[wallet.program] = max(time, at.get(wallet.program, time))
        moments = [self._entering.moment(batch, wallet, at[wallet.program], None) for wallet in wallets]
        halves = list(among.decide(wallets, step.asked, moments))
        if step.pool and self._draw(batch, step, wallets[0], halves[0]):
            at = {
                name: max([time, *(each.at for each in wallets if each.program == name)]) for name, time in at.items()
            }
            moments = [self._entering.moment(batch, wallet, at[wallet.program], None) for wallet in wallets]
            halves = list(among.decide(wallets, step.asked, moments))
        halves[0] = self._with_pool(batch, step, halves[0])
        for wallet, facts in zip(wallets, halves, strict=True):
            if facts:
                self._entering.enter(batch, step, wallet, at[wallet.program], facts)
        for wallet, due_until in zip(wallets, until, strict=True):
            if due_until is not None:
                self._entering.apply_due(batch, wallet, due_until)

    def _time_of(self, step: Step, wallet: Wallet, now: datetime | None) -> datetime:
        """Return when the message happens; a wallet's time never goes back.

        On a manual clock, what has no time of its own happens at the later of now and the member's latest
        activity, and where there is neither, at its enrolment.
        """
        if isinstance(step.asked, Report | Enrol):
            return max(step.asked.at, wallet.at)
        return self._time_of_another(step, wallet, now)

    def _time_of_another(self, step: Step, wallet: Wallet, now: datetime | None) -> datetime:
        """Return when a message happens that has no time of its own."""
        own = step.asked.at
        if not self._programs.runs_by_itself(wallet.program):
            told = [time for time in (now, wallet.occurred_at) if time is not None]
            if isinstance(step.asked, ReleaseHold) and step.asked.waited_until is not None:
                # As if done on time.
                told.append(step.asked.waited_until)
            own = max(told, default=wallet.enrolled_at or own)
        return max(own, wallet.at)

    def _judge(
        self, batch: Batch, step: Step, decider: Decider, wallet: Wallet, at: datetime, others: Mapping[str, Wallet]
    ) -> tuple[AnyFact, ...]:
        """Judge an activity whose id is new; an id that is known is answered as before (S8)."""
        asked, activity = step.asked, step.activity
        assert isinstance(asked, Report)
        assert activity is not None
        known = batch.loaded.known.get(ActivityKey(wallet.program, asked.partner, activity.id))
        if known is None:
            if activity.type == "return":
                self._pay_back(batch, step, asked, wallet, at)
            return decider.decide(wallet, asked, self._entering.moment(batch, wallet, at, activity, others))
        if known.hash == asked.hash and known.member == wallet.member:
            batch.again.append((*step.key, known.journal))
            balances = [copy_of(balance) for balance in wallet.balances.values()]
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

    def _pay_back(self, batch: Batch, step: Step, asked: Report, wallet: Wallet, at: datetime) -> None:
        """Undo what points paid of that which is returned, in journals of their own, before the return is judged.

        So the return's own event shows the balances with it.
        """
        assert step.activity is not None  # it is a return
        for hold, amount in captures_back(wallet, asked, step.activity):
            moment = self._entering.moment(batch, wallet, at, None)
            facts = pay_back(wallet, hold, amount, step.activity, moment)
            self._entering.enter(batch, step, wallet, at, facts, kind="return_of_points")

    def _concerned(self, batch: Batch, step: Step, wallet: Wallet) -> dict[str, Wallet]:
        """Return the wallets of those whom an activity concerns besides, by role, with what is due for them done."""
        roles = self._following.roles(step)
        if not roles or step.activity is None:
            return {}
        found: dict[str, Wallet] = {}
        for role, member in others_of(roles, step.activity, wallet).items():
            other = _answering(batch, WalletKey(wallet.program, member))
            if other is not None and other is not wallet and takes_part(wallet, other):
                self._entering.apply_due_of(batch, step, other)
                found[role] = other
        return found

    def _sharing(self, batch: Batch, step: Step) -> dict[str, Wallet]:
        """Return the wallets in which others have a share of what is decided about, with what is due for them done."""
        found: dict[str, Wallet] = {}
        for program, member, _ in sorted(step.shares):
            found[member] = batch.loaded.wallets[WalletKey(program, member)]
            self._entering.apply_due_of(batch, step, found[member])
        return found

    def _share(self, batch: Batch, step: Step, facts: tuple[AnyFact, ...], others: dict[str, Wallet]) -> None:
        """Enter what an activity, its return or a decision about it means for others, each in a journal of its own."""
        first, key = facts[0], step.key
        decided = batch.decided[-1]
        posted = first if isinstance(first, ActivityPosted) else None
        for share in posted.shares if posted is not None else ():
            assert posted is not None
            roles = [role for role, other in others.items() if other.member == share.member]
            other = others[roles[0]]
            moment = self._entering.moment(batch, other, max(decided.journal.at, other.at), None)
            given = give_share(other, key.member, posted, roles, step.asked.versions.partners, moment)
            self._enter_share(batch, step, other, moment.at, given, decided)
        if posted is not None and step.releases:
            self._release_shares(batch, step, posted, decided)
        if isinstance(first, ActivityReturned) or (isinstance(first, PendingDecided) and not first.code):
            for program, member, journal in sorted(step.shares):
                other, heir = (
                    batch.loaded.wallets[WalletKey(program, member)],
                    step.heirs.get(WalletKey(program, member)),
                )
                self._entering.apply_due_of(batch, step, other)
                if heir is not None:
                    self._answered_by(batch, step, other, heir)
                moment = self._entering.moment(batch, other, max(decided.journal.at, other.at), None)
                if isinstance(first, ActivityReturned):
                    its = give_back_share(other, key.member, first, journal, moment)
                else:
                    assert isinstance(step.asked, DecidePending)  # it was just decided
                    its = decide_share(other, key.member, step.asked, moment)
                if its:
                    self._enter_share(batch, step, other, moment.at, its, decided)
                    if heir is not None:
                        self._pass_on(batch, step, other, its)

    def _release_shares(self, batch: Batch, step: Step, posted: ActivityPosted, of: Decided) -> None:
        """Release what others have of the activity that this one names, where it is what that awaits."""
        assert step.activity is not None  # it was just posted
        named = (posted.partner, step.activity.of or "")
        for program, member, _ in sorted(step.shares):
            other = batch.loaded.wallets[WalletKey(program, member)]
            self._entering.apply_due_of(batch, step, other)
            at = max(of.journal.at, other.at)
            released = tuple(release_by_event(other, posted.type, named, at, posted.activity, posted.partner))
            if released:
                self._entering.enter(batch, step, other, at, released, kind="release_of_pending")
                of.shared.append(batch.decided[-1])
                self._entering.apply_due_of(batch, step, other)

    def _enter_share(
        self, batch: Batch, step: Step, other: Wallet, at: datetime, facts: tuple[AnyFact, ...], of: Decided
    ) -> None:
        self._entering.enter(batch, step, other, at, facts, shared=True)
        of.shared.append(batch.decided[-1])
        self._entering.apply_due_of(batch, step, other)

    def _answered_by(self, batch: Batch, step: Step, wallet: Wallet, survivor: WalletKey) -> None:
        """Let an account know who answers for it; what a return takes back may have ended there by now."""
        wallet.survivor = survivor.member
        self._entering.apply_due_of(batch, step, batch.loaded.wallets[survivor])

    def _pass_on(self, batch: Batch, step: Step, wallet: Wallet, facts: tuple[AnyFact, ...]) -> None:
        """Let what is left in an account that is a part of another go there, in journals of their own.

        So it goes on along a chain of merges, as it would have gone had it been there when they were made.
        """
        leaving, came = wallet, facts
        while leaving.merged_into is not None:
            staying = batch.loaded.wallets[WalletKey(leaving.program, leaving.merged_into)]
            at = max(leaving.at, staying.at)
            wallets = (leaving, staying)
            moments = [self._entering.moment(batch, each, at, None) for each in wallets]
            halves = pass_on(leaving, staying, cause_of(step), came, facts, moments)
            for each, its in zip(wallets, halves, strict=True):
                if its:
                    self._entering.enter(batch, step, each, at, its, kind="merge")
            # A later message of the batch may take back what went on just now.
            if halves[1]:
                made = [lot for name, lot in staying.lots.items() if name.journal == staying.version]
                wallet.gone_on += [(staying.member, lot) for lot in made]
            leaving, came = staying, halves[1]

    def _draw(self, batch: Batch, step: Step, wallet: Wallet, facts: tuple[AnyFact, ...]) -> bool:
        """Let the others of a household pay what the member cannot, where they can; say if they did."""
        most = step.asked if isinstance(step.asked, PlaceHold) and step.asked.least is not None else None
        if most is None and short_of(facts) is None:
            return False
        pool = [batch.loaded.wallets[key] for key in step.pool]
        for other in pool:
            self._entering.apply_due_of(batch, step, other)
        short: Short | None = more_for(wallet, most, facts, pool) if most is not None else short_of(facts)
        if (
            short is None
            or with_pool(short, pool) is not None
            or not takes(wallet.balance(short.unit), short.shortfall)
        ):
            return False
        at = max(each.at for each in (wallet, *pool))
        at = max(at, step.asked.at) if self._programs.runs_by_itself(wallet.program) else at
        for owner, parts in drawn(pool, short.unit, short.shortfall):
            left, arrived = lend(owner, wallet, short.unit, parts, cause_of(step))
            self._entering.enter(batch, step, owner, at, left, kind="pooling")
            self._entering.enter(batch, step, wallet, at, arrived, kind="pooling")
        return True

    def _with_pool(self, batch: Batch, step: Step, facts: tuple[AnyFact, ...]) -> tuple[AnyFact, ...]:
        """Let a refusal for want of points count what the household has."""
        short = short_of(facts) if step.pool else None
        together = with_pool(short, [batch.loaded.wallets[key] for key in step.pool]) if short is not None else None
        return facts if together is None else (together,)

    async def give_again(self, store: Store, batch: Batch) -> None:
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


def _answering(batch: Batch, key: WalletKey) -> Wallet | None:
    """Return the wallet of a member, or of whoever answers for it."""
    wallet = batch.loaded.wallets.get(key)
    while wallet is not None and wallet.merged_into is not None:
        wallet = batch.loaded.wallets.get(WalletKey(wallet.program, wallet.merged_into))
    return wallet
