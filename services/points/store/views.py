"""Reads for callers: statement, lots, decisions and liability, as plain rows in the contract's shapes.

Lists go by journal number, newest first for statements; a cursor is the last number seen.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from laurel.errors import Problem
from laurel.io.database import Database
from laurel.program.standing import Stood, TierBook
from services.points.announcing import balances_of
from services.points.domain import facts as f
from services.points.domain.shared import BudgetName, Credit, KeyName, PersonName
from services.points.domain.state import Balance, Counter, CounterKey, Wallet
from services.points.store import blocks, reports, turning
from services.points.store.segmenting import book_of

# `offset 0` keeps the look at each journal's entries a look by its key: joined, they would be read from the newest on.
_STATEMENT = """
    select j.journal, j.kind, j.cause, j.partner, j.at, j.occurred_at, j.version
    from journals j
    where j.program = $1 and j.member = $2 and j.journal < $3 and ($5::text is null or j.partner = $5)
      and exists (select from entries e where e.program = j.program and e.member = j.member
                  and e.journal = j.journal offset 0)
    order by j.journal desc limit $4"""

_ENTRIES = """
    select journal, unit, account, amount from entries
    where program = $1 and member = $2 and journal = any($3::bigint[]) order by journal, entry"""

_LOTS = """
    select journal, lot, unit, rule, activity, partner, granted, remaining, held, expired, earned_at, available_at,
           expires_at, funder, version, pending
    from lots
    where program = $1 and member = $2 and (journal, lot) > ($3, $4) and ($6::text is null or partner = $6)
    order by journal, lot limit $5"""

_DECISIONS = """
    select journal, kind, cause, partner, at, occurred_at, version, facts from journals
    where program = $1 and member = $2 and journal < $3 and kind in ('activity', 'return')
      and ($5::text is null or partner = $5)
    order by journal desc limit $4"""

_BALANCES = """
    select unit, available, pending, held, owed, earned, spent, expired, reversed, adjusted, active_until,
           next_expiry_at, next_expiry_amount
    from balances where program = $1 and member = $2 order by unit"""

_TOTALS = """
    select unit, sum(earned)::bigint as granted, sum(spent)::bigint as redeemed, sum(expired)::bigint as expired,
           sum(reversed)::bigint as reversed, sum(adjusted)::bigint as adjusted,
           sum(available)::bigint as available, sum(held)::bigint as held, sum(owed)::bigint as owed,
           sum(pending)::bigint as pending
    from balances where program = $1 group by unit order by unit"""

_BY_FUNDER = """
    select unit, funder, sum(remaining)::bigint as outstanding from lots
    where program = $1 and remaining > 0 group by unit, funder order by unit, funder"""

_BY_EXPIRY_YEAR = """
    select unit, extract(year from (expires_at at time zone $2) - interval '1 day')::int as year,
           sum(remaining)::bigint as outstanding
    from lots where program = $1 and remaining > 0 group by unit, year order by unit, year"""

_WALLET = """
    select w.enrolled_at, w.attributes, w.person, t.stood, w.status, w.referred_by
    from wallets w left join tiers t on t.program = w.program and t.member = w.member
    where w.program = $1 and w.member = $2"""

# Who is a part of another account is answered for by that one.
_ACCOUNTS = """
    with recursive a as (
        select member as asked, member, status, person, merged_into
        from wallets where program = $1 and member = any($2::text[])
        union all
        select a.asked, w.member, w.status, w.person, w.merged_into
        from a join wallets w on w.program = $1 and w.member = a.merged_into)
    select asked, member, status, person from a where merged_into is null"""
_CREDITED = """
    select program, member, journal from exclusive_keys
    where exclusive_group = $1 and exclusive_key = $2 and program is not null"""

_PERSON = "select counter, window_start, counted from person_counts where program = $1 and person = $2"
_BELONGS = "select held, past from segments where program = $1 and member = $2"
_BUDGETS = "select rule, drawn from budgets where program = $1"

_COUNTERS = """
    select c.*
    from unnest($3::text[], $4::timestamptz[]) as k (counter, at)
    cross join lateral (
        select counter, window_start, window_end, unit, counted, bound, given_in from counters
        where program = $1 and member = $2 and counter = k.counter and window_start <= k.at
        order by window_start desc limit 1) c"""

_TOUCHED = """
    select count(*) as lots, count(distinct member) as members from lots
    where program = $1 and remaining > 0
      and ((unit = any($2::text[]) and not rule = any($4::text[])) or rule = any($3::text[]))"""

_EVERYBODY = "select count(*) from wallets where program = $1 and status = 'active'"

_stood = msgspec.json.Decoder(tuple[Stood, ...]).decode

_FIRST = 2**62

_TIMES = "select occurred_at, enrolled_at from wallets where program = $1 and member = $2"


class LedgerViews:
    """Answers questions, each from one unchanging snapshot. Raises the problem `member_unknown` where it applies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def statement(
        self, program: str, member: str, limit: int, cursor: int | None, partner: str | None
    ) -> dict[str, Any]:
        async with self._database.reading() as connection:
            return await statement(connection, program, member, limit, cursor, partner)

    async def lots(
        self, program: str, member: str, limit: int, cursor: tuple[int, int], partner: str | None
    ) -> dict[str, Any]:
        async with self._database.reading() as connection:
            return await lots(connection, program, member, limit, cursor, partner)

    async def touched(
        self, program: str, units: Sequence[str], rules: Sequence[str], own: Sequence[str], *, everybody: bool
    ) -> dict[str, int]:
        """Count the open lots of these units and rules, and their members; or all members there are."""
        async with self._database.reading() as connection:
            lots, members = (await connection.fetch(_TOUCHED, program, list(units), list(rules), list(own)))[0]
            if everybody:
                members = await connection.fetchval(_EVERYBODY, program)
            return {"members": members, "lots": lots}

    async def moved(
        self, program: str, as_of: datetime, after: str, limit: int
    ) -> tuple[list[tuple[str, int]], str | None]:
        async with self._database.connection() as connection:
            return await turning.moved(connection, program, as_of, after, limit)

    async def blocks(self, program: str, partner: str) -> list[dict[str, Any]]:
        """Return what a partner has paid for in advance, by unit."""
        async with self._database.reading() as connection:
            found = await blocks.of_partner(connection, program, partner)
        return [
            {"unit": unit, "units": block.units, "used": block.used, "left": block.left}
            for unit, block in found
            if block.units
        ]

    async def moved_by_payment(
        self, program: str, partner: str, reference: str, after: tuple[str, int], limit: int
    ) -> tuple[list[tuple[str, int]], tuple[str, int] | None]:
        async with self._database.connection() as connection:
            return await blocks.moved(connection, program, partner, reference, after, limit)

    async def decisions(
        self, program: str, member: str, limit: int, cursor: int | None, partner: str | None
    ) -> dict[str, Any]:
        async with self._database.reading() as connection:
            return await decisions(connection, program, member, limit, cursor, partner)

    async def balances(self, program: str, member: str, zone: ZoneInfo) -> list[dict[str, Any]]:
        async with self._database.reading() as connection:
            return await balances(connection, program, member, zone)

    async def times(self, program: str, member: str) -> dict[str, Any]:
        """Return when a member's latest activity happened, and its enrolment."""
        # One row by its key, asked at every redemption of a sandbox: a snapshot would take longer than the row.
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_TIMES, program, member)
        return {"occurred_at": row[0] if row else None, "enrolled_at": row[1] if row else None}

    async def liability(self, program: str, zone: ZoneInfo) -> dict[str, Any]:
        async with self._database.reading() as connection:
            return await liability(connection, program, zone)

    async def breakage(self, program: str) -> dict[str, Any]:
        async with self._database.reading() as connection:
            return await reports.breakage(connection, program)

    async def concentration(self, program: str, unit: str, days: tuple[date, date], top: int) -> dict[str, Any]:
        async with self._database.reading() as connection:
            return await reports.concentration(connection, program, unit, days, top)

    async def budgets(self, program: str) -> dict[BudgetName, int]:
        async with self._database.reading() as connection:
            rows = await connection.fetch(_BUDGETS, program)
        return {BudgetName(program, row["rule"]): row["drawn"] for row in rows}

    async def people(self, program: str, person: str) -> dict[PersonName, int]:
        async with self._database.reading() as connection:
            rows = await connection.fetch(_PERSON, program, person)
        return {PersonName(program, person, row["counter"], row["window_start"]): row["counted"] for row in rows}

    async def credited(self, key: KeyName) -> Credit | None:
        async with self._database.reading() as connection:
            row = await connection.fetchrow(_CREDITED, *key)
        return None if row is None else Credit(*row)

    async def accounts(self, program: str, members: Collection[str]) -> dict[str, Wallet]:
        """Return who answers for each member, as far as it is known whom an activity concerns."""
        async with self._database.reading() as connection:
            rows = await connection.fetch(_ACCOUNTS, program, list(members))
        found = {asked: Wallet(program, name, status=status, person=person) for asked, name, status, person in rows}
        return {member: found.get(member) or Wallet(program, member) for member in members}

    async def wallet(self, program: str, member: str, counters: Sequence[tuple[str, datetime]]) -> Wallet:
        async with self._database.reading() as connection:
            return await wallet(connection, program, member, counters)


async def _exists(connection: asyncpg.Connection[Any], program: str, member: str) -> None:
    row = await connection.fetchval(
        "select 1 from wallets where program = $1 and member = $2 and status <> 'unknown'", program, member
    )
    if row is None:
        raise Problem("member_unknown", "No such member")


def _page(data: list[dict[str, Any]], limit: int, cursor: str | None) -> dict[str, Any]:
    return {"data": data, "next_cursor": cursor if len(data) == limit else None}


async def statement(
    connection: asyncpg.Connection[Any], program: str, member: str, limit: int, cursor: int | None, partner: str | None
) -> dict[str, Any]:
    """Return journals with their entries, newest first. Raises the problem `member_unknown`."""
    await _exists(connection, program, member)
    journals = await connection.fetch(_STATEMENT, program, member, cursor or _FIRST, limit, partner)
    numbers = [row["journal"] for row in journals]
    entries: dict[int, list[dict[str, Any]]] = {number: [] for number in numbers}
    for row in await connection.fetch(_ENTRIES, program, member, numbers):
        entries[row["journal"]].append(
            {
                "unit": row["unit"],
                "account": row["account"],
                "amount": row["amount"],
            }
        )
    data = [
        {
            "journal": row["journal"],
            "kind": row["kind"],
            "cause": row["cause"],
            "partner": row["partner"] or None,
            "at": row["at"],
            "occurred_at": row["occurred_at"],
            "version": row["version"],
            "entries": entries[row["journal"]],
        }
        for row in journals
    ]
    return _page(data, limit, str(numbers[-1]) if numbers else None)


async def lots(
    connection: asyncpg.Connection[Any],
    program: str,
    member: str,
    limit: int,
    cursor: tuple[int, int],
    partner: str | None,
) -> dict[str, Any]:
    """Return lots in order of posting. Raises the problem `member_unknown`."""
    await _exists(connection, program, member)
    rows = await connection.fetch(_LOTS, program, member, *cursor, limit, partner)
    data = [lot_shown(row) for row in rows]
    return _page(data, limit, data[-1]["lot"] if data else None)


def lot_shown(row: asyncpg.Record) -> dict[str, Any]:
    """Return a lot in the contract's shape."""
    return {
        "lot": f"{row['journal']}.{row['lot']}",
        "unit": row["unit"],
        "rule": row["rule"],
        "activity": row["activity"],
        "partner": row["partner"],
        "state": _state(row),
        "granted": row["granted"],
        "remaining": row["remaining"],
        "held": row["held"],
        "earned_at": row["earned_at"],
        "available_at": row["available_at"],
        "expires_at": row["expires_at"],
        "funding": [{"partner": row["funder"], "amount": row["granted"]}],
        "version": row["version"],
    }


def _state(row: asyncpg.Record) -> str:
    if row["pending"] > 0:
        return "pending"
    if row["remaining"] > 0:
        return "open"
    return "expired" if row["expired"] > 0 else "spent"


async def decisions(
    connection: asyncpg.Connection[Any], program: str, member: str, limit: int, cursor: int | None, partner: str | None
) -> dict[str, Any]:
    """Return why each activity earned what it did, newest first. Raises the problem `member_unknown`."""
    await _exists(connection, program, member)
    rows = await connection.fetch(_DECISIONS, program, member, cursor or _FIRST, limit, partner)
    data = [_decision(row) for row in rows]
    return _page(data, limit, str(rows[-1]["journal"]) if rows else None)


def _decision(row: asyncpg.Record) -> dict[str, Any]:
    facts = f.decode_facts(row["facts"])
    first = facts[0]
    decision = getattr(first, "decision", ())
    return {
        "journal": row["journal"],
        "activity": row["cause"],
        "kind": row["kind"],
        "partner": row["partner"],
        "at": row["at"],
        "occurred_at": row["occurred_at"],
        "version": row["version"],
        "state": "refused" if isinstance(first, f.ActivityRefused) else "posted",
        "code": getattr(first, "code", None),
        "decision": [judged.shown() for judged in decision],
        "facts": msgspec.json.decode(row["facts"]),
        # Which rules of the version a brief decision leaves out, for whoever knows the version.
        "unlisted": first.type if isinstance(first, f.ActivityPosted) and first.brief else None,
    }


async def balances(
    connection: asyncpg.Connection[Any], program: str, member: str, zone: ZoneInfo
) -> list[dict[str, Any]]:
    """Return a member's balances in the contract's shape."""
    rows = await connection.fetch(_BALANCES, program, member)
    said = balances_of([Balance(*row) for row in rows], zone)
    return msgspec.json.decode(msgspec.json.encode(said), type=list[dict[str, Any]])


async def wallet(
    connection: asyncpg.Connection[Any], program: str, member: str, counters: Sequence[tuple[str, datetime]]
) -> Wallet:
    """Return a wallet as far as a quote needs it: attributes, totals, counters, and where the member stood when.

    Raises `member_unknown`.
    """
    await _exists(connection, program, member)
    found = Wallet(program, member)
    row = await connection.fetchrow(_WALLET, program, member)
    found.enrolled_at, attributes, found.person, stood, status, found.referred_by = row or (None,) * 6
    found.status = status or found.status
    found.attributes = msgspec.json.decode(attributes) if attributes else {}
    found.tiers = TierBook(stood=_stood(stood)) if stood else None
    found.balances = {row["unit"]: Balance(*row) for row in await connection.fetch(_BALANCES, program, member)}
    belongs = await connection.fetchrow(_BELONGS, program, member)
    if belongs is not None:
        found.segments = book_of(*belongs)
    if counters:
        names, instants = zip(*counters, strict=True)
        for counter, start, end, unit, counted, bound, given_in in await connection.fetch(
            _COUNTERS, program, member, list(names), list(instants)
        ):
            key = CounterKey(counter, start)
            found.counters[key] = Counter(counter, start, end, unit, counted, bound, given_in)
    return found


async def liability(connection: asyncpg.Connection[Any], program: str, zone: ZoneInfo) -> dict[str, Any]:
    """Return what is outstanding, from both sides (S17): by totals, and by lots for funder and year of expiry.

    Lots still outstanding sum to available + held; what members owe stands beside them.
    """
    units = {row["unit"]: dict(row) for row in await connection.fetch(_TOTALS, program)}
    for unit in units.values():
        unit["outstanding"] = unit["available"] + unit["held"] - unit["owed"]
        unit["by_funder"] = []
        unit["by_expiry_year"] = []
    for row in await connection.fetch(_BY_FUNDER, program):
        units[row["unit"]]["by_funder"].append({"partner": row["funder"], "outstanding": row["outstanding"]})
    for row in await connection.fetch(_BY_EXPIRY_YEAR, program, zone.key):
        units[row["unit"]]["by_expiry_year"].append({"year": row["year"], "outstanding": row["outstanding"]})
    return {"units": list(units.values())}
