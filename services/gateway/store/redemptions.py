"""Redemptions and rewards as this service shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from laurel.io.database import Connection


@dataclass(frozen=True, slots=True)
class RedemptionRow:
    """A redemption as it stands; `body` is what a GET shows once an event has told of it."""

    program: str
    redemption: str
    partner: str
    member: str
    reward: str
    request: str
    state: str
    body: bytes | None


_FIND = """
    select program, redemption, partner, member, reward, request, state, body from redemptions
    where program = $1 and redemption = $2
"""
# An id that a refusal left free may be asked again, by the same request or by another one of the partner's, whose it is
# from then on. Of two at once the second one waits, and finds it asked already.
_ADD = """
    insert into redemptions as r (program, redemption, partner, member, reward, request, state, created_at)
    select program, redemption, partner, member, reward, request, 'requested', $7
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
        as n(program, redemption, partner, member, reward, request)
    on conflict (program, redemption) do update
    set state = 'requested', body = null, member = excluded.member, reward = excluded.reward, request = excluded.request
    where r.partner = excluded.partner and (r.request = excluded.request or (r.state = 'refused' and exists (
        select from requests q where q.program = r.program and q.kind = 'redemption' and q.partner = r.partner
            and q.id = r.request and q.state = 'freed')))
    returning program, redemption
"""
_STATES = "select redemption, state from redemptions where program = $1 and redemption = any($2::text[])"
_REWARD = "select document from rewards where program = $1 and reward = $2"
_REWARDS = """
    select reward, document from rewards where program = $1 and reward > $2 order by program, reward limit $3
"""


async def find(connection: Connection, program: str, redemption: str) -> RedemptionRow | None:
    row = await connection.fetchrow(_FIND, program, redemption)
    return None if row is None else RedemptionRow(*row)


async def states(connection: Connection, program: str, names: Iterable[str]) -> dict[str, str]:
    """Return how redemptions stand, as reads show it."""
    rows = await connection.fetch(_STATES, program, sorted(names))
    return {str(row[0]): str(row[1]) for row in rows}


async def add(
    connection: Connection, new: Sequence[tuple[str, str, str, str, str, str]], at: datetime
) -> set[tuple[str, str]]:
    """Record redemptions as (program, redemption, partner, member, reward, request); return those that are ours."""
    if not new:
        return set()
    rows = await connection.fetch(_ADD, *(list(column) for column in zip(*sorted(new), strict=True)), at)
    return {(row[0], row[1]) for row in rows}


async def rewards(connection: Connection, program: str, after: str, limit: int) -> list[tuple[str, bytes]]:
    """Return a page of the catalogue."""
    return [(row[0], row[1]) for row in await connection.fetch(_REWARDS, program, after, limit)]


async def reward(connection: Connection, program: str, reward: str) -> bytes | None:
    """Return the document of a reward as it is offered."""
    document: bytes | None = await connection.fetchval(_REWARD, program, reward)
    return document
