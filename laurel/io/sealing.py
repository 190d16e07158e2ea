"""The keys of a service in its tables: what it looks things up by, and what members' keys are sealed with.

A hash by which something is looked up must never change, so the key of such hashes is drawn once and kept, sealed:
the service's secret may change, and nothing need be hashed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from laurel.io.database import Connection, Database
    from laurel.io.vault import Vault

_KEEP: Final = "insert into service_keys (name, sealed) values ($1, $2) on conflict (name) do nothing"
_FIND: Final = "select sealed from service_keys where name = $1"
_SERVICE_KEYS: Final = "select name, sealed from service_keys order by name for update"
_SET_SERVICE_KEY: Final = "update service_keys set sealed = $2 where name = $1"
# In the order in which everybody locks members.
_MEMBERS: Final = """
    select program, member, key from members
    where (program, member) > ($1, $2) order by program, member limit $3 for update
"""
_SET_MEMBER: Final = """
    update members m set key = k.key from unnest($1::text[], $2::text[], $3::bytea[]) as k (program, member, key)
    where m.program = k.program and m.member = k.member
"""
_BATCH: Final = 1_000


async def service_key(connection: Connection, vault: Vault, name: str, first: bytes) -> bytes:
    """Return a key of the service; `first` is what it is where there is none yet. Raises `SealBrokenError`."""
    await connection.execute(_KEEP, name, vault.seal_key(first, name))
    return vault.open_key(await connection.fetchval(_FIND, name), name)


async def seal_again(database: Database, vault: Vault) -> AsyncIterator[int]:
    """Seal every key by the secret that seals now, part by part; yields how many of each part were sealed anew.

    Whoever runs meanwhile must know both secrets. Done twice, the second time does nothing.
    """
    async with database.transaction() as connection:
        rows = await connection.fetch(_SERVICE_KEYS)
        old = [(name, sealed) for name, sealed in rows if not vault.is_current(sealed)]
        for name, sealed in old:
            await connection.execute(_SET_SERVICE_KEY, name, vault.seal_again(sealed, name))
    yield len(old)
    place = ("", "")
    while True:
        async with database.transaction() as connection:
            rows = await connection.fetch(_MEMBERS, *place, _BATCH)
            anew = [
                (program, member, vault.seal_again(key, program, member))
                for program, member, key in rows
                if key is not None and not vault.is_current(key)
            ]
            if anew:
                await connection.execute(_SET_MEMBER, *(list(column) for column in zip(*anew, strict=True)))
        yield len(anew)
        if len(rows) < _BATCH:
            return
        place = (rows[-1][0], rows[-1][1])
