"""The one road that every change takes, whether one message or five hundred came.

decode -> load (sets, locked in order) -> decide (pure) -> write (sets) -> announce; the caller commits. Messages
arrive sifted: none was applied before, and those of one key are in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from laurel.contracts.parking import VERSION_UNKNOWN, version_unknown
from laurel.contracts.processing import CannotProcessError
from services.redemption.announcing import Occasion, announce
from services.redemption.deciders import FORGETTING, OF_PROGRAMS
from services.redemption.decoding import VERSIONED, Due, Step, decode, timer_step, turn_of
from services.redemption.domain.answering import ImpossibleMessageError
from services.redemption.domain.drawing import drawn_upon
from services.redemption.domain.facts import AnyFact, VoucherFact, VoucherIssued
from services.redemption.domain.fulfilling import vouchers_needed
from services.redemption.domain.heard import (
    ClockTurned,
    ConfirmRedemption,
    PartnerAnswered,
    PointsCaptured,
    PointsConverted,
    PointsHeld,
    PublishResource,
    Redeem,
    ShareReturned,
)
from services.redemption.domain.moment import Blank, Moment, ProgramTerms
from services.redemption.domain.requesting import vouchers_at_once
from services.redemption.domain.state import ResourceKey, RewardKey, SagaKey, State, TallyKey
from services.redemption.domain.vouchers import VoucherKey, issued
from services.redemption.needing import needs, newest_versions
from services.redemption.ports import Announcement, Decision, Incoming, ProgramBook, Store, TurnWaits
from services.redemption.spreading import spread

GIVING = Redeem | PointsHeld | ConfirmRedemption | PartnerAnswered
"""What may be answered with vouchers."""


@dataclass(slots=True)
class Batch:
    """What deciding a batch has led to so far."""

    state: State
    decisions: list[Decision] = field(default_factory=list)
    said: list[Announcement] = field(default_factory=list)


class Road:
    """Runs batches of messages from bytes to announcements, inside the caller's transaction."""

    def __init__(self, programs: ProgramBook, *, hold_wait: timedelta = timedelta(minutes=15)) -> None:
        self._programs = programs
        self._hold_wait = hold_wait

    async def run(self, store: Store, messages: Sequence[Incoming]) -> list[Announcement]:
        """Decide and write the messages; return what is to be said, in order.

        Raises `CannotProcessError` naming the messages that stand in the way (nothing of the batch may then be
        kept), such as those that carry a program version which does not come.
        """
        of_programs = [turn_of(message) for message in messages if message.type in OF_PROGRAMS]
        if of_programs:
            await _note(store, of_programs)
            messages = [message for message in messages if message.type not in OF_PROGRAMS]
        erased = [(message.program, message.member) for message in messages if message.type in FORGETTING]
        if erased:
            await store.forget_members(erased)
        steps = await spread(store, decode(messages))
        try:
            await self._programs.ensure(newest_versions(steps))
        except TimeoutError as error:
            self._park_early(steps, error)
        return await self._travel(store, steps)

    async def run_due(self, store: Store, due: Sequence[Due]) -> list[Announcement]:
        """Decide for sagas that have waited long enough, and vouchers that have ended, as a message would have done."""
        return await self._travel(store, [timer_step(heard) for heard in due])

    def _park_early(self, steps: Sequence[Step], error: TimeoutError) -> None:
        """Name the messages that came before the version they carry; the others need not wait for it."""
        wrong = [
            CannotProcessError(step.message, VERSION_UNKNOWN, version_unknown(heard.program, version))
            for step in steps
            if isinstance(heard := step.heard, VERSIONED)
            and step.message is not None
            and (version := heard.versions.program)
            and not self._programs.knows(heard.program, version)
        ]
        if wrong:
            wrong[0].also = tuple(wrong[1:])
            raise wrong[0] from error

    async def _travel(self, store: Store, steps: Sequence[Step]) -> list[Announcement]:
        if not steps:
            return []
        batch = Batch(await store.load(needs(steps)))
        await self._load_drawn(store, batch.state, steps)
        for step in steps:
            moment = self._moment(batch.state, store, step)
            try:
                facts = step.decide(batch.state, step.heard, moment)
                if facts:
                    self._enter(batch, step, facts)
            except Exception as error:
                if step.message is None:
                    raise
                if isinstance(error, ImpossibleMessageError):
                    raise CannotProcessError(step.message, "impossible", str(error)) from error
                # Whatever a decider trips over is this message's matter; it is parked alone, with its reason.
                raise CannotProcessError(step.message, "undecidable", repr(error)) from error
        await store.write(batch.decisions, batch.state)
        return batch.said

    async def _load_drawn(self, store: Store, state: State, steps: Sequence[Step]) -> None:
        """Load what the messages may draw from or give back: which that is stands in the rewards and sagas."""
        tallies: set[TallyKey] = set()
        resources: set[ResourceKey] = set()
        for step in steps:
            if isinstance(step.heard, Redeem):
                names, places = drawn_upon(state, step.heard, self._plainly(state, step))
                tallies |= names
                resources |= places
            elif isinstance(step.heard, PublishResource):
                resources.add(ResourceKey(step.heard.program, step.heard.resource))
            saga = state.sagas.get(step.key) if isinstance(step.key, SagaKey) else None
            # That a capture is noted gives nothing back, so it leaves hot seats alone.
            if saga is not None and not isinstance(step.heard, PointsCaptured):
                tallies |= {TallyKey(saga.key.program, draw.name) for draw in saga.bargain.drawn}
        if tallies or resources:
            await store.load_drawn(state, tallies, resources)

    def _plainly(self, state: State, step: Step) -> Moment:
        """Return the moment without anything that would be used up."""
        heard, message = step.heard, step.message
        saga = state.sagas.get(step.key) if isinstance(step.key, SagaKey) else None
        program = ProgramTerms()
        if isinstance(heard, VERSIONED) and heard.versions.program:
            program = self._programs.terms(heard.program, heard.versions.program)
        return Moment(
            at=heard.at if saga is None else max(heard.at, saga.at),
            program=program,
            hold_wait=self._hold_wait,
            correlation=message.correlation if message is not None else "",
        )

    def _moment(self, state: State, store: Store, step: Step) -> Moment:
        heard, moment = step.heard, self._plainly(state, step)
        blanks: tuple[Blank, ...] = ()
        if isinstance(heard, GIVING) and isinstance(step.key, SagaKey):
            saga = state.sagas.get(step.key)
            if isinstance(heard, Redeem):
                reward, count = RewardKey(heard.program, heard.reward), vouchers_at_once(state, heard, moment)
                version = state.in_force(reward, moment.at)
            elif saga is not None:
                reward, count = saga.reward_key, vouchers_needed(state, saga, heard)
                version = saga.reward_version
            else:
                count = 0
            codes = heard.codes if isinstance(heard, PartnerAnswered) else ()
            if count and version is not None:
                of_pool = state.terms[reward, version].of_pool
                blanks = store.print_vouchers(step.key, reward, count, moment.at, codes, of_pool=of_pool)
        elif isinstance(step.key, VoucherKey) and isinstance(heard, PointsConverted | ShareReturned):
            blanks = (store.print_voucher(step.key),) if step.key not in state.vouchers else ()
        return replace(moment, blanks=blanks) if blanks else moment

    def _enter(self, batch: Batch, step: Step, facts: tuple[AnyFact, ...]) -> None:
        """Move the state by the facts, make the decision's row, and say what follows before anything else moves."""
        program, key, heard = step.heard.program, step.key, step.heard
        theirs = [fact for fact in facts if isinstance(key, SagaKey) and isinstance(fact, VoucherFact)]
        if theirs:
            facts = tuple(fact for fact in facts if fact not in theirs)
        for fact in facts:
            batch.state.apply(program, key, fact)
        saga = batch.state.sagas[key] if isinstance(key, SagaKey) else None
        voucher = batch.state.vouchers[key] if isinstance(key, VoucherKey) else None
        at, number = heard.at, 0
        if saga is not None:
            saga.at = at = max(saga.at, heard.at)
            saga.step += 1
            number = saga.step
            _show_vouchers(batch.state, saga.key, facts, at)
        elif voucher is not None:
            voucher.step += 1
            number = voucher.step
        message_id = step.message.id if step.message is not None else ""
        decision = Decision(program, key, number, step.kind, message_id, at, facts)
        batch.decisions.append(decision)
        batch.said.extend(announce(Occasion(decision, saga, heard, step.message, voucher)))
        # What a saga does to its vouchers is decided of each of them, like all that becomes of it.
        for fact in theirs:
            voucher_key = VoucherKey(program, heard.member or "", fact.voucher)
            self._enter(batch, replace(step, key=voucher_key), (fact,))


async def _note(store: Store, of_programs: Sequence[ClockTurned | TurnWaits]) -> None:
    """Note what is to be done for whole programs, in steps."""
    turned = [each for each in of_programs if isinstance(each, ClockTurned)]
    waits = [each for each in of_programs if isinstance(each, TurnWaits)]
    if turned:
        await store.begin_turns(turned)
    if waits:
        await store.begin_waits(waits)


def _show_vouchers(state: State, key: SagaKey, facts: Sequence[AnyFact], at: datetime) -> None:
    """Put the vouchers that a saga makes into the state: a later message of the batch may concern them."""
    for fact in facts:
        if isinstance(fact, VoucherIssued):
            made = VoucherKey(key.program, key.member, fact.voucher)
            state.vouchers[made] = replace(issued(made, fact, at), redemption=key.redemption)
