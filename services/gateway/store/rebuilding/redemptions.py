"""How redemptions stand, and what is offered, written again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from services.gateway.naming import REDEMPTION
from services.gateway.store.rebuilding.standing import Restored, Row, Stands, Written, at_of, columns

if TYPE_CHECKING:
    from datetime import datetime

    from laurel.io.database import Connection
    from services.gateway.recalling import RedemptionTold
    from services.gateway.told.telling import Place, RewardSeen

_AT_ONCE: Final = 2_000

# What only the gateway knows of a redemption, its request knows as well.
_ASKED: Final = """
    with asked as (
        select program, partner, id, member, subject, created_at from requests
        where program = $1 and kind = $2 and (partner, id) > ($3, $4)
        order by partner, id limit $5
    ), added as (
        insert into redemptions (program, redemption, partner, member, reward, request, state, created_at)
        select program, subject, partner, member, '', id, 'requested', created_at from asked
        where subject is not null and member is not null
        on conflict (program, redemption) do nothing
        returning redemption
    )
    select partner, id, (select count(*) from added) as added from asked order by partner desc, id desc limit 1
"""
# A redemption that is asked for once more is on its way, and what was said of it before is over.
_LOCK: Final = """
    select r.program, r.redemption, r.epoch, r.sequence, r.state, r.body, r.reward,
        r.state = 'requested' and r.body is null and exists (
            select from requests a where a.program = r.program and a.kind = 'redemption' and a.partner = r.partner
                and a.id = r.request and a.state = 'pending') as is_asked
    from unnest($1::text[], $2::text[]) as k(program, redemption)
    cross join lateral (
        select program, redemption, partner, request, epoch, sequence, state, body, reward from redemptions q
        where q.program = k.program and q.redemption = k.redemption offset 0 for update
    ) r
"""
_MEND: Final = """
    insert into redemptions (program, redemption, partner, member, reward, request, state, body, epoch, sequence,
        created_at)
    select s.program, s.redemption, q.partner, q.member, s.reward, q.request, s.state, s.body, s.epoch, s.sequence,
        q.created_at
    from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::int4[], $6::int8[], $7::text[])
        as s(program, redemption, state, body, epoch, sequence, reward)
    cross join lateral (
        select partner, member, request, created_at from redemptions p
        where p.program = s.program and p.redemption = s.redemption offset 0
    ) q
    on conflict (program, redemption) do update
    set state = excluded.state, body = excluded.body, epoch = excluded.epoch, sequence = excluded.sequence,
        reward = excluded.reward
"""


async def restore(connection: Connection, program: str, after: tuple[str, str]) -> Restored | None:
    """Make some redemptions that were asked for and are lost, behind a request; None at the end."""
    row = await connection.fetchrow(_ASKED, program, REDEMPTION, *after, _AT_ONCE)
    return None if row is None else Restored((row[0], row[1]), row[2])


async def write(connection: Connection, told: Sequence[RedemptionTold], known: Mapping[Row, Stands]) -> Written:
    """Write how redemptions stand, of those that somebody asked for here."""
    saying = {(each.seen.program, each.seen.redemption): each for each in told}
    written = Written()
    mend = []
    if not saying:
        return written
    for row in await connection.fetch(_LOCK, *columns(sorted(saying))):
        key, stands = tuple(row)[:2], tuple(row)[2:4]
        each, name = saying[key], ("redemptions", *key)
        seen = each.seen
        is_ahead = stands > at_of(seen.place)
        if row["is_asked"]:
            continue
        if is_ahead and known.get(name) != stands:
            written.ahead[name] = stands
        elif is_ahead or (row["state"], row["body"], row["reward"]) != (seen.state, seen.body, each.reward):
            mend.append((*key, seen.state, seen.body, *at_of(seen.place), each.reward))
    if mend:
        await connection.execute(_MEND, *columns(mend))
    written.mended = len(mend)
    return written


_LOCK_REWARDS: Final = """
    select reward, epoch, sequence, document from rewards where program = $1 order by reward for update
"""
_PUT_REWARD: Final = """
    insert into rewards (program, reward, document, epoch, sequence, published_at) values ($1, $2, $3, $4, $5, $6)
    on conflict (program, reward) do update
    set document = excluded.document, epoch = excluded.epoch, sequence = excluded.sequence
"""
_DROP_REWARD: Final = "delete from rewards where program = $1 and reward = $2"


async def write_rewards(
    connection: Connection,
    program: str,
    place: Place,
    told: Sequence[tuple[RewardSeen, datetime | None]],
    known: Mapping[Row, Stands],
) -> Written:
    """Write the catalogue of a program, all of it; what nobody ever published goes."""
    saying = {seen.reward: (seen, published_at) for seen, published_at in told}
    written = Written()
    for reward, epoch, sequence, document in await connection.fetch(_LOCK_REWARDS, program):
        name, stands = ("rewards", program, reward), (epoch, sequence)
        seen, _ = saying.get(reward, (None, None))
        is_ahead = stands > at_of(place)
        if is_ahead and known.get(name) != stands:
            written.ahead[name] = stands
            saying.pop(reward, None)
        elif seen is None:
            await connection.execute(_DROP_REWARD, program, reward)
            written.mended += 1
        elif not is_ahead and document == seen.document:
            del saying[reward]
    for reward, (seen, published_at) in sorted(saying.items()):
        await connection.execute(_PUT_REWARD, program, reward, seen.document, *at_of(place), published_at)
    written.mended += len(saying)
    return written
