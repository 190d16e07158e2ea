"""How redemptions stand, and what is offered, written again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from services.gateway.naming import REDEMPTION
from services.gateway.store.rebuilding.standing import NOWHERE, Restored, Row, Stands, Written, at_of, columns, fits

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


async def restore(connection: Connection, program: str, after: tuple[str, str]) -> Restored | None:
    """Make some redemptions that were asked for and are lost, behind a request; None at the end."""
    row = await connection.fetchrow(_ASKED, program, REDEMPTION, *after, _AT_ONCE)
    return None if row is None else Restored((row[0], row[1]), row[2])


# A redemption that is asked for once more is on its way, and what was said of it before is over.
_IN_FLIGHT: Final = """
    select r.redemption from unnest($1::text[], $2::text[]) as k(program, redemption)
    cross join lateral (
        select program, redemption, partner, request, state, body from redemptions q
        where q.program = k.program and q.redemption = k.redemption offset 0 for update
    ) r
    join requests q on q.program = r.program and q.kind = 'redemption' and q.partner = r.partner and q.id = r.request
    where r.state = 'requested' and r.body is null and q.state = 'pending'
"""
_REDEMPTIONS_TOLD: Final = """
    unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::int4[], $6::int8[], $7::text[], $8::int8[], $9::int8[])
        as s(program, redemption, state, body, epoch, sequence, reward, k1, k2)"""
_REDEMPTIONS: Final = f"""
    update redemptions r set state = s.state, body = s.body, epoch = s.epoch, sequence = s.sequence, reward = s.reward
    from {_REDEMPTIONS_TOLD}
    where r.program = s.program and r.redemption = s.redemption and {fits("r")}
        and ((r.state, r.body, r.reward) is distinct from (s.state, s.body, s.reward)
            or (r.epoch, r.sequence) > (s.epoch, s.sequence))
    returning r.redemption
"""
_REDEMPTIONS_AHEAD: Final = f"""
    select r.program, r.redemption, r.epoch, r.sequence from {_REDEMPTIONS_TOLD}
    join redemptions r on r.program = s.program and r.redemption = s.redemption
    where not {fits("r")}
"""


async def write(connection: Connection, told: Sequence[RedemptionTold], known: Mapping[Row, Stands]) -> Written:
    """Write how redemptions stand."""
    names = sorted((each.seen.program, each.seen.redemption) for each in told)
    if not names:
        return Written()
    moving = {row[0] for row in await connection.fetch(_IN_FLIGHT, *columns(names))}
    rows = sorted(
        (each.seen.program, each.seen.redemption, each.seen.state, each.seen.body, *at_of(each.seen.place), each.reward,
         *known.get(("redemptions", each.seen.program, each.seen.redemption), NOWHERE)[:2])
        for each in told if each.seen.redemption not in moving
    )  # fmt: skip
    if not rows:
        return Written()
    written = Written(len(await connection.fetch(_REDEMPTIONS, *columns(rows))))
    for row in await connection.fetch(_REDEMPTIONS_AHEAD, *columns(rows)):
        written.ahead["redemptions", row[0], row[1]] = tuple(row)[2:]
    return written


_REWARDS_TOLD: Final = """
    unnest($1::text[], $2::text[], $3::bytea[], $4::int4[], $5::int8[], $6::timestamptz[], $7::int8[], $8::int8[])
        as s(program, reward, document, epoch, sequence, published_at, k1, k2)"""
_REWARDS: Final = f"""
    update rewards w set document = s.document, epoch = s.epoch, sequence = s.sequence
    from {_REWARDS_TOLD}
    where w.program = s.program and w.reward = s.reward and {fits("w")}
        and (w.document is distinct from s.document or (w.epoch, w.sequence) > (s.epoch, s.sequence))
    returning w.reward
"""
_REWARDS_LOST: Final = f"""
    insert into rewards (program, reward, document, epoch, sequence, published_at)
    select program, reward, document, epoch, sequence, published_at from {_REWARDS_TOLD}
    on conflict (program, reward) do nothing
    returning reward
"""
_REWARDS_THERE: Final = "select reward, epoch, sequence from rewards where program = $1"
_REWARD_GONE: Final = """
    delete from rewards where program = $1 and reward = $2 and (epoch, sequence) = ($3, $4)
"""


async def write_rewards(
    connection: Connection,
    program: str,
    place: Place,
    told: Sequence[tuple[RewardSeen, datetime | None]],
    known: Mapping[Row, Stands],
) -> Written:
    """Write the catalogue of a program, all of it; what nobody ever published goes."""
    rows = sorted(
        (program, each.reward, each.document, *at_of(each.place), published_at,
         *known.get(("rewards", program, each.reward), NOWHERE)[:2])
        for each, published_at in told
    )  # fmt: skip
    written = Written()
    if rows:
        written.mended += len(await connection.fetch(_REWARDS, *columns(rows)))
        written.mended += len(await connection.fetch(_REWARDS_LOST, *columns(rows)))
    names = {each.reward for each, _ in told}
    for reward, *stands in await connection.fetch(_REWARDS_THERE, program):
        name = ("rewards", program, reward)
        if tuple(stands) > at_of(place) and known.get(name) != tuple(stands):
            written.ahead[name] = tuple(stands)
        elif reward not in names:
            written.mended += 1
            await connection.execute(_REWARD_GONE, program, reward, *stands)
    return written
