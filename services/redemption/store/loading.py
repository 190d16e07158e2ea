"""Load: lock members, their sagas and the stock they may draw from, each in one order, then read in sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from laurel.io.database import Connection
from services.redemption.domain.heard import Terms, TimeIsUp
from services.redemption.domain.state import HoldState, RewardKey, Saga, SagaKey, SagaState, State, Stock
from services.redemption.ports import Needs
from services.redemption.store.columns import columns
from services.redemption.store.printing import Press
from services.redemption.store.vouchers import read_vouchers

MemberKey = tuple[str, str]

# Locks are taken above the sort, hence in key order; the same order everywhere is what prevents deadlocks.
_KNOWN = """
    select s.program, s.member, s.redemption
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, redemption)
    join sagas s on s.program = k.program and s.member = k.member and s.redemption = k.redemption"""

# Who is there already keeps the key that is there.
_ENSURE_MEMBERS = """
    insert into members (program, member, key)
    select program, member, key from unnest($1::text[], $2::text[], $3::bytea[]) as k (program, member, key)
    order by program, member
    on conflict do nothing returning program, member"""

_LOCK_MEMBERS = """
    select m.program, m.member, m.key
    from unnest($1::text[], $2::text[]) as k (program, member)
    join members m on m.program = k.program and m.member = k.member
    order by m.program, m.member for update of m"""

_LOCK_SAGAS = """
    select s.program, s.member, s.redemption, s.state, s.hold, s.partner, s.hash, s.reward, s.reward_version,
           s.quantity, s.unit, s.points, s.version, s.zone, s.correlation, s.code, s.counted, s.waits_until,
           s.at, s.step, s.outcome_type, s.outcome
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, redemption)
    join sagas s on s.program = k.program and s.member = k.member and s.redemption = k.redemption
    order by s.program, s.member, s.redemption for update of s"""

_ENSURE_STOCK = """
    insert into stock (program, reward)
    select program, reward from unnest($1::text[], $2::text[]) as k (program, reward) order by program, reward
    on conflict do nothing"""

_LOCK_STOCK = """
    select s.program, s.reward, s.version, s.total, s.reserved, s.taken
    from unnest($1::text[], $2::text[]) as k (program, reward)
    join stock s on s.program = k.program and s.reward = k.reward
    order by s.program, s.reward for update of s"""

_TERMS = """
    select r.program, r.reward, r.version, r.document
    from unnest($1::text[], $2::text[], $3::int[]) as k (program, reward, version)
    join rewards r on r.program = k.program and r.reward = k.reward and r.version = k.version"""

_OVERDUE = """
    select program, member, redemption, waits_until from sagas
    where waits_until <= $1 order by waits_until, program, member, redemption limit $2"""

_decode_terms = msgspec.json.Decoder(Terms).decode


async def load(connection: Connection, needs: Needs, press: Press) -> State:
    """Lock and read what `needs` names. Sagas that nobody opened are absent; the press learns the members' keys.

    A saga is opened only by its own request, and spoken of by others only after that was committed: what is not
    found, unlocked, belongs to somebody else (a hold that no redemption asked for).
    """
    known = await _known(connection, needs.answered)
    opening = {key[:2] for key in needs.requested | needs.issued}
    keys = {key[:2]: press.offer_key(*key[:2]) for key in needs.issued}
    new = await _add_members(connection, opening, keys)
    press.learn_keys(await _lock_members(connection, (opening - new) | {key[:2] for key in known | needs.asked}), new)
    sagas = await _lock_sagas(connection, needs.requested | known)
    # Only sagas that wait for points may still move stock: what has ended leaves hot rewards alone.
    waiting = [saga for saga in sagas.values() if saga.state is SagaState.HOLDING]
    drawn = needs.rewards | {saga.reward_key for saga in waiting if saga.counted}
    stock = await _lock_stock(connection, drawn, needs.published)
    versions = {(key, stock[key].version) for key in needs.rewards if key in stock}
    versions |= {(saga.reward_key, saga.reward_version) for saga in waiting}
    # Who was added a moment ago has no vouchers.
    issued = {key for key in needs.issued if key[:2] not in new}
    vouchers = await read_vouchers(connection, issued | needs.asked, needs.uses)
    return State(sagas, stock, await _read_terms(connection, versions), vouchers)


async def overdue(connection: Connection, until: datetime, limit: int) -> list[TimeIsUp]:
    """Return sagas that have waited long enough, the longest first; unlocked, so deciding looks again."""
    return [
        TimeIsUp(program=program, member=member, redemption=redemption, at=waits_until)
        for program, member, redemption, waits_until in await connection.fetch(_OVERDUE, until, limit)
    ]


async def _known(connection: Connection, keys: set[SagaKey]) -> set[SagaKey]:
    if not keys:
        return set()
    return {SagaKey(*row) for row in await connection.fetch(_KNOWN, *columns(sorted(keys)))}


async def _add_members(
    connection: Connection, opening: set[MemberKey], keys: Mapping[MemberKey, bytes]
) -> set[MemberKey]:
    """Add those who are not there, some with a key; return who was added, and is locked by that."""
    if not opening:
        return set()
    rows = [(*member, keys.get(member)) for member in sorted(opening)]
    return {(program, member) for program, member in await connection.fetch(_ENSURE_MEMBERS, *columns(rows))}


async def _lock_members(connection: Connection, members: set[MemberKey]) -> dict[MemberKey, bytes | None]:
    if not members:
        return {}
    rows = await connection.fetch(_LOCK_MEMBERS, *columns(sorted(members)))
    return {(program, member): key for program, member, key in rows}


async def _lock_sagas(connection: Connection, keys: set[SagaKey]) -> dict[SagaKey, Saga]:
    if not keys:
        return {}
    rows = await connection.fetch(_LOCK_SAGAS, *columns(sorted(keys)))
    sagas = (_saga(row) for row in rows)
    return {saga.key: saga for saga in sagas}


def _saga(row: Iterable[Any]) -> Saga:
    program, member, redemption, state, hold, *rest = row
    return Saga(SagaKey(program, member, redemption), SagaState(state), HoldState(hold), *rest)


async def _lock_stock(
    connection: Connection, drawn: set[RewardKey], published: set[RewardKey]
) -> dict[RewardKey, Stock]:
    wanted = sorted(drawn | published)
    if not wanted:
        return {}
    if published:
        await connection.execute(_ENSURE_STOCK, *columns(sorted(published)))
    rows = await connection.fetch(_LOCK_STOCK, *columns(wanted))
    return {RewardKey(program, reward): Stock(RewardKey(program, reward), *counts) for program, reward, *counts in rows}


async def _read_terms(
    connection: Connection, versions: set[tuple[RewardKey, int]]
) -> dict[tuple[RewardKey, int], Terms]:
    if not versions:
        return {}
    wanted = [(*key, version) for key, version in sorted(versions)]
    rows = await connection.fetch(_TERMS, *columns(wanted))
    return {
        (RewardKey(program, reward), version): _decode_terms(document) for program, reward, version, document in rows
    }
