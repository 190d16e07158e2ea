"""Request rows: what was asked under which id, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from laurel.io.together import Statement, With
from services.gateway.naming import Correlation, RequestKey
from services.gateway.store.programs import ProgramHead

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from laurel.io.database import Connection

PENDING: Final = "pending"
POSTED: Final = "posted"
REFUSED: Final = "refused"
FREED: Final = "freed"
"""Refused without being kept: it is shown, but the id is free and the next request under it is judged again."""


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request as it stands."""

    key: RequestKey
    attempt: int
    hash: str
    state: str
    member: str | None
    subject: str | None
    code: str | None
    outcome: bytes | None
    delayed: bool

    @property
    def correlation(self) -> Correlation:
        return Correlation(self.key, self.attempt)

    @property
    def is_pending(self) -> bool:
        return self.state == PENDING


class Accepted(NamedTuple):
    """Which attempt a recorded request is, and how its program stood at that moment."""

    attempt: int
    head: ProgramHead


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A request to be recorded. `subject` is what it is about where that is not its id, such as a redemption."""

    key: RequestKey
    hash: str
    member: str | None
    subject: str | None = None
    batch: str | None = None
    line: int | None = None
    outcome: bytes | None = None
    """Set where nobody needs to be asked: the request is posted as it is recorded."""
    body: bytes | None = None
    code: str | None = None
    """Set where it is refused as it is recorded; `outcome` then says so."""

    @property
    def state(self) -> str:
        if self.outcome is None:
            return PENDING
        return POSTED if self.code is None else REFUSED


# Rows are taken in the order of their key, so two sets that share ids cannot wait for each other in a circle.
# While its clock is turned a program takes no request but the one that turns it.
# A reward or a resource may be published again under its id; everything else is asked once, unless the id was freed.
_INSERT = """
    with recorded as (
    insert into requests as r (program, kind, partner, id, attempt, hash, state, member, subject, batch, line,
        outcome, body, created_at, code)
    select program, kind, partner, id, 1, hash, state, member, subject, batch, line, outcome, body, $12, code
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
        $9::int8[], $10::bytea[], $11::bytea[], $13::text[], $14::text[])
        as asked(program, kind, partner, id, hash, member, subject, batch, line, outcome, body, state, code)
    where kind = 'clock'
        or (select h.turning_to from programs h where h.program = asked.program limit 1) is null
    on conflict (program, kind, partner, id) do update
    set attempt = r.attempt + 1, hash = excluded.hash, state = excluded.state, member = excluded.member,
        subject = excluded.subject, batch = excluded.batch, line = excluded.line, created_at = excluded.created_at,
        code = excluded.code, outcome = excluded.outcome, body = excluded.body, delayed = false, answered_at = null
    where r.state = 'freed' or (r.kind in ('reward', 'resource') and r.hash <> excluded.hash)
    returning program, kind, partner, id, attempt
    )
    select n.program, n.kind, n.partner, n.id, n.attempt, p.version, p.clock, p.as_of, p.partners
    from recorded n cross join lateral (
        select h.version, h.clock, h.as_of, h.partners from programs h where h.program = n.program limit 1
    ) p
"""


# Only what is new, and only while the program stands as the caller believes: then nothing has to be read before it is
# said. A redemption whose id is somebody's is a unique violation, and with it nothing is recorded.
_AS_KNOWN = (
    "given",
    """
    insert into requests (program, kind, partner, id, attempt, hash, state, member, subject, batch, line, outcome, body,
        created_at, code)
    select $1::text, $2::text, $3::text, $4::text, 1, $5::text, $6::text, $7::text, $8::text, $9::text, $10::int8,
        $11::bytea, $12::bytea, $13::timestamptz, $14::text
    where exists (
        select from programs h
        where h.program = $1::text and h.turning_to is null and h.version = $15::int4 and h.clock = $16::text
          and h.as_of is not distinct from $17::timestamptz and h.partners = $18::int4)
    on conflict (program, kind, partner, id) do nothing
    returning program""",
)
_RECORDED_AS_KNOWN = With((_AS_KNOWN,), "select from given")
_REDEMPTION_AS_KNOWN = With(
    (_AS_KNOWN,),
    """
    insert into redemptions (program, redemption, partner, member, reward, request, state, created_at)
    select program, $19::text, $20::text, $21::text, $22::text, $23::text, 'requested', $13::timestamptz from given
    """,
)


def recording_as_known(
    asked: NewRequest, at: datetime, head: ProgramHead, redemption: Sequence[str] | None
) -> Statement:
    """Return what records a request, and its redemption, if it is new and its program stands like this.

    `given` is what it returns then.
    """
    parameters = (
        *asked.key, asked.hash, asked.state, asked.member, asked.subject, asked.batch, asked.line, asked.outcome,
        asked.body, at, asked.code, head.version, head.clock, head.as_of, head.partners,
    )  # fmt: skip
    if redemption is None:
        return Statement(_RECORDED_AS_KNOWN, parameters)
    return Statement(_REDEMPTION_AS_KNOWN, (*parameters, *redemption[1:]))


async def insert(connection: Connection, asked: Sequence[NewRequest], at: datetime) -> dict[RequestKey, Accepted]:
    """Record what is new, and answer how each that was recorded was accepted; keys must differ.

    How a program stands is read by the same statement, so a request never carries an older version than the
    newest that was published when it was recorded.
    """
    ordered = sorted(asked, key=lambda request: request.key)
    rows = await connection.fetch(
        _INSERT,
        [request.key.program for request in ordered],
        [request.key.kind for request in ordered],
        [request.key.partner for request in ordered],
        [request.key.id for request in ordered],
        [request.hash for request in ordered],
        [request.member for request in ordered],
        [request.subject for request in ordered],
        [request.batch for request in ordered],
        [request.line for request in ordered],
        [request.outcome for request in ordered],
        [request.body for request in ordered],
        at,
        [request.state for request in ordered],
        [request.code for request in ordered],
    )
    return {
        RequestKey(program, kind, partner, id_): Accepted(
            attempt, ProgramHead(program, version, clock, as_of, partners=partners)
        )
        for program, kind, partner, id_, attempt, version, clock, as_of, partners in rows
    }


_FIND = """
    select r.*
    from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as k(program, kind, partner, id)
    cross join lateral (
        select program, kind, partner, id, attempt, hash, state, member, subject, code, outcome, delayed
        from requests q where q.program = k.program and q.kind = k.kind and q.partner = k.partner and q.id = k.id
        offset 0
    ) r
"""


async def find_all(connection: Connection, keys: Iterable[RequestKey]) -> dict[RequestKey, RequestRow]:
    """Read the rows of these keys, as far as there are any."""
    wanted = list(keys)
    if not wanted:
        return {}
    rows = await connection.fetch(_FIND, *(list(column) for column in zip(*wanted, strict=True)))
    found = (RequestRow(RequestKey(*row[:4]), *row[4:]) for row in (tuple(row) for row in rows))
    return {row.key: row for row in found}


async def find(connection: Connection, key: RequestKey) -> RequestRow | None:
    """Read one request."""
    return (await find_all(connection, [key])).get(key)


_UNCLAIMED = """
    select program, kind, partner, id, attempt, hash, state, member, subject, code, outcome, delayed, body
    from requests where program = $1 and kind = $2 and partner = $3 and id = $4
"""


async def find_unclaimed(connection: Connection, key: RequestKey) -> tuple[RequestRow, bytes | None] | None:
    """Read one request with what was kept of it until somebody claims it."""
    row = await connection.fetchrow(_UNCLAIMED, *key)
    return None if row is None else (RequestRow(RequestKey(*row[:4]), *row[4:12]), row[12])


_GIVE_UP = """
    update requests set body = null
    where program = $1 and kind = $2 and partner = $3 and id = $4 and member is null
"""


async def give_up_claims(connection: Connection, key: RequestKey) -> None:
    """Let nobody claim what has no member yet: something of it came back."""
    await connection.execute(_GIVE_UP, *key)


_DROP = "delete from requests where program = $1 and kind = $2 and partner = $3 and id = $4"


async def drop(connection: Connection, key: RequestKey) -> None:
    """Take back a request that was recorded in this same transaction."""
    await connection.execute(_DROP, *key)
