"""The one road that every change takes, whether one message or five hundred came.

decode -> load (sets, locked in order) -> decide (pure) -> write (sets) -> announce; the caller commits. What is due
for a member by the time of a message is applied before the message is decided. Messages arrive sifted: none was
applied before, and those of one key are in order. Each step has a file of its own: `decoding`, `cutting`, `following`
and `needing` (load), `deciding`, `entering` and `journaling`, `announcing`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from laurel.contracts.parking import VERSION_UNKNOWN, version_unknown
from laurel.contracts.processing import CannotProcessError
from laurel.values import AMOUNT_MAX
from services.points.cutting import cut
from services.points.deciders import OF_PROGRAMS
from services.points.deciding import Deciding
from services.points.decoding import Step, decode, newest_versions, versions_of
from services.points.domain.asked import GoOn, TurnClock
from services.points.domain.facts import AnyFact
from services.points.domain.funding import give_funds
from services.points.domain.partnering import partners_of
from services.points.domain.refilling import UnreadError
from services.points.domain.segmenting import Judgement, judged
from services.points.domain.tiering import looked_again
from services.points.entering import Batch, Entering
from services.points.following import Following
from services.points.needing import Needing
from services.points.ports import (
    Announcement,
    Incoming,
    Loaded,
    Needs,
    Payment,
    ProgramBook,
    Store,
    Turn,
    Waiting,
    WaitsOver,
    WalletKey,
)
from services.points.topping_up import BlockSeen, answer_payment, payment_of, seen_block, time_of_funding


async def _decided(load: Callable[[bool], Awaitable[Loaded]], decide: Callable[[Batch], None]) -> Batch:
    """Load and decide; where the oldest refusals do not suffice for a refill, begin again with all of them."""
    batch = Batch(await load(False))
    try:
        decide(batch)
    except UnreadError:
        batch = Batch(await load(True))
        decide(batch)
    return batch


def _loading(store: Store, need: Callable[[], Needs]) -> Callable[[bool], Awaitable[Loaded]]:
    """Load what is needed, named anew each time."""
    return lambda all_refusals: store.load(replace(need(), all_refusals=all_refusals))


class Road:
    """Runs batches of messages from bytes to announcements, inside the caller's transaction."""

    def __init__(self, programs: ProgramBook) -> None:
        self._programs = programs
        self._needing = Needing(programs)
        self._following = Following(programs, self._needing)
        self._entering = Entering(programs)
        self._deciding = Deciding(programs, self._following, self._entering)

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
            step.takes_back = self._following.takes_back(step)
            step.releases = self._following.releases(step)
        announcements: list[Announcement] = []
        for part in cut(steps, self._programs):
            announcements += await self._run(store, part)
        # Blocks are locked after wallets.
        for each in of_programs:
            if isinstance(each, Payment):
                announcements += answer_payment(each, await store.pay(each, AMOUNT_MAX))
        # So are turns: what is done in one is counted last.
        over = [each for each in of_programs if isinstance(each, WaitsOver)]
        if over:
            await store.go_on(over)
        return announcements

    async def run_due(self, store: Store, wallets: Sequence[WalletKey], until: datetime) -> list[Announcement]:
        """Apply what is due by `until` to members whom nobody touched; the same as a message would do first."""
        _, announcements = await self.run_turn(store, wallets, until, turned_to=None)
        return announcements

    async def run_turn(
        self, store: Store, wallets: Sequence[WalletKey], until: datetime, *, turned_to: datetime | None
    ) -> tuple[list[AnyFact], list[Announcement]]:
        """Do the same, and tell the facts; a turn of a clock leaves its mark on the wallets that it moves."""

        def decide(batch: Batch) -> None:
            for key in sorted(wallets):
                wallet = batch.loaded.wallets[key]
                self._entering.apply_due(batch, wallet, until)
                # Time has looked at it, and where nothing came of that it is looked at later.
                batch.touched[key] = wallet

        batch = await _decided(
            _loading(store, lambda: self._needing.of_time(wallets, until)),
            decide,
        )
        return await self._finish(store, batch, turned_to)

    async def run_judgement(
        self,
        store: Store,
        judgement: Judgement,
        measures: Mapping[WalletKey, Mapping[str, int]],
        *,
        turned_to: datetime | None,
    ) -> tuple[list[AnyFact], list[Announcement]]:
        """Judge members by what was measured of them, or look when their tiers are looked at next by other ones.

        What is due for them by then comes first.
        """

        def decide(batch: Batch) -> None:
            for key in sorted(measures):
                wallet = batch.loaded.wallets[key]
                self._entering.apply_due(batch, wallet, judgement.at)
                at = max(judgement.at, wallet.at)
                of_tiers = looked_again(wallet, at, self._programs) if judgement.tiers else ()
                for facts in (of_tiers, judged(wallet, judgement, measures[key])):
                    if facts:
                        self._entering.enter(batch, None, wallet, at, facts, due_at=judgement.at)

        batch = await _decided(
            _loading(store, lambda: self._needing.of_time(measures, judgement.at, counting=judgement.tiers)),
            decide,
        )
        return await self._finish(store, batch, turned_to)

    async def run_funding(
        self, store: Store, payment: Payment, waiting: Sequence[Waiting]
    ) -> tuple[list[Announcement], BlockSeen]:
        """Cover what waits for a block, in its order, as far as the block goes; tell how that stands then."""
        runs_by_itself = self._programs.runs_by_itself(payment.program)
        until = payment.at if runs_by_itself else payment.as_of

        def decide(batch: Batch) -> None:
            for each in waiting:
                wallet = batch.loaded.wallets[WalletKey(each.program, each.member)]
                if until is not None:
                    self._entering.apply_due(batch, wallet, until)
                at = time_of_funding(payment, wallet, runs_by_itself=runs_by_itself)
                moment = self._entering.moment(batch, wallet, at, None)
                facts = give_funds(wallet, each.journal, payment.versions, moment, reference=payment.reference)
                if facts:
                    self._entering.enter(batch, None, wallet, at, facts, waiting=each)
                    if until is not None:
                        self._entering.apply_due(batch, wallet, until)

        batch = await _decided(
            _loading(store, lambda: self._needing.of_payment(payment, waiting, until)),
            decide,
        )
        _, announcements = await self._finish(store, batch, None)
        block = batch.loaded.shared.block(payment.program, payment.partner, payment.unit)
        return announcements, seen_block(payment.unit, block)

    async def _finish(
        self, store: Store, batch: Batch, turned_to: datetime | None
    ) -> tuple[list[AnyFact], list[Announcement]]:
        """Write what no message asked for; tell the facts, and what is to be said of them."""
        for decided in batch.decided:
            decided.turned_to = turned_to
            if turned_to is not None:
                decided.journal.wallet.turned_to = turned_to
        await store.write([decided.journal for decided in batch.decided], batch.touched.values())
        facts = [fact for decided in batch.decided for fact in decided.journal.facts]
        return facts, self._entering.say(batch)

    async def _run(self, store: Store, steps: Sequence[Step]) -> list[Announcement]:
        def decide(batch: Batch) -> None:
            for step in steps:
                try:
                    self._deciding.decide(batch, step)
                except (CannotProcessError, UnreadError):
                    raise
                except Exception as error:
                    # Whatever a decider trips over is this message's matter; it is parked alone, with its reason.
                    raise CannotProcessError(step.message, "undecidable", repr(error)) from error

        batch = await _decided(
            lambda all_refusals: self._following.load(store, steps, all_refusals=all_refusals), decide
        )
        await self._deciding.give_again(store, batch)
        fresh = [decided.journal for decided in batch.decided if not decided.again]
        await store.write(fresh, batch.touched.values())
        return self._entering.say(batch)

    async def _asked_of_program(self, message: Incoming) -> Turn | Payment | WaitsOver:
        """Read what is asked of a program, and know it by the versions that this was accepted under."""
        try:
            asked = OF_PROGRAMS[message.type](message.body)
        except msgspec.MsgspecError as error:
            raise CannotProcessError(message, "undecodable", str(error)) from error
        if isinstance(asked, GoOn):
            return WaitsOver(asked.program, asked.as_of, asked.until)
        version = asked.versions.program
        try:
            await self._programs.ensure({asked.program: version, partners_of(asked.program): asked.versions.partners})
        except TimeoutError as error:
            raise CannotProcessError(message, VERSION_UNKNOWN, version_unknown(asked.program, version)) from error
        if isinstance(asked, TurnClock):
            return Turn(asked.program, asked.as_of, message.id, message.correlation, message.traceparent)
        return payment_of(asked, message)

    def _park_early(self, steps: Sequence[Step], error: TimeoutError) -> None:
        """Name the messages that came before the version they carry; the others need not wait for it."""
        wrong = [
            CannotProcessError(step.message, VERSION_UNKNOWN, version_unknown(*early[0]))
            for step in steps
            if (early := [each for each in versions_of(step) if not self._programs.knows(*each)])
        ]
        if wrong:
            wrong[0].also = tuple(wrong[1:])
            raise wrong[0] from error
