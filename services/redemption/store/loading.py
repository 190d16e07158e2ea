"""Load: lock members, their sagas and the stock they may draw from, each in one order, then read in sets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from laurel.io.database import Connection
from services.redemption.domain.heard import ResourceTerms, Terms, TimeIsUp
from services.redemption.domain.state import ResourceKey, RewardKey, Saga, SagaKey, SagaState, State, Stock, TallyKey
from services.redemption.ports import Needs
from services.redemption.store.columns import columns
from services.redemption.store.pools import read_lots
from services.redemption.store.printing import Press
from services.redemption.store.saga_rows import COLUMNS, saga_of
from services.redemption.store.vouchers import read_vouchers, vouchers_of

MemberKey = tuple[str, str]

_UNDER_WAY = frozenset({SagaState.HOLDING, SagaState.FULFILLING})

# Keys come sorted, so rows are locked in their order; the same order everywhere is what prevents deadlocks. Where
# others may hold a row, it is locked inside a lateral query: a lock above a join with partitions that are picked at run
# time may lose a row that was waited for (seen on PostgreSQL 18), and what is lost looks as if it were not there.
# And each row is reached by its key in one: a join would be planned by what is known of a young table, which is
# nothing, and compare all of its rows with every key, ever more of them while the plan is kept.
_ENSURE_MEMBERS = """
    insert into members (program, member, key)
    select program, member, key from unnest($1::text[], $2::text[], $3::bytea[]) as k (program, member, key)
    order by program, member
    on conflict do nothing returning program, member"""

_LOCKED_MEMBERS = """
    select m.program, m.member, m.key
    from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        select program, member, key from members q where q.program = k.program and q.member = k.member offset 0
        for update
    ) m"""

# Who is there already keeps the key that is there. Neither found nor added is who was added by another transaction
# after this statement began.
_OPEN_MEMBERS = f"""
    with added as ({_ENSURE_MEMBERS})
    select program, member, key, false from ({_LOCKED_MEMBERS}) l
    union all select program, member, null, true from added"""

# Members of sagas are locked if the sagas are there, others (without one) in any case.
_LOCK_MEMBERS = """
    select m.program, m.member, m.key, k.redemption
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, redemption)
    cross join lateral (
        select k.program, k.member where k.redemption is null
        union all
        select program, member from sagas q
        where q.program = k.program and q.member = k.member and q.redemption = k.redemption offset 0
    ) s
    cross join lateral (
        select program, member, key from members q where q.program = s.program and q.member = s.member offset 0
        for update
    ) m"""

_LOCK_SAGAS = f"""
    select {COLUMNS}
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, redemption)
    cross join lateral (
        select * from sagas q
        where q.program = k.program and q.member = k.member and q.redemption = k.redemption offset 0
        for update
    ) s"""

_ENSURE_STOCK = """
    insert into stock (program, reward)
    select program, reward from unnest($1::text[], $2::text[]) as k (program, reward) order by program, reward
    on conflict do nothing"""

_LOCK_STOCK = """
    select s.program, s.reward, s.version, s.total, s.reserved, s.taken
    from unnest($1::text[], $2::text[]) as k (program, reward)
    cross join lateral (
        select * from stock q where q.program = k.program and q.reward = k.reward offset 0 for update
    ) s"""

_TERMS = """
    select r.program, r.reward, r.version, r.document
    from unnest($1::text[], $2::text[], $3::int[]) as k (program, reward, version)
    cross join lateral (
        select program, reward, version, document from rewards q
        where q.program = k.program and q.reward = k.reward and q.version = k.version offset 0
    ) r"""

# From the version that counted at that instant on: what was published since may count for the next message.
_OFFERED = """
    select r.program, r.reward, r.version, r.document
    from unnest($1::text[], $2::text[], $3::timestamptz[]) as k (program, reward, at)
    cross join lateral (
        select program, reward, version, document from rewards q
        where q.program = k.program and q.reward = k.reward and q.version >= (
            select coalesce(max(version), 0) from rewards v
            where v.program = k.program and v.reward = k.reward
              and (v.effective_from is null or v.effective_from <= k.at))
        offset 0
    ) r"""

_ENSURE_TALLIES = """
    insert into tallies (program, name)
    select program, name from unnest($1::text[], $2::text[]) as k (program, name) order by program, name
    on conflict do nothing"""

_LOCK_TALLIES = """
    select t.program, t.name, t.used
    from unnest($1::text[], $2::text[]) as k (program, name)
    cross join lateral (
        select program, name, used from tallies q where q.program = k.program and q.name = k.name offset 0 for update
    ) t"""

_RESOURCES = """
    select r.program, r.resource, r.document
    from unnest($1::text[], $2::text[]) as k (program, resource)
    cross join lateral (
        select program, resource, version, document from resources q
        where q.program = k.program and q.resource = k.resource offset 0
    ) r
    order by r.program, r.resource, r.version"""

_OVERDUE = """
    select program, member, redemption, waits_until from sagas
    where waits_until <= $1 and not manual order by waits_until, program, member, redemption limit $2"""

_OVERDUE_IN = """
    select program, member, redemption, waits_until from sagas
    where program = $1 and waits_until <= $2 and manual order by waits_until, member, redemption limit $3"""

_decode_terms = msgspec.json.Decoder(Terms).decode
_decode_resource = msgspec.json.Decoder(ResourceTerms).decode


async def load(connection: Connection, needs: Needs, press: Press) -> State:
    """Lock and read what `needs` names. Sagas that nobody opened are absent; the press learns the members' keys.

    A saga is opened only by its own request, and spoken of by others only after that was committed: what is not
    found, unlocked, belongs to somebody else (a hold that no redemption asked for).
    """
    opening = {key[:2] for key in needs.requested | needs.issued}
    keys = {key[:2]: press.offer_key(*key[:2]) for key in needs.issued}
    answered, asked = needs.answered | needs.cancelled, {key[:2] for key in needs.asked}
    members, new, known = await _open_members(connection, opening, keys, answered, asked)
    press.learn_keys(members, new)
    sagas = await _lock_sagas(connection, needs.requested | known)
    # Only sagas that are under way, or taken back, may still move stock: what has ended leaves hot rewards alone.
    waiting = [saga for saga in sagas.values() if saga.state in _UNDER_WAY or saga.key in needs.cancelled]
    drawn = needs.rewards.keys() | {saga.reward_key for saga in waiting if saga.counted}
    stock = await _lock_stock(connection, drawn, needs.published)
    versions = {(saga.reward_key, saga.reward_version) for saga in waiting}
    # Who was added a moment ago has no vouchers.
    issued = {key for key in needs.issued if key[:2] not in new}
    vouchers = await read_vouchers(connection, issued | needs.asked, needs.uses)
    for key, voucher in (await vouchers_of(connection, needs.cancelled)).items():
        vouchers.setdefault(key, voucher)
    terms = await _read_terms(connection, versions) | await _read_offered(connection, needs.rewards)
    pooled = {key for (key, _), each in terms.items() if each.of_pool} | needs.published
    await read_lots(connection, {key: each for key, each in stock.items() if key in pooled})
    return State(sagas, stock, terms, vouchers)


async def load_drawn(connection: Connection, state: State, tallies: set[TallyKey], resources: set[ResourceKey]) -> None:
    """Lock tallies in order, each made where it is not there, and read them and the resources into the state."""
    if tallies:
        await connection.execute(_ENSURE_TALLIES, *columns(sorted(tallies)))
        for program, name, used in await connection.fetch(_LOCK_TALLIES, *columns(sorted(tallies))):
            state.tallies[TallyKey(program, name)] = used
    if resources:
        for program, resource, document in await connection.fetch(_RESOURCES, *columns(sorted(resources))):
            key = ResourceKey(program, resource)
            state.resources[key] = (*state.resources.get(key, ()), _decode_resource(document))


async def overdue(connection: Connection, until: datetime, limit: int) -> list[TimeIsUp]:
    """Return sagas that have waited long enough, the longest first; unlocked, so deciding looks again."""
    return [_time_is_up(*row) for row in await connection.fetch(_OVERDUE, until, limit)]


async def overdue_in(
    connection: Connection, program: str, until: datetime, limit: int, *, turned_to: datetime
) -> list[TimeIsUp]:
    """Return the same of a program whose own clock ends waits, and has come to `until` on its way."""
    rows = await connection.fetch(_OVERDUE_IN, program, until, limit)
    return [_time_is_up(*row, turned_to=turned_to) for row in rows]


def _time_is_up(
    program: str, member: str, redemption: str, waits_until: datetime, *, turned_to: datetime | None = None
) -> TimeIsUp:
    return TimeIsUp(program=program, member=member, redemption=redemption, at=waits_until, turned_to=turned_to)


async def _open_members(
    connection: Connection,
    opening: set[MemberKey],
    keys: Mapping[MemberKey, bytes],
    answered: set[SagaKey],
    asked: set[MemberKey],
) -> tuple[dict[MemberKey, bytes | None], set[MemberKey], set[SagaKey]]:
    """Lock members, those who open something being added where they are not there, some with a key.

    Return those who were locked, with their keys; who was added, and is locked by that; and which sagas are there.
    """
    members: dict[MemberKey, bytes | None] = {}
    new: set[MemberKey] = set()
    known: set[SagaKey] = set()
    rows = [(*member, keys.get(member)) for member in sorted(opening)]
    if rows and not answered and not asked:
        for program, member, key, is_new in await connection.fetch(_OPEN_MEMBERS, *columns(rows)):
            if is_new:
                new.add((program, member))
            else:
                members[program, member] = key
    elif rows:
        # All of them are locked in one order.
        added = await connection.fetch(_ENSURE_MEMBERS, *columns(rows))
        new = {(program, member) for program, member in added}
    locking: list[tuple[str, str, str | None]] = [(*key, None) for key in opening - new - members.keys() | asked]
    locking += answered
    if locking:
        locking.sort(key=lambda each: (each[0], each[1], each[2] or ""))
        for program, member, key, redemption in await connection.fetch(_LOCK_MEMBERS, *columns(locking)):
            members[program, member] = key
            if redemption is not None:
                known.add(SagaKey(program, member, redemption))
    return members, new, known


async def _lock_sagas(connection: Connection, keys: set[SagaKey]) -> dict[SagaKey, Saga]:
    if not keys:
        return {}
    rows = await connection.fetch(_LOCK_SAGAS, *columns(sorted(keys)))
    sagas = (saga_of(row) for row in rows)
    return {saga.key: saga for saga in sagas}


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


async def _read_offered(
    connection: Connection, rewards: Mapping[RewardKey, datetime]
) -> dict[tuple[RewardKey, int], Terms]:
    if not rewards:
        return {}
    wanted = [(*key, rewards[key]) for key in sorted(rewards)]
    rows = await connection.fetch(_OFFERED, *columns(wanted))
    return {
        (RewardKey(program, reward), version): _decode_terms(document) for program, reward, version, document in rows
    }
