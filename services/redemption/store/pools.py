"""Pools of partners' codes: counted with their stock, handed out to sagas, and filled.

Whoever hands out codes of a reward, or fills its pool, holds the reward's stock row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from laurel.codes import looks_like_a_code, suffix_of_others
from laurel.io.database import CollisionError, Connection
from laurel.io.together import Statement, execute_together
from services.redemption.domain.heard import Terms
from services.redemption.domain.pools import NEVER, CodeLot
from services.redemption.domain.state import RewardKey, Stock
from services.redemption.ports import CodeGiven, CodesTaken, PoolFault
from services.redemption.store.columns import columns, of_rows
from services.redemption.store.vault import Vault

_LOTS: Final = """
    select l.program, l.reward, l.expires_at, l.codes, l.handed
    from unnest($1::text[], $2::text[]) as k (program, reward)
    join pool_lots l on l.program = k.program and l.reward = k.reward"""

# Of each lot as many as may be needed: which of them end too soon is known when each saga is decided.
_FREE: Final = """
    select l.program, l.reward, c.expires_at, c.digest, c.sealed, c.suffix
    from unnest($1::text[], $2::text[], $3::bigint[]) as k (program, reward, count)
    join pool_lots l on l.program = k.program and l.reward = k.reward and l.handed < l.codes and l.expires_at > $4
    cross join lateral (
        select expires_at, digest, sealed, suffix from pool_codes
        where program = l.program and reward = l.reward and expires_at = l.expires_at and voucher is null
        order by digest limit k.count) c
    order by l.program, l.reward, c.expires_at, c.digest"""

_HAND_OUT: Final = """
    update pool_codes c set member = k.member, voucher = k.voucher, sealed = null
    from unnest($1::text[], $2::bytea[], $3::text[], $4::text[]) as k (program, digest, member, voucher)
    where c.program = k.program and c.digest = k.digest"""

_SET_LOTS: Final = """
    insert into pool_lots (program, reward, expires_at, codes, handed)
    select * from unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::bigint[])
    on conflict (program, reward, expires_at) do update set codes = excluded.codes, handed = excluded.handed"""

_OFFERED: Final = """
    select s.program, s.reward, s.version, s.total, s.reserved, s.taken, r.document
    from stock s join rewards r on r.program = s.program and r.reward = s.reward and r.version = s.version
    where s.program = $1 and s.reward = $2 for update of s"""

# Codes that were given before `partner_codes` was there stand only in vouchers and pools.
_GIVE: Final = """
    with new as (
        insert into partner_codes (program, digest)
        select $1, k.digest from unnest($3::bytea[]) as k (digest)
        where not exists (select from vouchers v where v.program = $1 and v.digest = k.digest)
        order by k.digest
        on conflict do nothing returning digest)
    insert into pool_codes (program, digest, reward, expires_at, sealed, suffix)
    select $1, k.digest, $2, k.expires_at, k.sealed, k.suffix
    from unnest($3::bytea[], $4::timestamptz[], $5::bytea[], $6::text[]) as k (digest, expires_at, sealed, suffix)
    join new on new.digest = k.digest
    order by k.digest
    on conflict do nothing returning digest"""

_KNOWN: Final = """
    select exists (select from partner_codes where program = $1 and digest = any($2::bytea[]))
        or exists (select from vouchers where program = $1 and digest = any($2::bytea[]))
        or exists (select from pool_codes where program = $1 and digest = any($2::bytea[]))"""

_TAKE: Final = """
    insert into partner_codes (program, digest)
    select k.program, k.digest from unnest($1::text[], $2::bytea[]) as k (program, digest)
    order by k.program, k.digest
    on conflict do nothing returning digest"""

_TOTAL: Final = "update stock set total = $3 where program = $1 and reward = $2"

_decode_terms = msgspec.json.Decoder(Terms).decode


class PoolCode(NamedTuple):
    """A code that can be handed out, still sealed."""

    expires_at: datetime
    digest: bytes
    sealed: bytes
    suffix: str


async def read_lots(connection: Connection, stock: Mapping[RewardKey, Stock]) -> None:
    """Give each reward its lots, if its codes are a partner's."""
    if not stock:
        return
    for program, reward, expires_at, codes, handed in await connection.fetch(_LOTS, *columns(sorted(stock))):
        of = stock[RewardKey(program, reward)]
        of.lots = {} if of.lots is None else of.lots
        of.lots[expires_at] = CodeLot(expires_at, codes, handed)


async def free_codes(
    connection: Connection, wanted: Mapping[RewardKey, int], at: datetime
) -> dict[RewardKey, list[PoolCode]]:
    """Return codes of each reward that are good then, those that end first before all."""
    found: dict[RewardKey, list[PoolCode]] = {key: [] for key in wanted}
    if wanted:
        rows = [(*key, count) for key, count in sorted(wanted.items())]
        for program, reward, *code in await connection.fetch(_FREE, *columns(rows), at):
            found[RewardKey(program, reward)].append(PoolCode(*code))
    return found


async def hand_out(connection: Connection, handed: Collection[tuple[str, bytes, str, str]]) -> None:
    """Note whom each code was handed to, by (program, digest, member, voucher); from now on only they can read it."""
    if handed:
        await connection.execute(_HAND_OUT, *columns(sorted(handed)))


async def any_known(connection: Connection, program: str, digests: Sequence[bytes]) -> bool:
    """Say whether any of these codes is a voucher's or a pool's already."""
    return bool(await connection.fetchval(_KNOWN, program, digests))


async def take(connection: Connection, codes: Collection[tuple[str, bytes]]) -> None:
    """Take codes that partners answered, by (program, digest), of which none was known.

    Whoever was about to give one of them at the same moment is waited for: `CollisionError` where they did.
    """
    if codes and len(await connection.fetch(_TAKE, *columns(sorted(codes)))) < len(codes):
        raise CollisionError


def lots_set(stock: Iterable[Stock]) -> list[Statement]:
    """Set the lots of pools that were touched."""
    rows = [
        (*each.key, lot.expires_at, lot.codes, lot.handed)
        for each in stock
        for lot in (each.lots or {}).values()
    ]  # fmt: skip
    return of_rows(_SET_LOTS, rows)


class PostgresPools:
    """Fills pools."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def fill(self, connection: Connection, key: RewardKey, given: Sequence[CodeGiven]) -> CodesTaken | None:
        """Take codes into a pool, each once; None where there is no such pool. What is there is left as it is."""
        row = await connection.fetchrow(_OFFERED, *key)
        terms = _decode_terms(row["document"]).vouchers if row is not None else None
        if row is None or terms is None or not terms.of_pool:
            return None
        stock = Stock(key, row["version"], row["total"], row["reserved"], row["taken"], {})
        await read_lots(connection, {key: stock})
        fresh: dict[bytes, CodeGiven] = {}
        faults: list[PoolFault] = []
        for each in given:
            digest = self._vault.foreign_digest(key.program, each.code)
            if terms.used_here and looks_like_a_code(each.code):
                # Whoever shows it would be told that it was mistyped.
                faults.append(PoolFault(each.line, "looks_like_ours", "It is used here, so it may not look like ours"))
            elif digest in fresh:
                faults.append(_duplicate(each))
            else:
                fresh[digest] = each
        added = await self._add(connection, key, fresh)
        faults += [_duplicate(each) for digest, each in fresh.items() if digest not in added]
        for expires_at, codes in Counter(fresh[digest].expires_at or NEVER for digest in added).items():
            stock.give(expires_at, codes)
        if added:
            await execute_together(connection, [*lots_set([stock]), Statement(_TOTAL, (*key, stock.total))])
        return CodesTaken(len(added), tuple(sorted(faults)))

    async def _add(self, connection: Connection, key: RewardKey, fresh: Mapping[bytes, CodeGiven]) -> set[bytes]:
        if not fresh:
            return set()
        rows = [
            (
                digest,
                each.expires_at or NEVER,
                self._vault.seal_pool_code(key, digest, each.code),
                suffix_of_others(each.code),
            )
            for digest, each in fresh.items()
        ]
        return {digest for (digest,) in await connection.fetch(_GIVE, *key, *columns(rows))}


def _duplicate(given: CodeGiven) -> PoolFault:
    return PoolFault(given.line, "duplicate", "The code is there already")
