"""What is known of a person is sealed under the member's own key, and read with it; an erased member has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from laurel.io.vault import SealBrokenError, Vault
from services.gateway.store import people

if TYPE_CHECKING:
    from collections.abc import Sequence

    from laurel.io.database import Database
    from services.gateway.settings import GatewaySettings

IDENTIFIER: Final = "identifier"
NOTE: Final = "note"
LOOK_UP: Final = "identifier look-up"
"""The name of the key by which identifiers are hashed."""


def vault_of(settings: GatewaySettings) -> Vault:
    """Return what seals by these settings."""
    before = [settings.secret_before.get_secret_value().encode()] if settings.secret_before is not None else []
    return Vault(settings.secret.get_secret_value().encode(), before, purpose=b"laurel gateway member keys")


class Sealing:
    """Seals texts of members, and opens them."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    def new_key(self, program: str, member: str) -> bytes:
        """Return a new key for a member, sealed."""
        return self._vault.new_key(program, member)

    async def key_of(self, program: str, member: str) -> bytes | None:
        """Return the member's key, made now if it had none; None where there is nobody to keep one for."""
        async with self._database.connection() as connection:
            return await people.key_of(connection, program, member, self._vault.new_key(program, member))

    def seal(self, key: bytes, program: str, member: str, what: Sequence[str], text: str) -> bytes:
        """Return a text, readable only with the member's key and only as what it is."""
        return self._vault.seal(key, (program, member), what, text)

    async def seal_notes(self, limit: int = 500) -> int:
        """Seal notes that were written in clear; tells how many there were, up to a limit."""
        async with self._database.transaction() as connection:
            rows = await people.clear_notes(connection, limit)
            for program, kind, id_, member, note in rows:
                key = await people.key_of(connection, program, member, self._vault.new_key(program, member))
                sealed = None if key is None else self.seal(key, program, member, (NOTE, id_), note)
                await people.seal_note(connection, (program, kind, id_), sealed)
        return len(rows)

    def open(
        self, key: bytes | None, program: str, member: str, what: Sequence[str], sealed: bytes | None
    ) -> str | None:
        """Return the text; None where there is none, or the key was destroyed."""
        if key is None or sealed is None:
            return None
        try:
            return self._vault.open(key, (program, member), what, sealed)
        except SealBrokenError:
            return None
