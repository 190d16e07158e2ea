"""Proofs over sagas, stock and vouchers, read with the auditor's eyes: what must hold after any run or crash.

Counts are proved by the database in sets; then every saga's decisions are folded again and compared with its row.
Memory does not grow with the tables: decisions are streamed in the order of their keys.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import msgspec

from services.redemption.domain.bargain import encode_bargain
from services.redemption.domain.facts import decode_facts
from services.redemption.domain.state import Saga, SagaKey, State
from services.redemption.domain.vouchers import Use, UseKey, Voucher, VoucherKey, VoucherState

FAULTS_MAX = 100
"""How many faults of one kind are named; more would not be read."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold: which proof, where, and what was found."""

    proof: str
    where: str
    what: str


_DRAWS = """(
    select s.program, s.member, s.redemption, s.state, e ->> 'name' as name, (e ->> 'amount')::bigint as amount,
           (e ->> 'of')::bigint as of
    from redemption.sagas s
    cross join lateral json_array_elements(convert_from(s.bargain, 'UTF8')::json -> 'drawn') e) w"""
_DRAWN = f"""(
    select program, name, sum(amount) as used, max(of) as most from {_DRAWS} group by program, name)"""

ALWAYS = {
    "stock is what its sagas have": """
        select coalesce(s.program, g.program) || '/' || coalesce(s.reward, g.reward),
               'reserved ' || coalesce(s.reserved, 0) || ' taken ' || coalesce(s.taken, 0) || ', sagas say '
               || coalesce(g.reserved, 0) || ' and ' || coalesce(g.taken, 0)
        from redemption.stock s
        full join (select program, reward,
                     coalesce(sum(quantity) filter (where state in ('requested', 'holding', 'fulfilling')), 0)
                       as reserved,
                     coalesce(sum(quantity) filter (where state = 'fulfilled'), 0) as taken
                   from redemption.sagas where counted group by program, reward) g using (program, reward)
        where coalesce(s.reserved, 0) <> coalesce(g.reserved, 0) or coalesce(s.taken, 0) <> coalesce(g.taken, 0)""",
    "no more is sold than was ever on offer": """
        select s.program || '/' || s.reward,
               'reserved ' || s.reserved || ' and taken ' || s.taken || ' of at most ' || coalesce(r.most, 0)
        from redemption.stock s
        left join (select program, reward, max((convert_from(document, 'UTF8')::json ->> 'stock')::bigint) as most
                   from redemption.rewards group by program, reward) r using (program, reward)
        left join (select program, reward, sum(codes) as codes from redemption.pool_lots
                   group by program, reward) p using (program, reward)
        where s.reserved + s.taken > greatest(r.most, p.codes, 0)""",
    "what is drawn is what sagas have, and no more than there was": f"""
        select coalesce(t.program, d.program) || '/' || coalesce(t.name, d.name),
               coalesce(t.used, 0) || ' in use, sagas have ' || coalesce(d.used, 0) || ' of at most '
               || coalesce(d.most, 0)
        from redemption.tallies t full join {_DRAWN} d using (program, name)
        where coalesce(t.used, 0) <> coalesce(d.used, 0) or d.used > d.most""",
    "a refused or cancelled redemption has nothing drawn": f"""
        select program || '/' || member || '/' || redemption, state || ' with ' || name
        from {_DRAWS} where state in ('refused', 'cancelled')""",
    "stock follows the newest terms": """
        select s.program || '/' || s.reward,
               'version ' || s.version || ' with ' || coalesce(s.total::text, 'no count') || ', newest is '
               || coalesce(r.version, 0) || ' with ' || coalesce(r.total::text, 'no count')
        from redemption.stock s
        full join (select distinct on (program, reward) program, reward, version,
                     case when convert_from(document, 'UTF8')::json -> 'voucher' ->> 'codes' = 'pool'
                       then coalesce((select sum(codes) from redemption.pool_lots l
                                      where l.program = rewards.program and l.reward = rewards.reward), 0)::bigint
                       else (convert_from(document, 'UTF8')::json ->> 'stock')::bigint end as total,
                     count(*) over (partition by program, reward) as versions
                   from redemption.rewards order by program, reward, version desc) r using (program, reward)
        where s.version is distinct from r.version or s.total is distinct from r.total
           or r.version is distinct from r.versions""",
    "a fulfilled redemption has its vouchers, a cancelled one none that is good, any other none": """
        select s.program || '/' || s.member || '/' || s.redemption,
               s.state || ', ' || count(v.voucher) || ' vouchers for ' || s.quantity || ' pieces, '
               || count(v.voucher) filter (where v.state in ('issued', 'spent')) || ' of them issued or spent'
        from redemption.sagas s
        left join redemption.rewards r on r.program = s.program and r.reward = s.reward
          and r.version = s.reward_version
        left join redemption.vouchers v on v.program = s.program and v.member = s.member
          and v.redemption = s.redemption
        group by s.program, s.member, s.redemption, s.state, s.quantity, r.document
        having count(v.voucher) <> case
          when s.state = 'fulfilled' and (convert_from(r.document, 'UTF8')::json ->> 'kind' = 'voucher'
            or convert_from(r.document, 'UTF8')::json ->> 'voucher' is not null)
          then s.quantity
          when s.state = 'cancelled' and count(v.voucher) filter (where v.state in ('issued', 'spent')) = 0
          then count(v.voucher) else 0 end""",
    "every voucher has its redemption, its key and a code of its own": """
        select v.program || '/' || v.member || '/' || v.voucher,
               case when s.redemption is null and v.conversion = '' and v.share_of = ''
                      then 'no redemption ' || v.redemption
                    when m.key is null then 'no key' else 'its code is that of another' end
        from redemption.vouchers v
        left join redemption.sagas s on s.program = v.program and s.member = v.member
          and s.redemption = v.redemption
        left join redemption.members m on m.program = v.program and m.member = v.member
        left join (select program, digest from redemption.vouchers group by program, digest
                   having count(*) > 1) d on d.program = v.program and d.digest = v.digest
        where (s.redemption is null and v.conversion = '' and v.share_of = '')
           or (v.redemption <> '' and v.conversion <> '')
           or m.member is null or d.digest is not null""",
    "a voucher's uses are what is missing of it": """
        select coalesce(v.program, u.program) || '/' || coalesce(v.member, u.member) || '/' || voucher,
               coalesce(v.state, 'no voucher') || ', ' || coalesce(v.remaining::text, 'nothing') || ' remains of '
               || coalesce(v.value::text, 'nothing') || ', ' || coalesce(u.uses, 0) || ' uses of '
               || coalesce(u.amount, 0)
        from redemption.vouchers v
        full join (select program, member, voucher, count(*) as uses, coalesce(sum(amount - restored), 0) as amount
                   from redemption.voucher_uses group by program, member, voucher) u
          using (program, member, voucher)
        where v.state is null or v.state not in ('issued', 'spent', 'expired', 'void')
           or (v.value is null) <> (v.remaining is null)
           or (v.value is not null and v.remaining + coalesce(u.amount, 0) <> v.value)
           or v.remaining < 0 or (not v.parts and coalesce(u.uses, 0) > 1)
           or (v.state = 'spent') <> (coalesce(u.uses, 0) > 0 and coalesce(v.remaining, 0) = 0)""",
    "a return gives back no more of a voucher than it paid": """
        select u.program || '/' || u.member || '/' || u.voucher,
               coalesce(u.restored, 0) || ' restored and ' || coalesce(s.value, 0) || ' in shares, of ' || u.amount
        from (select program, member, voucher, sum(amount) as amount, sum(restored) as restored
              from redemption.voucher_uses group by program, member, voucher) u
        left join (select program, member, share_of as voucher, sum(value) as value
                   from redemption.vouchers where share_of <> '' group by program, member, share_of) s
          using (program, member, voucher)
        where u.amount is not null and u.restored + coalesce(s.value, 0) > u.amount""",
    "pools are what was given to them and handed out": """
        select coalesce(l.program, c.program) || '/' || coalesce(l.reward, c.reward) || ' ' || expires_at,
               coalesce(l.handed, 0) || ' of ' || coalesce(l.codes, 0) || ' handed out, there are '
               || coalesce(c.handed, 0) || ' of ' || coalesce(c.codes, 0)
        from redemption.pool_lots l
        full join (select program, reward, expires_at, count(*) as codes, count(voucher) as handed
                   from redemption.pool_codes group by program, reward, expires_at) c
          using (program, reward, expires_at)
        where coalesce(l.codes, 0) <> coalesce(c.codes, 0) or coalesce(l.handed, 0) <> coalesce(c.handed, 0)""",
    "a code of a pool is that of one voucher": """
        select c.program || '/' || c.reward, coalesce(c.member, '') || '/' || coalesce(c.voucher, '')
               || case when v.voucher is null then ' is no voucher of that code' else ' was handed out unnoticed' end
        from redemption.pool_codes c
        left join redemption.vouchers v on v.program = c.program and v.digest = c.digest
        where (c.member, c.voucher) is distinct from (v.member, v.voucher)""",
    "a code of a pool can be read by the pool until somebody has it": """
        select program || '/' || reward, case when voucher is null then 'a code that nobody can read'
               else coalesce(member, '') || '/' || voucher || ' has it, and the pool can read it' end
        from redemption.pool_codes where (voucher is null) = (sealed is null)""",
    "decisions about vouchers are numbered without gap": """
        select coalesce(v.program, d.program) || '/' || coalesce(v.member, d.member) || '/' || voucher,
               'step ' || coalesce(v.step, 0) || ', decisions ' || coalesce(d.n, 0) || ' up to '
               || coalesce(d.last, 0)
        from redemption.vouchers v
        full join (select program, member, voucher, count(*) as n, max(step) as last
                   from redemption.voucher_decisions group by program, member, voucher) d
          using (program, member, voucher)
        where coalesce(v.step, 0) <> coalesce(d.n, 0) or coalesce(v.step, 0) <> coalesce(d.last, 0)""",
    "what a turn ended is what its vouchers say": """
        select t.program || ' ' || t.as_of, 'converted ' || t.converted || ', issued ' || count(v.voucher)
        from redemption.turns t
        left join redemption.vouchers v on v.program = t.program and v.turned_to = t.as_of
        where t.done group by t.program, t.as_of, t.converted having t.converted <> count(v.voucher)""",
    "states and holds of a saga fit": """
        select program || '/' || member || '/' || redemption,
               state || ', hold ' || hold || ', outcome ' || outcome_type || ', code ' || code
        from redemption.sagas
        where (state, hold) not in (values
            ('holding', 'asked'), ('holding', 'none'), ('fulfilling', 'none'), ('fulfilled', 'none'),
            ('cancelled', 'none'), ('fulfilled', 'capture_asked'), ('fulfilled', 'captured'), ('refused', 'none'),
            ('refused', 'refused'), ('refused', 'release_asked'), ('refused', 'released'), ('holding', 'held'),
            ('fulfilling', 'held'), ('cancelled', 'release_asked'), ('cancelled', 'released'), ('cancelled', 'refused'),
            ('cancelled', 'cancel_asked'), ('cancelled', 'cancelled'))
           or (waits_until is not null and state <> 'holding')
           or (hold in ('held', 'none') and state = 'holding' and not later)
           or (state in ('holding', 'fulfilling', 'fulfilled') and (hold = 'none') <> (points = 0))
           or (state not in ('holding', 'fulfilling')
               and not (state = 'cancelled' and hold in ('release_asked', 'cancel_asked')))
              <> (outcome_type = 'redemption.' || state || '.v1')
           or (state = 'refused') <> (code <> '')
           or (state = 'cancelled' and cancelled_by not in ('member', 'provider'))
           or (cancelled_by <> '' and state not in ('fulfilling', 'cancelled'))
           or (delayed and state <> 'fulfilling')""",
    "a partner is to be asked for each redemption that it fulfils, and for no other": """
        select coalesce(s.program, c.program) || '/' || coalesce(s.member, c.member) || '/' || redemption,
               coalesce(s.state, 'nothing') || ', ' || case when c.program is null then 'no call' else 'a call' end
        from (select program, member, redemption, state from redemption.sagas where state = 'fulfilling') s
        full join (select program, member, redemption from redemption.calls where by = '') c
            using (program, member, redemption)
        where s.program is null or c.program is null""",
    "a partner is told of what was taken back, and of nothing else": """
        select c.program || '/' || c.member || '/' || redemption, coalesce(s.state, 'nothing') || ', by ' || c.by
        from redemption.calls c left join redemption.sagas s using (program, member, redemption)
        where c.by <> '' and s.state is distinct from 'cancelled'""",
    "decisions are numbered without gap": """
        select coalesce(s.program, d.program) || '/' || coalesce(s.member, d.member) || '/' || redemption,
               'step ' || coalesce(s.step, 0) || ', decisions ' || coalesce(d.n, 0) || ' up to '
               || coalesce(d.last, 0)
        from redemption.sagas s
        full join (select program, member, redemption, count(*) as n, max(step) as last
                   from redemption.saga_decisions group by program, member, redemption) d
          using (program, member, redemption)
        where coalesce(s.step, 0) <> coalesce(d.n, 0) or coalesce(s.step, 0) <> coalesce(d.last, 0)""",
    "no saga waits beyond its time": """
        select program || '/' || member || '/' || redemption, 'should have ended at ' || waits_until
        from redemption.sagas where waits_until < now() - interval '5 minutes' and not manual""",
}
"""By proof: a query that returns where and what does not hold. True at any instant, also under load."""

ACROSS = {
    "what redemption knows of holds is what points did": """
        select s.program || '/' || s.member || '/' || s.redemption,
               s.state || ' of ' || s.points || ', hold ' || s.hold || '; points say '
               || coalesce(h.state || ' ' || h.amount, 'nothing')
        from redemption.sagas s
        left join points.holds h on h.program = s.program and h.member = s.member and h.hold = s.redemption
        where (s.hold = 'captured' and (h.state, h.captured + h.cancelled) is distinct from ('captured', s.points))
           or (s.hold = 'cancelled' and (h.state, h.cancelled) is distinct from ('cancelled', s.points))
           or (s.hold = 'cancel_asked' and coalesce(h.state, '') not in ('held', 'captured', 'cancelled'))
           or (s.hold = 'held' and (h.state, h.amount) is distinct from ('held', s.points))
           or (s.hold = 'capture_asked' and coalesce(h.state, '') not in ('held', 'captured'))
           or (s.hold = 'released' and h.state is distinct from 'released')
           or (s.hold in ('none', 'refused') and h.state in ('held', 'captured'))
           or (h.state = 'held' and s.hold not in ('asked', 'held', 'capture_asked', 'release_asked', 'cancel_asked'))
           or (h.state = 'captured' and s.hold not in ('capture_asked', 'captured', 'cancel_asked'))""",
    "no redemption's points are held without a saga": """
        select h.program || '/' || h.member || '/' || h.hold, h.state || ' ' || h.amount
        from points.holds h
        left join redemption.sagas s on s.program = h.program and s.member = h.member and s.redemption = h.hold
        where h.saga and h.state in ('held', 'captured') and s.redemption is null""",
}
"""The same for redemption and points together, in one snapshot of a database that has both."""

_CONVERTED = """
    (select program, member, f ->> 'voucher' as voucher, (f ->> 'value')::bigint as value
     from points.journals j
     cross join lateral json_array_elements(convert_from(j.facts, 'UTF8')::json) f
     where j.kind = 'conversion') c"""

ACROSS["no voucher of points is there without its points"] = f"""
    select v.program || '/' || v.member || '/' || v.voucher,
           'worth ' || v.value || ', points say ' || coalesce(c.value::text, 'nothing')
    from redemption.vouchers v left join {_CONVERTED} using (program, member, voucher)
    where v.conversion <> '' and c.value is distinct from v.value"""

AT_REST = {
    "no saga is open": """
        select program || '/' || member || '/' || redemption, state || ', hold ' || hold || ', at ' || at
        from redemption.sagas
        where state in ('requested', 'holding', 'fulfilling')
           or hold in ('asked', 'held', 'capture_asked', 'release_asked', 'cancel_asked')""",
    "every turn of a clock has come to its end": """
        select program || ' ' || as_of, 'converted ' || converted from redemption.turns where not done""",
    "points rest for no wait that has ended": """
        select program || ' ' || as_of, 'until ' || until from redemption.turn_waits where not done""",
    "nothing is set aside": """
        select program || '/' || reward, reserved || ' reserved' from redemption.stock where reserved <> 0""",
}
"""The same for what holds when nobody asks and everything has been answered."""

ACROSS_AT_REST = {
    "points that became a voucher have it": f"""
        select c.program || '/' || c.member || '/' || c.voucher, 'worth ' || c.value || ', never issued'
        from {_CONVERTED} left join redemption.vouchers v using (program, member, voucher)
        where v.voucher is null""",
}
"""The same for both together, when everything has been answered."""

_DECISIONS = """
    select program, member, redemption, step, at, facts from redemption.saga_decisions
    order by program, member, redemption, step"""
_SAGAS = """
    select program, member, redemption, state, hold, partner, hash, reward, reward_version, quantity, unit, points,
           version, zone, correlation, code, counted, waits_until, later, manual, lots, cancelled_by, cancelling,
           reference, delayed, at, step, bargain
    from redemption.sagas order by program, member, redemption"""
_PROOF = "sagas are folds of their decisions"


async def verify(
    connection: asyncpg.Connection[Any], *, across: bool = True, at_rest: bool = False
) -> AsyncIterator[Finding | int]:
    """Yield findings, and now and then the number of decisions folded so far. No finding: all holds.

    `across`: look into points, too; `at_rest`: nothing may be under way.
    """
    proofs = {**ALWAYS, **(ACROSS if across else {}), **(AT_REST if at_rest else {})}
    proofs |= ACROSS_AT_REST if across and at_rest else {}
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for proof, query in proofs.items():
            for place, what in await connection.fetch(f"{query} limit {FAULTS_MAX}"):
                yield Finding(proof, place, what)
        checked = 0
        async for found in _refold(connection):
            checked = found if isinstance(found, int) else checked
            yield found
        async for found in _refold_vouchers(connection):
            yield checked + found if isinstance(found, int) else found


async def _refold(connection: asyncpg.Connection[Any]) -> AsyncIterator[Finding | int]:
    """Fold every saga's decisions over an empty state and compare with its row, both read in the order of keys."""
    rows = connection.cursor(_SAGAS, prefetch=1000).__aiter__()
    saga: Saga | None = None
    state = State()
    count = 0
    async for program, member, redemption, step, at, facts in connection.cursor(_DECISIONS, prefetch=1000):
        key = SagaKey(program, member, redemption)
        if saga is None or saga.key != key:
            if saga is not None:
                for finding in _compare(saga, await anext(rows, None)):
                    yield finding
            state = State()
        for fact in decode_facts(facts):
            state.apply(program, key, fact)
        saga = state.sagas[key]
        saga.step, saga.at = step, at
        count += 1
        if count % 10_000 == 0:
            yield count
    if saga is not None:
        for finding in _compare(saga, await anext(rows, None)):
            yield finding
    yield count


def _compare(saga: Saga, row: Sequence[Any] | None) -> list[Finding]:
    folded = (
        *saga.key, str(saga.state), str(saga.hold), saga.partner, saga.hash, saga.reward, saga.reward_version,
        saga.quantity, saga.unit, saga.points, saga.version, saga.zone, saga.correlation, saga.code, saga.counted,
        saga.waits_until, saga.later, saga.manual, msgspec.json.encode(saga.lots), saga.cancelled_by,
        saga.cancelling, saga.reference, saga.delayed, saga.at, saga.step,
        encode_bargain(saga.bargain),
    )  # fmt: skip
    stored = tuple(row) if row is not None else None
    return [] if stored == folded else [Finding(_PROOF, "/".join(saga.key), f"row {stored}, folded {folded}")]


_VOUCHER_DECISIONS = """
    select program, member, voucher, step, facts from redemption.voucher_decisions
    order by program, member, voucher, step"""
_VOUCHERS = """
    select program, member, voucher, state, suffix, issued_at, value, remaining, currency, percent, product,
           expires_at, not_above_basket, parts, elsewhere, redemption, conversion, turned_to, step, share_of
    from redemption.vouchers where step > 0 order by program, member, voucher"""
_USES = """
    select program, member, voucher, partner, reference, amount, currency, upto, restored
    from redemption.voucher_uses order by program, member, voucher"""
_VOUCHER_PROOF = "vouchers are folds of their decisions"


async def _refold_vouchers(connection: asyncpg.Connection[Any]) -> AsyncIterator[Finding | int]:
    """Fold what was decided about each voucher and compare with its row; one of a redemption begins as issued."""
    decisions = connection.cursor(_VOUCHER_DECISIONS, prefetch=1000).__aiter__()
    upcoming = await anext(decisions, None)
    uses = connection.cursor(_USES, prefetch=1000).__aiter__()
    used = await anext(uses, None)
    count = 0
    async for program, member, name, state, *rest in connection.cursor(_VOUCHERS, prefetch=1000):
        key = VoucherKey(program, member, name)
        stored = Voucher(key, VoucherState(state), *rest)
        while used is not None and tuple(used)[:3] <= key:
            if tuple(used)[:3] == key:
                stored.uses[UseKey(used["partner"], used["reference"])] = Use(*tuple(used)[5:])
            used = await anext(uses, None)
        folded = State()
        if stored.redemption:
            folded.vouchers[key] = replace(stored, state=VoucherState.ISSUED, remaining=stored.value, uses={}, step=0)
        while upcoming is not None and tuple(upcoming)[:3] <= key:
            if tuple(upcoming)[:3] == key:
                try:
                    for fact in decode_facts(upcoming["facts"]):
                        folded.apply(program, key, fact)
                    folded.vouchers[key].step = upcoming["step"]
                except KeyError:
                    break
            count += 1
            upcoming = await anext(decisions, None)
        if folded.vouchers.get(key) != stored:
            yield Finding(_VOUCHER_PROOF, "/".join(key), f"row {stored}, folded {folded.vouchers.get(key)}")
    if count:
        yield count
