"""The road's store on Postgres: one for each transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from laurel.io.database import Connection
from laurel.io.together import Last, execute_together
from services.redemption.domain.answering import awaits_points
from services.redemption.domain.facts import VoucherIssued
from services.redemption.domain.fulfilling import can_be_confirmed, voucher_id
from services.redemption.domain.heard import ClockTurned, TimeIsUp, VoucherEnds
from services.redemption.domain.moment import Blank
from services.redemption.domain.state import ResourceKey, RewardKey, SagaKey, State, TallyKey
from services.redemption.domain.vouchers import VoucherKey
from services.redemption.ports import Decision, Needs, OpenTurn, TurnWaits
from services.redemption.store import turning, waits
from services.redemption.store.calls import write_calls
from services.redemption.store.loading import MemberKey, load, load_drawn, overdue_in
from services.redemption.store.pools import PoolCode, any_known, free_codes, hand_out, take
from services.redemption.store.printing import Press
from services.redemption.store.vault import Vault
from services.redemption.store.vouchers import UseFor, ended, uses_for
from services.redemption.store.writing import forget_members, writing


class PostgresStore:
    """Loads and writes in sets, inside the caller's transaction; codes live here from print to write only."""

    def __init__(self, connection: Connection, vault: Vault) -> None:
        self._connection = connection
        self._vault = vault
        self._press = Press(vault)
        self._free: dict[RewardKey, list[PoolCode]] = {}
        self._last: Last | None = None

    def defer(self) -> Last:
        """Have what is written go with what else the caller writes last; this is where it is put."""
        self._last = Last()
        return self._last

    async def load(self, needs: Needs) -> State:
        """Lock and read what the needs name."""
        self._press = Press(self._vault)
        state = await load(self._connection, needs, self._press)
        if needs.given_at is not None:
            self._free = await free_codes(self._connection, _pooled(state, needs), needs.given_at)
        return state

    async def load_drawn(self, state: State, tallies: set[TallyKey], resources: set[ResourceKey]) -> None:
        """Lock and read what may be drawn from."""
        await load_drawn(self._connection, state, tallies, resources)

    def print_vouchers(
        self, key: SagaKey, reward: RewardKey, count: int, at: datetime, codes: Sequence[str] = (), *, of_pool: bool
    ) -> tuple[Blank, ...]:
        """Make codes, of which only hash and sealed form are kept, or take these, or those of the partner's pool."""
        program, member, _ = key
        if codes:
            names = [voucher_id(key, number) for number in range(1, count + 1)]
            return tuple(self._press.take(program, member, *each) for each in zip(names, codes, strict=True))
        if of_pool:
            there = self._free.get(reward, [])
            # What is over for this saga may be good for one whose time is earlier.
            free = [code for code in there if code.expires_at > at][:count]
            self._free[reward] = [code for code in there if code not in free]
            named = zip(free, range(1, len(free) + 1), strict=True)
            return tuple(self._press.hand_out(reward, code, member, voucher_id(key, number)) for code, number in named)
        return tuple(self._press.print(program, member, voucher_id(key, number)) for number in range(1, count + 1))

    def print_voucher(self, key: VoucherKey) -> Blank:
        """Make the code of a voucher that points became."""
        return self._press.print(*key)

    async def codes_known(self, program: str, codes: Sequence[str]) -> bool:
        """Look for a partner's codes among those that were given before."""
        return await any_known(self._connection, program, [self._vault.foreign_digest(program, each) for each in codes])

    async def uses_for(self, wanted: Collection[UseFor]) -> Mapping[UseFor, Sequence[VoucherKey]]:
        """Find the vouchers that were used for something."""
        return await uses_for(self._connection, wanted)

    async def forget_members(self, members: Sequence[MemberKey]) -> None:
        """Destroy the keys of members who were erased."""
        await forget_members(self._connection, members)

    async def begin_turns(self, turns: Sequence[ClockTurned]) -> None:
        """Note that clocks were turned."""
        await turning.begin(self._connection, turns)

    async def has_turns(self) -> bool:
        """Say whether any turn is not done."""
        return await turning.any_open(self._connection)

    async def open_turn(self, passed_over: int) -> OpenTurn | None:
        """Take hold of a turn that is not done, passing over those that cannot go on yet."""
        return await turning.find_open(self._connection, passed_over)

    async def is_complete(self, turn: OpenTurn) -> bool:
        """Say whether all vouchers are issued that points made in a turn."""
        return await turning.is_complete(self._connection, turn)

    async def ended(self, programs: Sequence[str], until: datetime, limit: int) -> list[VoucherEnds]:
        """Return vouchers whose time is over by then."""
        return await ended(self._connection, programs, until, limit)

    async def overdue_in(self, program: str, until: datetime, limit: int, *, turned_to: datetime) -> list[TimeIsUp]:
        """Return sagas that have waited long enough by a program's own clock."""
        return await overdue_in(self._connection, program, until, limit, turned_to=turned_to)

    async def begin_waits(self, found: Sequence[TurnWaits]) -> None:
        """Note that points rest until waits have ended."""
        await waits.begin(self._connection, found)

    async def has_waits(self) -> bool:
        """Say whether points rest for any waits."""
        return await waits.any_open(self._connection)

    async def open_waits(self, passed_over: int) -> TurnWaits | None:
        """Take hold of waits for whose end points rest, passing over those that cannot go on yet."""
        return await waits.find_open(self._connection, passed_over)

    async def is_releasing(self, program: str) -> bool:
        """Say whether points are still to release anything of a program."""
        return await waits.is_releasing(self._connection, program)

    async def note_ended(self, found: TurnWaits, ended: int, *, done: bool) -> None:
        """Keep how many waits have ended; `done`: and that points are told."""
        await waits.note(self._connection, found, ended, done=done)

    async def advance(self, turn: OpenTurn, expired: int, timed_out: int, *, done: bool) -> None:
        """Keep how far a turn has come."""
        await turning.advance(self._connection, turn, expired, timed_out, done=done)

    async def write(self, decisions: Sequence[Decision], state: State) -> None:
        """Write what was decided; `CollisionError` where somebody else was given one of the codes meanwhile."""
        statements = await writing(self._connection, decisions, state, self._press.printed, self._press.new_keys)
        await write_calls(self._connection, decisions)
        issued = {fact.voucher for each in decisions for fact in each.facts if isinstance(fact, VoucherIssued)}
        await take(self._connection, [code for voucher, code in self._press.taken.items() if voucher in issued])
        await hand_out(self._connection, [code for voucher, code in self._press.handed.items() if voucher in issued])
        if self._last is None:
            await execute_together(self._connection, statements)
        else:
            self._last.statements.extend(statements)


def _pooled(state: State, needs: Needs) -> dict[RewardKey, int]:
    """Return how many codes of each pool sagas may be given that wait for their points, or ask for what is free."""
    pooled = {key for (key, _), terms in state.terms.items() if terms.of_pool}
    wanted = Counter({key: needs.pieces[key] for key in pooled if key in needs.pieces})
    for saga in state.sagas.values():
        if not awaits_points(saga) and not can_be_confirmed(saga):
            continue
        if state.terms_of(saga).of_pool:
            wanted[saga.reward_key] += saga.quantity
    return wanted
