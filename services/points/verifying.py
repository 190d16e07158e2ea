"""Proofs over the whole ledger, read with the auditor's eyes: what must hold after any run, crash or replay.

Sums are proved by the database in sets; then every journal is folded again, member by member, and the fold is
compared with the tables. Memory does not grow with the ledger: journals are streamed in the order of their keys.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from msgspec.json import decode, encode

from laurel.program.standing import TierBook
from services.points.domain.facts import decode_facts
from services.points.domain.folding import fold
from services.points.domain.state import Balance, Lot, Wallet

FAULTS_MAX = 100
"""How many faults of one kind are named; more would not be read."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold: which proof, where, and what was found."""

    proof: str
    where: str
    what: str


_SETS = {
    "every journal sums to zero per unit": """
        select program || '/' || member || ' journal ' || journal as place,
               unit || ' sums to ' || sum(amount) as what
        from points.entries group by program, member, journal, unit having sum(amount) <> 0""",
    "journals are numbered without gap": """
        select w.program || '/' || w.member as place,
               'version ' || w.version || ', journals ' || coalesce(j.n, 0) || ' up to ' || coalesce(j.last, 0)
        from points.wallets w
        left join (select program, member, count(*) as n, max(journal) as last
                   from points.journals group by program, member) j using (program, member)
        where w.version <> coalesce(j.n, 0) or w.version <> coalesce(j.last, 0)""",
    "balances are the sums of the entries": """
        select b.program || '/' || b.member || ' ' || b.unit,
               'available ' || b.available || ' held ' || b.held || ' owed ' || b.owed || ' pending ' || b.pending
               || ', entries say ' || coalesce(e.available, 0) || ', ' || coalesce(e.held, 0) || ', '
               || coalesce(e.owed, 0) || ', ' || coalesce(e.pending, 0)
        from points.balances b
        full join (select program, member, unit,
                     coalesce(sum(amount) filter (where account = 'available'), 0) as available,
                     coalesce(sum(amount) filter (where account = 'held'), 0) as held,
                     coalesce(-sum(amount) filter (where account = 'owed'), 0) as owed,
                     coalesce(sum(amount) filter (where account = 'pending'), 0) as pending
                   from points.entries group by program, member, unit) e using (program, member, unit)
        where coalesce(b.available, 0) <> coalesce(e.available, 0) or coalesce(b.held, 0) <> coalesce(e.held, 0)
           or coalesce(b.owed, 0) <> coalesce(e.owed, 0) or coalesce(b.pending, 0) <> coalesce(e.pending, 0)""",
    "balances are what lots hold": """
        select b.program || '/' || b.member || ' ' || b.unit,
               'available ' || b.available || ' held ' || b.held || ' pending ' || b.pending || ', lots say '
               || coalesce(l.remaining, 0) || ' of which held ' || coalesce(l.held, 0) || ', pending '
               || coalesce(l.pending, 0)
        from points.balances b
        left join (select program, member, unit, sum(remaining) as remaining, sum(held) as held,
                     sum(pending) as pending
                   from points.lots group by program, member, unit) l using (program, member, unit)
        where b.available + b.held <> coalesce(l.remaining, 0) or b.held <> coalesce(l.held, 0)
           or b.pending <> coalesce(l.pending, 0)""",
    "available + held - owed = earned - spent - expired - reversed + adjusted": """
        select program || '/' || member || ' ' || unit,
               (available + held - owed) || ' against ' || (earned - spent - expired - reversed + adjusted)
        from points.balances
        where available + held - owed <> earned - spent - expired - reversed + adjusted
           or available < 0 or held < 0 or owed < 0 or (owed > 0 and available > 0)""",
    "what is held is what open holds hold": """
        select b.program || '/' || b.member || ' ' || b.unit,
               'held ' || b.held || ', open holds ' || coalesce(h.amount, 0)
        from points.balances b
        left join (select program, member, unit, sum(amount) as amount from points.holds
                   where state = 'held' group by program, member, unit) h using (program, member, unit)
        where b.held <> coalesce(h.amount, 0)""",
    "holds that end by themselves are due when they do": """
        select h.program || '/' || h.member || ' hold ' || h.hold,
               'ends at ' || h.expires_at || ', the wallet is looked at ' || coalesce(w.next_due_at::text, 'never')
        from points.holds h left join points.wallets w using (program, member)
        where h.state = 'held' and h.expires_at is not null
          and (w.next_due_at is null or w.next_due_at > h.expires_at)""",
    "who has points enough for a voucher is looked at when it is due": """
        select b.program || '/' || b.member || ' ' || b.unit,
               'available ' || b.available || ', looked at ' || coalesce(w.next_due_at::text, 'never')
        from (select distinct on (program) program, convert_from(document, 'UTF8')::json -> 'conversions' as made
              from points.programs order by program, version desc) p
        cross join lateral json_array_elements(coalesce(p.made, '[]'::json)) c
        join points.balances b on b.program = p.program and b.unit = c ->> 'unit'
          and b.available >= (c ->> 'from')::bigint
        left join points.wallets w on w.program = b.program and w.member = b.member
        where w.converts_at is null or w.next_due_at is null or w.next_due_at > w.converts_at""",
    "of a hold no more is spent or given back than was held": """
        select program || '/' || member || ' hold ' || hold,
               'held ' || amount || ', captured ' || captured || ', cancelled ' || cancelled
        from points.holds where captured < 0 or cancelled < 0 or captured + cancelled > amount""",
    "lots stay within their grant": """
        select program || '/' || member || ' lot ' || journal || '.' || lot,
               'granted ' || granted || ' remaining ' || remaining || ' held ' || held || ' pending ' || pending
        from points.lots
        where remaining < 0 or held < 0 or held > remaining or pending < 0 or remaining + pending > granted""",
    "pending points that await a date are due on it": """
        select l.program || '/' || l.member || ' lot ' || l.journal || '.' || l.lot,
               'available at ' || l.available_at || ', the wallet is looked at '
               || coalesce(w.next_due_at::text, 'never')
        from points.lots l left join points.wallets w using (program, member)
        where l.pending > 0 and l.awaits = 'date' and not l.unfunded
          and (w.next_due_at is null or w.next_due_at > l.available_at)""",
    "pending points that await something else are due at their end": """
        select l.program || '/' || l.member || ' lot ' || l.journal || '.' || l.lot,
               'ends at ' || coalesce(l.expires_at, b.active_until) || ', the wallet is looked at '
               || coalesce(w.next_due_at::text, 'never')
        from points.lots l
        join points.wallets w using (program, member)
        join points.balances b using (program, member, unit)
        where l.pending > 0 and l.awaits <> 'date' and not l.unfunded
          and coalesce(l.expires_at, b.active_until) is not null
          and (w.next_due_at is null or w.next_due_at > coalesce(l.expires_at, b.active_until))""",
    "blocks are what was paid for them, and never overdrawn": """
        select b.program || '/' || b.partner || ' ' || b.unit,
               'units ' || b.units || ', paid for ' || coalesce(p.units, 0) || ', used ' || b.used
        from points.blocks b
        left join (select program, partner, unit, sum(units) as units from points.block_payments
                   group by program, partner, unit) p using (program, partner, unit)
        where b.units <> coalesce(p.units, 0) or b.used < 0 or b.used > b.units""",
    "what is measured waits for a judgement": """
        select m.program || '/' || m.member, m.segment || ' was measured at ' || m.measure
        from points.measured m
        where not exists (
            select from points.judgements j where j.program = split_part(m.program, ' ', 1) and j.state <> 'done')""",
    "every kept activity has its journal": """
        select a.program || '/' || a.partner || '/' || a.activity, 'no journal ' || a.journal || ' of ' || a.member
        from points.activities a
        left join points.journals j on j.program = a.program and j.member = a.member and j.journal = a.journal
          and j.cause = a.activity
        where j.journal is null""",
    "what left a wallet arrived in another": """
        with halves as materialized (
            select j.program, j.member, j.journal, facts.fact
            from points.journals j
            cross join lateral jsonb_array_elements(convert_from(j.facts, 'UTF8')::jsonb) as facts(fact)
            where j.kind in ('transfer', 'exchange', 'merge', 'unmerge', 'pooling')
              and facts.fact ->> 'fact' in ('PointsSent', 'PointsReceived'))
        select coalesce(s.program || '/' || s.member, r.program || '/' || r.member)
                 || ' ' || coalesce(s.fact ->> 'transfer', r.fact ->> 'transfer'),
               'left ' || coalesce(s.fact ->> 'amount', 'nothing')
                 || ', arrived ' || coalesce(r.fact ->> 'amount', 'nothing')
        from (select * from halves where fact ->> 'fact' = 'PointsSent') s
        full join (select * from halves where fact ->> 'fact' = 'PointsReceived') r
          on r.program = s.fact ->> 'program' and r.member = s.fact ->> 'member'
         and r.journal = (s.fact ->> 'journal')::bigint and s.program = r.fact ->> 'program'
         and s.member = r.fact ->> 'member' and s.journal = (r.fact ->> 'journal')::bigint
         and s.fact ->> 'transfer' = r.fact ->> 'transfer'
         and coalesce(r.fact ->> 'out_of', r.fact ->> 'unit') = s.fact ->> 'unit'
        where s.program is null or r.program is null
           or s.fact ->> 'amount' <> coalesce(r.fact ->> 'left', r.fact ->> 'amount')
           or r.fact ->> 'amount' <> coalesce(s.fact ->> 'arrived', s.fact ->> 'amount')
           or s.fact ->> 'owed' is distinct from r.fact ->> 'owed'""",
    "what passes from wallet to wallet sums to nothing": """
        select j.program || ' ' || j.cause, e.unit || ' sums to ' || sum(e.amount)
        from points.entries e join points.journals j using (program, member, journal)
        where e.account = 'transferred' group by j.program, j.cause, e.unit having sum(e.amount) <> 0""",
}

_WALLETS = """
    select program, member, status, person, attributes from points.wallets order by program, member"""
_TIERS = """
    select program, member, journal, standing, stood from points.tiers order by program, member"""
_COUNTS = """
    select program, member, grain, day, unit, amount from points.tier_counts
    where amount <> 0 order by program, member, grain, day, unit"""
_SEGMENTS = """
    select program, member, names, held, past from points.segments order by program, member"""
_FOLD = """
    select program, member, journal, facts from points.journals order by program, member, journal"""
_BALANCES = """
    select program, member, unit, available, pending, held, owed, earned, spent, expired, reversed, adjusted
    from points.balances order by program, member, unit"""
_LOTS = """
    select program, member, journal, lot, remaining, held, expired, pending, awaits, unfunded
    from points.lots order by program, member, journal, lot"""
_COUNTERS = """
    select program, member, counter, window_start, counted, given_in
    from points.counters order by program, member, counter, window_start"""
_REFUSALS = """
    select program, member, journal, rule, refused
    from points.refusals order by program, member, journal, rule"""
_PEOPLE = "select program, person, counter, window_start, counted from points.person_counts"
_MERGED = """
    select program, member, merged_into, merged_in, household from points.wallets
    where merged_into is not null or household is not null order by program, member"""
_BUDGETS = "select program, rule, drawn from points.budgets"
_CREDITED = """
    select program, member, exclusive_group, exclusive_key, journal from points.exclusive_keys
    where program is not null order by program, member, exclusive_group, exclusive_key"""

_REFERRED = """
    select program, member, referred_by, birthday_at from points.wallets
    where referred_by is not null or birthday_at is not null order by program, member"""
_BLOCKS = "select program, partner, unit, used from points.blocks"
_UNFUNDED = """
    select program, member, journal, funder, unit, number from points.funding_queue
    where funded_in is null order by program, member, journal"""

_HOLDS = """
    select program, member, hold, state, amount, captured, cancelled
    from points.holds order by program, member, hold"""

_ADJUSTMENTS = """
    select program, member, adjustment, state, amount, waiting, reversed, written_off, bonus, owed, corrected
    from points.adjustments order by program, member, adjustment"""


async def verify(connection: asyncpg.Connection[Any]) -> AsyncIterator[Finding | int]:
    """Yield findings, and now and then the number of journals folded so far. No finding means that all holds."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for proof, query in _SETS.items():
            for place, what in await connection.fetch(f"{query} limit {FAULTS_MAX}"):
                yield Finding(proof, place, what)
        async for found in _refold(connection):
            yield found


class _Merged:
    """Walks rows that are ordered by (program, member, ...) beside the journals, member by member."""

    def __init__(self, cursor: AsyncIterable[asyncpg.Record]) -> None:
        self._rows = cursor.__aiter__()
        self._next: Any = None
        self._ended = False

    async def of(self, key: tuple[str, str]) -> list[Any]:
        """Return the rows of one member. Keys must be asked for in order."""
        rows: list[Any] = []
        while not self._ended:
            if self._next is None:
                self._next = await anext(self._rows, None)
                if self._next is None:
                    self._ended = True
                    break
            if (self._next["program"], self._next["member"]) > key:
                break
            if (self._next["program"], self._next["member"]) == key:
                rows.append(self._next)
            self._next = None
        return rows


@dataclass(frozen=True, slots=True)
class _Tables:
    """The tables that are folds of the journals, in step with them."""

    wallets: _Merged
    balances: _Merged
    lots: _Merged
    counters: _Merged
    refusals: _Merged
    credited: _Merged
    holds: _Merged
    adjustments: _Merged
    tiers: _Merged
    counts: _Merged
    segments: _Merged
    merged: _Merged
    unfunded: _Merged
    referred: _Merged


async def _refold(connection: asyncpg.Connection[Any]) -> AsyncIterator[Finding | int]:
    """Fold every journal over an empty wallet and compare with the tables."""
    tables = _Tables(
        _Merged(connection.cursor(_WALLETS, prefetch=2000)),
        _Merged(connection.cursor(_BALANCES, prefetch=2000)),
        _Merged(connection.cursor(_LOTS, prefetch=2000)),
        _Merged(connection.cursor(_COUNTERS, prefetch=2000)),
        _Merged(connection.cursor(_REFUSALS, prefetch=2000)),
        _Merged(connection.cursor(_CREDITED, prefetch=2000)),
        _Merged(connection.cursor(_HOLDS, prefetch=2000)),
        _Merged(connection.cursor(_ADJUSTMENTS, prefetch=2000)),
        _Merged(connection.cursor(_TIERS, prefetch=2000)),
        _Merged(connection.cursor(_COUNTS, prefetch=2000)),
        _Merged(connection.cursor(_SEGMENTS, prefetch=2000)),
        _Merged(connection.cursor(_MERGED, prefetch=2000)),
        _Merged(connection.cursor(_UNFUNDED, prefetch=2000)),
        _Merged(connection.cursor(_REFERRED, prefetch=2000)),
    )
    wallet: Wallet | None = None
    drawn: dict[tuple[str, str], int] = {}
    people: dict[tuple[Any, ...], int] = {}
    used: dict[tuple[str, str, str], int] = {}
    broken = False
    count = 0
    async for program, member, journal, facts in connection.cursor(_FOLD, prefetch=500):
        if wallet is None or (wallet.program, wallet.member) != (program, member):
            if wallet is not None and not broken:
                _draw(drawn, people, used, wallet)
                for finding in await _compare(wallet, tables):
                    yield finding
            wallet = Wallet(program, member)
            broken = False
        try:
            for fact in decode_facts(facts) if not broken else ():
                fold(wallet, journal, fact)
        except KeyError as error:
            # What follows can no more be told from what should follow, so this member ends here.
            broken = True
            yield Finding(_PROOF, f"{program}/{member}", f"journal {journal} speaks of {error}, which no journal made")
        count += 1
        if count % 10_000 == 0:
            yield count
    if wallet is not None and not broken:
        _draw(drawn, people, used, wallet)
        for finding in await _compare(wallet, tables):
            yield finding
    budgets = {(row["program"], row["rule"]): row["drawn"] for row in await connection.fetch(_BUDGETS)}
    persons = {tuple(row)[:4]: row["counted"] for row in await connection.fetch(_PEOPLE)}
    blocks = {(row["program"], row["partner"], row["unit"]): row["used"] for row in await connection.fetch(_BLOCKS)}
    shared = (("budget", "budgets", budgets, drawn), ("person", "people", persons, people))
    for what, where, stored, folded in (*shared, ("block", "blocks", blocks, used)):
        for said in _unlike(what, stored, folded):
            yield Finding(_PROOF, where, said)
    yield count


def _draw(
    drawn: dict[tuple[str, str], int],
    people: dict[tuple[Any, ...], int],
    used: dict[tuple[str, str, str], int],
    wallet: Wallet,
) -> None:
    for name, counted in wallet.people.items():
        people[wallet.program, *name] = people.get((wallet.program, *name), 0) + counted
    for (funder, unit), amount in wallet.blocks.items():
        block = (wallet.program, funder, unit)
        used[block] = used.get(block, 0) + amount
    for rule, amount in wallet.drawn.items():
        drawn[wallet.program, rule] = drawn.get((wallet.program, rule), 0) + amount


_PROOF = "tables are folds of the journals"


def _totals(balance: Balance) -> tuple[int, ...]:
    return (
        balance.available, balance.pending, balance.held, balance.owed, balance.earned, balance.spent,
        balance.expired, balance.reversed, balance.adjusted,
    )  # fmt: skip


def _lot(lot: Lot) -> tuple[Any, ...]:
    return (lot.remaining, lot.held, lot.expired, lot.pending, lot.awaits, lot.unfunded)


async def _compare(wallet: Wallet, tables: _Tables) -> list[Finding]:
    key = (wallet.program, wallet.member)
    where = "/".join(key)
    findings = []
    for row in await tables.wallets.of(key):
        kept_as = (row["status"], row["person"], decode(row["attributes"]) if row["attributes"] else {})
        if kept_as != (wallet.status, wallet.person, wallet.attributes):
            findings.append(Finding(_PROOF, where, f"kept as {kept_as[:2]}, folded {(wallet.status, wallet.person)}"))
    stored = {row["unit"]: tuple(row)[3:] for row in await tables.balances.of(key)}
    folded = {unit: _totals(balance) for unit, balance in wallet.balances.items()}
    if stored != folded:
        findings.append(Finding(_PROOF, where, f"balances {stored}, folded {folded}"))
    rows = {(row["journal"], row["lot"]): tuple(row)[4:] for row in await tables.lots.of(key)}
    fold = {(name.journal, name.lot): _lot(lot) for name, lot in wallet.lots.items()}
    if rows != fold:
        wrong = [name for name in rows.keys() | fold.keys() if rows.get(name) != fold.get(name)]
        findings.append(Finding(_PROOF, where, f"lots {sorted(wrong)[:5]} differ"))
    findings += [Finding(_PROOF, where, said) for said in _counter_faults(wallet, await tables.counters.of(key))]
    refusals = {(row["journal"], row["rule"]): row["refused"] for row in await tables.refusals.of(key)}
    refused = {name: refusal.left for name, refusal in wallet.refusals.items()}
    credited = {(row["exclusive_group"], row["exclusive_key"]): row["journal"] for row in await tables.credited.of(key)}
    findings += [Finding(_PROOF, where, said) for said in _unlike("refusal", refusals, refused)]
    findings += [Finding(_PROOF, where, said) for said in _unlike("exclusive key", credited, wallet.credited)]
    kept = {row["hold"]: tuple(row)[3:] for row in await tables.holds.of(key)}
    told = {each.hold: (each.state, each.amount, each.captured, each.cancelled) for each in wallet.holds.values()}
    if kept != told:
        differing = [name for name in kept.keys() | told.keys() if kept.get(name) != told.get(name)]
        findings.append(Finding(_PROOF, where, f"holds {sorted(differing)[:5]} differ"))
    decided = {row["adjustment"]: tuple(row)[3:] for row in await tables.adjustments.of(key)}
    folded_decisions = {
        name: (a.state, a.amount, a.waiting, a.reversed, a.written_off, a.bonus, a.owed, a.corrected)
        for name, a in wallet.adjustments.items()
    }
    if decided != folded_decisions:
        findings.append(Finding(_PROOF, where, f"adjustments {decided}, folded {folded_decisions}"))
    belongs = [tuple(row)[2:] for row in await tables.merged.of(key)] or [(None, None, None)]
    household = encode(wallet.household) if wallet.household is not None else None
    if belongs != [(wallet.merged_into, wallet.merged_in, household)]:
        findings.append(Finding(_PROOF, where, f"belongs to {belongs}, folded {wallet.merged_into}, {household!r}"))
    known = [tuple(row)[2:] for row in await tables.referred.of(key)]
    folded_as = (wallet.referred_by, wallet.birthday_at)
    if known != ([folded_as] if folded_as != (None, None) else []):
        findings.append(Finding(_PROOF, where, f"referrer and birthday {known}, folded {folded_as}"))
    queue = {row["journal"]: tuple(row)[3:] for row in await tables.unfunded.of(key)}
    waiting = {journal: (each.funder, each.unit, each.number) for journal, each in wallet.unfunded.items()}
    if queue != waiting:
        findings.append(Finding(_PROOF, where, f"waiting for blocks {queue}, folded {waiting}"))
    tier_faults = _tier_faults(wallet, await tables.tiers.of(key), await tables.counts.of(key))
    findings += [Finding(_PROOF, where, said) for said in tier_faults]
    books = [tuple(row)[2:] for row in await tables.segments.of(key)]
    book = wallet.segments
    if books != ([(list(book.names), encode(book.held), encode(book.past))] if book.held or book.past else []):
        findings.append(Finding(_PROOF, where, f"segments {books}, folded {book}"))
    return findings


def _counter_faults(wallet: Wallet, rows: Sequence[Any]) -> list[str]:
    """Say which counters differ, and which bonuses for what they add up lie with another journal."""
    stored = {(row["counter"], row["window_start"]): row for row in rows}
    counted = {tuple(name): counter.counted for name, counter in wallet.counters.items()}
    given = {tuple(name): counter.given_in for name, counter in wallet.counters.items()}
    return [
        *_unlike("counter", {name: row["counted"] for name, row in stored.items()}, counted),
        *_unlike("bonus", {name: row["given_in"] for name, row in stored.items()}, given),
    ]


def _unlike(what: str, stored: Mapping[Any, int], folded: Mapping[Any, int]) -> list[str]:
    """Say which figures differ; one that is not there is nothing."""
    return [
        f"{what} {name} stands at {stored.get(name, 0)}, folded {folded.get(name, 0)}"
        for name in sorted(stored.keys() | folded.keys())
        if stored.get(name, 0) != folded.get(name, 0)
    ]


def _tier_faults(wallet: Wallet, tiers: Sequence[Any], counts: Sequence[Any]) -> Iterator[str]:
    book = wallet.tiers or TierBook()
    stored = [tuple(row)[2:] for row in tiers]
    folded = [] if book.standing is None else [(book.journal, encode(book.standing), encode(book.stood))]
    if stored != folded:
        yield f"tier {stored}, folded {folded}"
    rows = {(row["grain"], row["day"], row["unit"]): row["amount"] for row in counts}
    fold = {
        (grain, day, unit): amount
        for (unit, grain), days in book.counts.items()
        for day, amount in days.items()
        if amount
    }
    if rows != fold:
        wrong = [name for name in rows.keys() | fold.keys() if rows.get(name) != fold.get(name)]
        yield f"counts {sorted(wrong)[:5]} differ"
