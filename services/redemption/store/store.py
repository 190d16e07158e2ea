"""The road's store on Postgres: one for each transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from laurel.io.database import Connection
from services.redemption.domain.fulfilling import voucher_id
from services.redemption.domain.heard import ClockTurned, VoucherEnds
from services.redemption.domain.moment import Blank
from services.redemption.domain.state import SagaKey, State
from services.redemption.domain.vouchers import VoucherKey
from services.redemption.ports import Decision, Needs, OpenTurn
from services.redemption.store import turning
from services.redemption.store.loading import MemberKey, load
from services.redemption.store.printing import Press
from services.redemption.store.vault import Vault
from services.redemption.store.vouchers import ended
from services.redemption.store.writing import forget_members, keep_member_keys, write


class PostgresStore:
    """Loads and writes in sets, inside the caller's transaction; codes live here from print to write only."""

    def __init__(self, connection: Connection, vault: Vault) -> None:
        self._connection = connection
        self._vault = vault
        self._press = Press(vault)

    async def load(self, needs: Needs) -> State:
        """Lock and read what the needs name."""
        self._press = Press(self._vault)
        return await load(self._connection, needs, self._press)

    def print_vouchers(self, key: SagaKey, count: int) -> tuple[Blank, ...]:
        """Make codes, of which only hash and sealed form are kept."""
        program, member, _ = key
        return tuple(self._press.print(program, member, voucher_id(key, number)) for number in range(1, count + 1))

    def print_voucher(self, key: VoucherKey) -> Blank:
        """Make the code of a voucher that points became."""
        return self._press.print(*key)

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

    async def advance(self, turn: OpenTurn, expired: int, *, done: bool) -> None:
        """Keep how far a turn has come."""
        await turning.advance(self._connection, turn, expired, done=done)

    async def write(self, decisions: Sequence[Decision], state: State) -> None:
        """Write what was decided."""
        await keep_member_keys(self._connection, self._press.new_keys)
        await write(self._connection, decisions, state, self._press.printed)
