"""The road's store on Postgres: one for each transaction."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from laurel.io.database import Connection
from services.redemption.domain.codes import CHANCES, code_of, suffix_of
from services.redemption.domain.fulfilling import voucher_id
from services.redemption.domain.moment import Blank
from services.redemption.domain.state import SagaKey, State
from services.redemption.ports import Decision, Needs
from services.redemption.store.loading import MemberKey, load
from services.redemption.store.vault import Vault
from services.redemption.store.writing import Secret, keep_member_keys, write


class PostgresStore:
    """Loads and writes in sets, inside the caller's transaction; codes live here from print to write only."""

    def __init__(self, connection: Connection, vault: Vault) -> None:
        self._connection = connection
        self._vault = vault
        self._member_keys: dict[MemberKey, bytes | None] = {}
        self._new_keys: dict[MemberKey, bytes] = {}
        self._secrets: dict[str, Secret] = {}

    async def load(self, needs: Needs) -> State:
        """Lock and read what the needs name."""
        state, self._member_keys = await load(self._connection, needs)
        return state

    def print_vouchers(self, key: SagaKey, count: int) -> tuple[Blank, ...]:
        """Make codes by the system's own chance, and keep of each only its hash and its sealed form."""
        member_key = self._member_key(key)
        return tuple(self._print(member_key, key, number) for number in range(1, count + 1))

    async def write(self, decisions: Sequence[Decision], state: State) -> None:
        """Write what was decided."""
        await keep_member_keys(self._connection, self._new_keys)
        await write(self._connection, decisions, state, self._secrets)

    def _print(self, member_key: bytes, key: SagaKey, number: int) -> Blank:
        program, member = key.program, key.member
        voucher, code = voucher_id(key, number), code_of(secrets.randbelow(CHANCES))
        sealed = self._vault.seal(member_key, program, member, voucher, code)
        self._secrets[voucher] = Secret(self._vault.digest(program, code), sealed)
        return Blank(voucher, suffix_of(code))

    def _member_key(self, key: SagaKey) -> bytes:
        member = (key.program, key.member)
        member_key = self._member_keys.get(member)
        if member_key is None:
            member_key = self._vault.new_member_key(*member)
            self._member_keys[member] = self._new_keys[member] = member_key
        return member_key
