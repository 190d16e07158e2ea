"""Proofs that what the gateway shows is what the owners hold, read with the auditor's eyes over all schemas.

To be asked when every event has arrived. Comparisons run in the database, in sets; only what differs is read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

FAULTS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold: which proof, where, and what was found."""

    proof: str
    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Checked:
    """How much was looked at."""

    count: int
    what: str


_PROOFS: Final = {
    "every wallet is a member here, with its version": """
        select w.program || '/' || w.member,
               'wallet at version ' || w.version || ', shown ' || coalesce(m.version::text, 'not at all')
               || ' as ' || coalesce(m.status, 'nobody')
        from points.wallets w left join gateway.members m using (program, member)
        where w.enrolled_at is not null
          and (m.member is null or m.version <> w.version or m.status <> w.status)""",
    "nobody is shown as enrolled who has no wallet": """
        select m.program || '/' || m.member, 'shown as ' || m.status
        from gateway.members m left join points.wallets w using (program, member)
        where m.status <> 'pending' and (w.member is null or w.enrolled_at is null)""",
    "what was changed of a member is shown as it stands": """
        select d.program || '/' || d.member, 'shown ' || convert_from(d.body, 'UTF8')
        from gateway.member_details d left join points.wallets w using (program, member)
        where d.detail = 'profile'
          and (w.member is null
            or convert_from(d.body, 'UTF8')::jsonb ->> 'person' is distinct from w.person
            or convert_from(d.body, 'UTF8')::jsonb -> 'attributes'
                 is distinct from coalesce(convert_from(w.attributes, 'UTF8'), '{}')::jsonb)""",
    "of who was erased nobody keeps who it was": """
        select m.program || '/' || m.member, f.what
        from gateway.members m
        cross join lateral (
          select 'the gateway has its key, person, attributes or household' as what
          where m.key is not null or m.person is not null or m.referred_by is not null or m.household is not null
            or m.attributes <> '{}'
          union all
          select 'its profile is shown' from gateway.member_details d
          where d.program = m.program and d.member = m.member and d.detail = 'profile'
            and convert_from(d.body, 'UTF8')::jsonb <> '{"person": null, "attributes": {}}'
          union all
          select 'it has an identifier' from gateway.identifiers i
          where i.program = m.program and i.member = m.member
          union all
          select 'there is a note about it' from gateway.operations o
          where o.program = m.program and o.member = m.member and (o.note is not null or o.sealed_note is not null)
          union all
          select 'points knows its person or attributes' from points.wallets w
          where w.program = m.program and w.member = m.member
            and (w.person is not null or w.referred_by is not null or w.attributes is not null)
          union all
          select 'redemption has not forgotten it' where not exists (
            select from redemption.members r where r.program = m.program and r.member = m.member
              and r.key is null and r.erased_at is not null)
        ) f
        where m.status = 'erased'""",
    "what nobody's identifier is, is blocked and unreadable": """
        select i.program || ' ' || i.scheme, 'belongs to nobody, and is not blocked or can be read'
        from gateway.identifiers i where i.member = '' and (i.blocked_at is null or i.sealed is not null)""",
    "counters shown are what caps have counted": """
        select coalesce(c.program, s.program) || '/' || coalesce(c.member, s.member) || ' '
                 || coalesce(c.rule, s.rule) || ' ' || coalesce(c.unit, s.unit),
               'counted ' || coalesce(c.counted, 0) || ', shown ' || coalesce(s.granted, 0)
        from (select program, member, split_part(counter, '/', 2) as rule, unit, sum(counted) as counted
              from points.counters where counter like 'cap/%' and unit <> ''
              group by program, member, split_part(counter, '/', 2), unit) c
        full join (
          select program, member, convert_from(body, 'UTF8')::json ->> 'rule' as rule,
                 convert_from(body, 'UTF8')::json ->> 'unit' as unit,
                 sum((convert_from(body, 'UTF8')::json ->> 'granted')::bigint) as granted
          from gateway.member_details where detail like 'counter/%'
          group by program, member, convert_from(body, 'UTF8')::json ->> 'rule',
                 convert_from(body, 'UTF8')::json ->> 'unit') s using (program, member, rule, unit)
        where coalesce(c.counted, 0) <> coalesce(s.granted, 0)""",
    "segments shown are those that members belong to": """
        select coalesce(p.program, s.program) || '/' || coalesce(p.member, s.member),
               'belongs to ' || coalesce(p.names::text, '{}') || ', shown ' || coalesce(s.names::text, '{}')
        from (select program, member, names from points.segments where names <> '{}') p
        full join (
          select program, member, array(
                   select one ->> 'name' from json_array_elements(convert_from(body, 'UTF8')::json) as j(one)
                   order by (one ->> 'name') collate "C") as names
          from gateway.member_details where detail = 'segments' and convert_from(body, 'UTF8') <> '[]'
        ) s using (program, member)
        where p.names is distinct from s.names""",
    "balances shown are the balances held": """
        select coalesce(b.program, s.program) || '/' || coalesce(b.member, s.member) || ' '
                 || coalesce(b.unit, s.unit),
               'held ' || coalesce(b.numbers, '{}')::text || ', shown ' || coalesce(s.numbers, '{}')::text
        from (select program, member, unit, array[available, pending, held, owed, earned, spent, expired, reversed,
                adjusted] as numbers from points.balances) b
        full join (
          select m.program, m.member, j.one ->> 'unit' as unit,
            array[(one ->> 'available')::bigint, (one ->> 'pending')::bigint, (one ->> 'held')::bigint,
              (one ->> 'owed')::bigint, (one -> 'lifetime' ->> 'earned')::bigint,
              (one -> 'lifetime' ->> 'spent')::bigint, (one -> 'lifetime' ->> 'expired')::bigint,
              (one -> 'lifetime' ->> 'reversed')::bigint, (one -> 'lifetime' ->> 'adjusted')::bigint] as numbers
          from gateway.members m
          cross join lateral json_array_elements(convert_from(m.balances, 'UTF8')::json) as j(one)
          where m.balances is not null
        ) s using (program, member, unit)
        where b.numbers is distinct from s.numbers
          and coalesce(b.numbers, array_fill(0::bigint, array[9]))
              is distinct from coalesce(s.numbers, array_fill(0::bigint, array[9]))""",
    "every activity that points knows has its outcome here": """
        select a.program || ' ' || a.partner || ' ' || a.activity,
               'points says ' || coalesce(a.code, 'posted') || ', shown ' || coalesce(r.state, 'nothing')
        from points.activities a
        left join gateway.requests r on r.program = a.program and r.kind = 'activity' and r.partner = a.partner
          and r.id = a.activity
        where r.id is null or r.hash <> a.hash
          or case when a.code is not null then r.state = 'posted' and r.member is not null
             else r.state <> 'posted' and not (r.state = 'pending' and exists (
               select from points.funding_queue q where q.program = a.program and q.member = a.member
                 and q.journal = a.journal and q.funded_in is null)) end""",
    "nothing is shown as posted that points does not know": """
        select r.program || ' ' || r.partner || ' ' || r.id, 'shown as posted'
        from gateway.requests r
        left join points.activities a on a.program = r.program and a.partner = r.partner and a.activity = r.id
        where r.kind = 'activity' and r.state = 'posted' and r.member is not null
          and (a.activity is null or a.code is not null)""",
    "a finished batch has an outcome for every line": """
        select b.program || ' ' || b.batch, b.received || ' received, '
               || (o.posted + o.refused + b.unearned + b.rejected + b.duplicate) || ' with an outcome'
        from gateway.batches b join gateway.batch_outcomes o using (program, batch)
        where b.finished_at is not null
          and b.received <> o.posted + o.refused + b.unearned + b.rejected + b.duplicate""",
    "what a batch counts is what its lines came to": """
        select b.program || ' ' || b.batch, (o.posted + b.unearned) || ' counted as posted, ' || r.posted || ' are'
        from gateway.batches b join gateway.batch_outcomes o using (program, batch)
        join (select program, batch, count(*) filter (where state = 'posted') as posted
              from gateway.requests where batch is not null group by program, batch) r using (program, batch)
        where o.posted + b.unearned < r.posted""",
    "a batch counts the lines that wait for something parked": """
        select b.program || ' ' || b.batch, o.delayed || ' counted, ' || coalesce(r.delayed, 0) || ' wait'
        from gateway.batches b join gateway.batch_outcomes o using (program, batch)
        left join (select program, batch, count(*) as delayed from gateway.requests
                   where batch is not null and state = 'pending' and delayed group by program, batch) r
          using (program, batch)
        where o.delayed <> coalesce(r.delayed, 0)""",
    "redemptions are shown as they stand": """
        select s.program || ' ' || s.redemption, 'stands at ' || s.state || ', shown ' || coalesce(r.state, 'nothing')
        from redemption.sagas s left join gateway.redemptions r using (program, redemption)
        where s.state in ('fulfilled', 'refused', 'cancelled') and r.state is distinct from s.state""",
    "events kept for others are counted without a gap": """
        select 'gateway.events', e.kept || ' from ' || e.first || ' to ' || e.last || ', counted to ' || h.position
        from (select count(*) as kept, min(position) as first, max(position) as last from gateway.events) e,
             gateway.event_head h
        where e.kept > 0 and (e.last - e.first + 1 <> e.kept or e.last <> h.position)""",
    "what was heard is kept for others, once": """
        select o.source || ' ' || o.program || ':' || o.member || ' ' || o.number,
               o.type || ' is kept ' || coalesce(e.kept, 0) || ' times'
        from (select 'laurel/points/' || epoch as source, p.* from points.outbox p, points.schema_epoch
              where stream = ''
              union all
              select 'laurel/redemption/' || epoch, r.* from redemption.outbox r, redemption.schema_epoch
              where stream = '') o
        join gateway.inbox i on i.program = o.program and i.member = o.member and i.source = o.source
          and i.number >= o.number
        left join (select program, member, source, sequence, count(*) as kept from gateway.events
                   group by program, member, source, sequence) e
          on e.program = o.program and e.member = o.member and e.source = o.source and e.sequence = o.number
        where o.type !~ 'requested[.]v1$' and coalesce(e.kept, 0) <> 1
          and o.created_at > (select min(created_at) from gateway.events)""",
}
_COUNT: Final = "select count(*) from gateway.requests"


async def verify(connection: asyncpg.Connection[Any]) -> AsyncIterator[Finding | Checked]:
    """Yield what does not hold, and how much was looked at."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for proof, query in _PROOFS.items():
            for where, what in await connection.fetch(f"{query} limit {FAULTS_MAX}"):
                yield Finding(proof, where, what)
        yield Checked(int(await connection.fetchval(_COUNT)), "requests")
