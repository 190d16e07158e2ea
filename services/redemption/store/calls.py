"""Partners that are to be asked, in a table: taken by one process at a time, and asked again if that one dies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from laurel.io.database import Connection
from services.redemption.domain import facts as f
from services.redemption.domain.calling import LEASE_SECONDS, Call, Question, place_of
from services.redemption.domain.heard import Fulfilment, Terms
from services.redemption.domain.state import SagaKey
from services.redemption.ports import Decision
from services.redemption.store.columns import columns

_ADD: Final = """
    insert into calls (program, member, redemption, place, due_at)
    select *, now() from unnest($1::text[], $2::text[], $3::text[], $4::text[]) on conflict do nothing"""

# Attempts go on where those for the fulfilment ended, also where one is under way: each has an answer of its own.
_TELL: Final = """
    insert into calls (program, member, redemption, place, by, due_at, attempts)
    select k.program, k.member, k.redemption, k.place, k.by, now(),
           greatest(k.attempts, (select max(a.attempt) from partner_answers a where a.program = k.program
                                 and a.member = k.member and a.redemption = k.redemption))
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[])
        as k (program, member, redemption, place, by, attempts)
    on conflict do nothing"""

_DROP: Final = """
    delete from calls c using unnest($1::text[], $2::text[], $3::text[]) as k (program, member, redemption)
    where c.program = k.program and c.member = k.member and c.redemption = k.redemption
    returning c.program, c.member, c.redemption, c.attempts"""

# Places are found one by one, however many calls lie at each, and of each no more are taken than it may have; the
# first of every place come before the second of any. Who is asked is what the newest terms say, since an address may
# have moved; without one, what was promised.
_DUE: Final = """
    with recursive places (place) as (
        (select place from calls order by place limit 1)
        union all
        select (select c.place from calls c where c.place > p.place order by c.place limit 1)
        from places p where p.place is not null),
    due as (
        select c.*, row_number() over (partition by c.place order by c.due_at) as turn
        from places p
        left join unnest($3::text[], $4::integer[]) as a (place, most) on a.place = p.place
        cross join lateral (
            select program, member, redemption, attempts, deadline, place, by, due_at from calls
            where place = p.place and due_at <= $1 order by due_at limit coalesce(a.most, $5)
            for update skip locked) c
        where p.place is not null)
    select c.program, c.member, c.redemption, c.attempts, c.deadline, c.place, c.by, s.reward, s.quantity, s.at,
           s.delayed, a.attempt, a.verdict, newest.document, promised.document
    from due c
    join sagas s on s.program = c.program and s.member = c.member and s.redemption = c.redemption
    join rewards promised on promised.program = s.program and promised.reward = s.reward
      and promised.version = s.reward_version
    join stock t on t.program = s.program and t.reward = s.reward
    join rewards newest on newest.program = s.program and newest.reward = s.reward and newest.version = t.version
    left join lateral (
        select attempt, verdict from partner_answers
        where program = c.program and member = c.member and redemption = c.redemption
        order by attempt desc limit 1) a on true
    order by c.turn, c.due_at limit $2"""

_TAKE: Final = """
    update calls c set attempts = c.attempts + 1, due_at = k.due_at, deadline = k.deadline, place = k.place
    from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[])
        as k (program, member, redemption, due_at, deadline, place)
    where c.program = k.program and c.member = k.member and c.redemption = k.redemption"""

_AGAIN: Final = """
    update calls set due_at = $5 where program = $1 and member = $2 and redemption = $3 and attempts = $4"""

_KEEP: Final = """
    insert into partner_answers (program, member, redemption, attempt, at, asked, status, verdict, detail, digest)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing"""

_ANY: Final = "select exists (select from calls)"

_OVERDUE: Final = "select count(*) from calls where deadline < $1"

_decode = msgspec.json.Decoder(Terms).decode


async def take_due(
    connection: Connection, now: datetime, limit: int, allowed: Mapping[str, int], each: int
) -> list[Call]:
    """Take calls that are due; nobody else does until this process must have finished with them.

    Of a place that is named in `allowed` no more than that are taken, of any other `each`.
    """
    rows = await connection.fetch(_DUE, now, limit, list(allowed), list(allowed.values()), each)
    calls = [_call(tuple(row), now) for row in rows]
    if calls:
        ends = [now + timedelta(seconds=call.terms.timeout_seconds + LEASE_SECONDS) for call in calls]
        taken = [(*call.key, end, call.deadline, call.place) for call, end in zip(calls, ends, strict=True)]
        await connection.execute(_TAKE, *columns(taken))
    return calls


async def keep_answer(
    connection: Connection, call: Call, at: datetime, status: int, verdict: str, detail: str, digest: bytes
) -> None:
    """Keep what a partner answered, for whoever asks what happened; bodies are not kept, they may hold codes."""
    await connection.execute(
        _KEEP, *call.key, call.attempt, at, str(call.question), status, verdict, detail[:500], digest
    )


async def ask_again(connection: Connection, call: Call, at: datetime) -> None:
    """Have it asked again then, unless somebody else has taken it over."""
    await connection.execute(_AGAIN, *call.key, call.attempt, at)


async def drop_call(connection: Connection, call: Call) -> None:
    """Have it asked no more."""
    await connection.execute(_DROP, *columns([call.key]))


async def any_call(connection: Connection) -> bool:
    """Say whether anybody is to be asked, now or later."""
    return bool(await connection.fetchval(_ANY))


async def overdue_calls(connection: Connection, now: datetime) -> int:
    """Return how many partners have been silent for longer than they may be."""
    return int(await connection.fetchval(_OVERDUE, now))


async def write_calls(connection: Connection, decisions: Sequence[Decision]) -> None:
    """Add the calls that sagas have begun, drop those that are done, and have partners told what is taken back."""
    begun: dict[SagaKey, str] = {}
    telling: dict[SagaKey, tuple[str, str]] = {}
    done: set[SagaKey] = set()
    for decision in decisions:
        for fact in decision.facts if isinstance(decision.key, SagaKey) else ():
            assert isinstance(decision.key, SagaKey)
            if isinstance(fact, f.PartnerAsked):
                begun[decision.key] = fact.place
            elif isinstance(fact, f.PartnerDone):
                done.add(decision.key)
            elif isinstance(fact, f.PartnerToBeTold):
                telling[decision.key] = (fact.place, fact.by)
    added = [(*key, place) for key, place in sorted(begun.items()) if key not in done]
    if added:
        await connection.execute(_ADD, *columns(added))
    dropped = await connection.fetch(_DROP, *columns(sorted(done))) if done else []
    attempts = {SagaKey(*row[:3]): row[3] for row in dropped}
    if telling:
        told = [(*key, *each, attempts.get(key, 0)) for key, each in sorted(telling.items())]
        await connection.execute(_TELL, *columns(told))


def _call(row: Sequence[Any], now: datetime) -> Call:
    program, member, redemption, attempts, deadline, _, by, reward, quantity, at, delayed, *rest = row
    answered, verdict, newest, promised = rest
    terms: Fulfilment | None = _decode(newest).fulfilment or _decode(promised).fulfilment
    assert terms is not None  # only such sagas have calls
    known = verdict if answered == attempts else None
    return Call(
        SagaKey(program, member, redemption),
        attempt=attempts + 1,
        question=Question.CANCELLED if by else Question.after(attempts, known),
        terms=terms,
        reward=reward,
        quantity=quantity,
        gives_codes=_decode(promised).vouchers is not None,
        saga_at=at,
        deadline=deadline or now + timedelta(seconds=terms.deadline_seconds),
        delayed=delayed,
        place=place_of(terms.url),
        by=by,
    )
