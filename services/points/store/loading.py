"""Load: lock the wallets of a batch in one order, then read what its messages can touch, in sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from services.points.domain.asked import decode_activity
from services.points.domain.facts import (
    ActivityPosted,
    ActivityReturned,
    BonusTakenBack,
    LotName,
    LotPart,
    PendingDecided,
    PendingGivenUp,
    PersonCounted,
    PointsGranted,
    PostingCorrected,
    QualifyingCounted,
    decode_facts,
)
from services.points.domain.folding_adjustments import note_correction
from services.points.domain.paying_back import holds_named
from services.points.domain.pending_state import note_given_up, note_theirs
from services.points.domain.shared import Shared
from services.points.domain.state import BEGINNING, Adjustment, Balance, Hold, Lot, Posting, Wallet
from services.points.ports import ActivityKey, Known, Loaded, Needs, Relation, WalletKey
from services.points.store.blocks import lock_blocks, read_queue
from services.points.store.budgeting import lock_budgets
from services.points.store.counting import read_counters, read_refusals
from services.points.store.crediting import lock_keys
from services.points.store.joining import read_gone_on, read_whole
from services.points.store.limiting import lock_people
from services.points.store.pending import LOT, awaiting_lots, due_lots, ended_lots
from services.points.store.pooling import decode_household
from services.points.store.reviving import read_late
from services.points.store.segmenting import read_segments
from services.points.store.tiering import read_tiers

LOTS_AT_ONCE = 32
"""How many lots in spending order are read first for one wallet; more follow only where these do not suffice."""

_ENSURE = """
    insert into wallets (program, member, status, at, version)
    select program, member, 'unknown', $3, 0
    from unnest($1::text[], $2::text[]) as k (program, member) order by program, member
    on conflict do nothing"""

# Rows are reached key by key, in the order of the arrays: `lateral … offset 0` leaves the planner no other way, which
# matters on young tables, whose first plan is kept. The keys come sorted, so locks are taken in one order everywhere,
# and that is what prevents deadlocks.
_LOCK = """
    select w.*
    from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        select program, member, status, at, version, enrolled_at, person, attributes, hold_expires_at, occurred_at,
               turned_to, merged_into, merged_in, household, converts_at, releases_at, referred_by, birthday_at
        from wallets
        where program = k.program and member = k.member offset 0 for update) w"""

_BALANCES = """
    select b.*
    from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        select program, member, unit, available, pending, held, owed, earned, spent, expired,
               reversed, adjusted, active_until, next_expiry_at, next_expiry_amount
        from balances where program = k.program and member = k.member offset 0) b"""

_KNOWN = """
    select a.*
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, partner, activity)
    cross join lateral (
        select program, partner, activity, member, journal, hash, code from activities
        where program = k.program and partner = k.partner and activity = k.activity offset 0) a"""

_JOURNALS = """
    select j.*
    from unnest($1::text[], $2::text[], $3::bigint[]) as k (program, member, journal)
    cross join lateral (
        select program, member, journal, facts, body from journals
        where program = k.program and member = k.member and journal = k.journal offset 0) j"""

_RETURNS = """
    select j.*, k.journal as of_journal
    from unnest($1::text[], $2::text[], $3::bigint[]) as k (program, member, journal)
    cross join lateral (
        select program, member, journal from returns
        where program = k.program and member = k.member and of_journal = k.journal
        order by journal offset 0) r
    cross join lateral (
        select program, member, journal, facts from journals
        where program = r.program and member = r.member and journal = r.journal offset 0) j"""

_LOTS_OF_JOURNALS = f"""
    select {LOT}
    from unnest($1::text[], $2::text[], $3::bigint[]) as k (program, member, journal)
    cross join lateral (
        select * from lots where program = k.program and member = k.member and journal = k.journal offset 0) l"""

_LOTS_SPENDABLE = f"""
    select {LOT}
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, unit)
    cross join lateral (
        select * from lots
        where program = k.program and member = k.member and unit = k.unit and remaining > held
        order by expires_at, earned_at, journal, lot limit $4) l"""

# Lots without a date of their own end with the member's inactivity; the caller decides, here they are all due.
# A question whether such a balance exists would be answered from a list of all balances.
_LOTS_DUE = f"""
    select {LOT}
    from unnest($1::text[], $2::text[], $3::timestamptz[]) as k (program, member, until)
    cross join lateral (
        select * from lots
        where program = k.program and member = k.member and remaining > held and coalesce(expires_at, (
            select active_until from balances b
            where b.program = lots.program and b.member = lots.member and b.unit = lots.unit)) <= k.until offset 0) l"""

_HOLDS = """
    select h.*
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, hold)
    cross join lateral (
        select program, member, hold, unit, amount, state, saga, parts, expires_at, partner, reference, captured,
               cancelled, waits_until
        from holds where program = k.program and member = k.member and hold = k.hold offset 0) h"""

_ADJUSTMENTS = """
    select a.*
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, adjustment)
    cross join lateral (
        select program, member, adjustment, unit, amount, state, reason, partner, expires_at, waiting, corrects,
               corrected, journal, reversed, written_off, bonus, owed
        from adjustments where program = k.program and member = k.member and adjustment = k.adjustment offset 0) a"""

_HOLDS_DUE = """
    select h.*
    from unnest($1::text[], $2::text[], $3::timestamptz[]) as k (program, member, until)
    cross join lateral (
        select program, member, hold, unit, amount, state, saga, parts, expires_at, partner, reference, captured,
               cancelled, waits_until
        from holds
        where program = k.program and member = k.member and state = 'held' and expires_at is not null
          and expires_at <= k.until offset 0) h"""

_CLOCKS = "select program, max(as_of) from turns where program = any($1::text[]) and done group by program"

_parts = msgspec.json.Decoder(tuple[LotPart, ...])


async def load(connection: asyncpg.Connection[Any], needs: Needs) -> Loaded:
    """Lock and read what `needs` names; wallets that nobody enrolled come back empty, and locked all the same."""
    wallets = await _lock(connection, needs)
    await _read_balances(connection, wallets)
    _add_lots(wallets, await ended_lots(connection, needs, wallets))
    known = await _read_known(connection, needs.activities | set(needs.originals))
    whole = await _read_originals(connection, needs, wallets, known)
    await read_counters(connection, needs, wallets)
    await _read_bonuses(connection, needs, wallets, whole)
    if needs.tiers:
        await read_tiers(connection, needs, wallets)
    if needs.segments:
        await read_segments(connection, needs, wallets)
    await _read_holds(connection, needs, wallets)
    await _read_adjustments(connection, needs, wallets)
    await _read_due(connection, needs, wallets)
    _want_converted(needs, wallets)
    for lots, holds in await read_whole(connection, needs, wallets):
        _add_lots(wallets, lots)
        await _add_holds(connection, wallets, holds)
    _add_gone_on(wallets, await read_gone_on(connection, wallets))
    if needs.late:
        _add_lots(wallets, await read_late(connection, needs, wallets))
    if needs.awaiting:
        _add_lots(wallets, await awaiting_lots(connection, needs, wallets))
    await read_queue(connection, needs, wallets)
    await _read_spendable(connection, needs, wallets)
    # What is shared is locked last, table by table in the order of their names.
    blocks = await lock_blocks(connection, needs.blocks)
    budgets = await lock_budgets(connection, needs.budgets)
    keys = await lock_keys(connection, needs.keys)
    people = await lock_people(connection, needs, wallets) if needs.people or needs.originals or needs.journals else {}
    clocks = await connection.fetch(_CLOCKS, sorted(needs.clocks)) if needs.clocks else []
    return Loaded(wallets, known, Shared(keys, budgets, people, blocks), dict(clocks))


_RELATIONS = """
    select w.*
    from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        select program, member, referred_by, attributes from wallets
        where program = k.program and member = k.member offset 0) w"""


async def relations(connection: asyncpg.Connection[Any], wallets: Sequence[WalletKey]) -> dict[WalletKey, Relation]:
    """Read whom members bring along, without locking anything."""
    rows = await connection.fetch(_RELATIONS, *_columns(wallets, 2))
    return {
        WalletKey(program, member): Relation(member, referred_by, msgspec.json.decode(attributes) if attributes else {})
        for program, member, referred_by, attributes in rows
    }


def _columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]


async def _lock(connection: asyncpg.Connection[Any], needs: Needs) -> dict[WalletKey, Wallet]:
    if needs.enrolling:
        await connection.execute(_ENSURE, *_columns(sorted(needs.enrolling), 2), BEGINNING)
    wallets = {}
    for row in await connection.fetch(_LOCK, *_columns(sorted(needs.wallets), 2)):
        program, member, status, at, version, enrolled_at, person, attributes, *times = row
        wallets[WalletKey(program, member)] = Wallet(
            program,
            member,
            status,
            at,
            version,
            enrolled_at,
            person,
            msgspec.json.decode(attributes) if attributes else {},
        )
        wallet = wallets[WalletKey(program, member)]
        wallet.hold_expires_at, wallet.occurred_at, wallet.turned_to, wallet.merged_into, wallet.merged_in = times[:5]
        wallet.household = decode_household(times[5]) if times[5] else None
        wallet.converts_at, wallet.releases_at, wallet.referred_by, wallet.birthday_at = times[6:]
    missing = needs.wallets - wallets.keys()
    if missing:
        # Only a message that was not preceded by an enrolment comes here; its refusal needs a row to number it.
        await connection.execute(_ENSURE, *_columns(sorted(missing), 2), BEGINNING)
        wallets |= await _lock(connection, Needs(wallets=missing))
    return wallets


async def _read_balances(connection: asyncpg.Connection[Any], wallets: dict[WalletKey, Wallet]) -> None:
    seen = [key for key, wallet in wallets.items() if wallet.version]
    if not seen:
        return
    for program, member, *totals in await connection.fetch(_BALANCES, *_columns(seen, 2)):
        balance = Balance(*totals)
        wallets[WalletKey(program, member)].balances[balance.unit] = balance


async def _read_known(connection: asyncpg.Connection[Any], keys: set[ActivityKey]) -> dict[ActivityKey, Known]:
    if not keys:
        return {}
    rows = await connection.fetch(_KNOWN, *_columns(list(keys), 3))
    return {
        ActivityKey(program, partner, activity): Known(member, journal, hash_, code)
        for program, partner, activity, member, journal, hash_, code in rows
    }


async def _read_originals(
    connection: asyncpg.Connection[Any],
    needs: Needs,
    wallets: dict[WalletKey, Wallet],
    known: dict[ActivityKey, Known],
) -> set[tuple[str, str, int]]:
    """Read, for each return, the original with its facts, lots and earlier returns, and lots that could pay.

    Return which they are.
    """
    found = [
        (*wallet, known[key].journal)
        for key, wallet in needs.originals.items()
        if key in known and known[key].code is None and known[key].member == wallet.member
    ]
    found += sorted(needs.journals - set(found))
    if found:
        await _read_postings(connection, needs, wallets, found)
    return set(found)


async def _read_bonuses(
    connection: asyncpg.Connection[Any],
    needs: Needs,
    wallets: dict[WalletKey, Wallet],
    whole: set[tuple[str, str, int]],
) -> None:
    """Read the activities with which bonuses lie that may go back with what a return takes, but those read already.

    One that was read for what was refused to it was not read with what has come back of it.
    """
    found = {
        (*key, counter.given_in)
        for key, wallet in wallets.items()
        if wallet.postings
        for counter in wallet.counters.values()
        if counter.given_in > 0
    } - whole
    if found:
        await _read_postings(connection, needs, wallets, sorted(found))
        await read_counters(connection, needs, wallets)


async def _read_postings(
    connection: asyncpg.Connection[Any],
    needs: Needs,
    wallets: dict[WalletKey, Wallet],
    found: Sequence[tuple[str, str, int]],
) -> None:
    columns = _columns(found, 3)
    postings: dict[tuple[str, str, int], Posting] = {}
    for program, member, journal, facts, body in await connection.fetch(_JOURNALS, *columns):
        # The journal of a share has no body: that lies with the activity's own.
        posting = _add_original(needs, wallets[WalletKey(program, member)], journal, facts, body or b"")
        if posting is not None:
            postings[program, member, journal] = posting
    lots = set(found)
    for program, member, journal, facts, of_journal in await connection.fetch(_RETURNS, *columns):
        posting = postings[program, member, of_journal]
        for fact in decode_facts(facts):
            # The journal of a return that refilled this activity has returned another one, and not this.
            if isinstance(fact, ActivityReturned) and fact.of_journal == of_journal:
                posting.take(fact)
            elif isinstance(fact, PostingCorrected):
                note_correction(wallets[WalletKey(program, member)], fact)
            elif isinstance(fact, PendingGivenUp) and fact.posted_in == of_journal:
                note_given_up(wallets[WalletKey(program, member)], fact)
            elif isinstance(fact, PendingDecided) and fact.of_journal == of_journal:
                note_theirs(wallets[WalletKey(program, member)], fact)
            elif isinstance(fact, BonusTakenBack) and fact.of_journal == of_journal:
                posting.lose_bonus(fact)
            elif isinstance(fact, PointsGranted) and fact.of_journal == of_journal:
                posting.take(fact)
                lots.add((program, member, journal))
                want = (program, member, fact.unit)
                needs.spending[want] = needs.spending.get(want, 0) + fact.amount
    _add_lots(wallets, await connection.fetch(_LOTS_OF_JOURNALS, *_columns(list(lots), 3)))
    refilled = await read_refusals(connection, needs, wallets, postings)
    if refilled:
        _add_lots(wallets, await connection.fetch(_LOTS_OF_JOURNALS, *_columns(refilled, 3)))


def _add_original(needs: Needs, wallet: Wallet, journal: int, facts: bytes, body: bytes) -> Posting | None:
    """Take an original, with what it counted towards tiers; its return may take all that it granted."""
    posting = None
    for fact in decode_facts(facts):
        if isinstance(fact, ActivityPosted):
            posting = wallet.postings[fact.partner, fact.activity] = Posting.of(journal, fact, body)
            if b'"tenders"' in body:
                named = holds_named(decode_activity(body))
                needs.holds |= {(wallet.program, wallet.member, hold) for hold in named}
            for judged in fact.decision:
                if judged.amount:
                    want = (wallet.program, wallet.member, judged.unit)
                    needs.spending[want] = needs.spending.get(want, 0) + judged.amount
        elif isinstance(fact, QualifyingCounted | PersonCounted) and posting is not None:
            posting.take(fact)
    return posting


async def _read_holds(connection: asyncpg.Connection[Any], needs: Needs, wallets: dict[WalletKey, Wallet]) -> None:
    if not needs.holds:
        return
    await _add_holds(connection, wallets, await connection.fetch(_HOLDS, *_columns(list(needs.holds), 3)))


async def _read_adjustments(
    connection: asyncpg.Connection[Any], needs: Needs, wallets: dict[WalletKey, Wallet]
) -> None:
    """Read adjustments with the lots that they made; what waits may be taken from lots that could pay."""
    if not needs.adjustments:
        return
    made: set[tuple[str, str, int]] = set()
    for program, member, *fields in await connection.fetch(_ADJUSTMENTS, *_columns(list(needs.adjustments), 3)):
        adjustment = Adjustment(*fields)
        wallets[WalletKey(program, member)].adjustments[adjustment.adjustment] = adjustment
        made.add((program, member, adjustment.journal))
        if adjustment.waiting:
            want = (program, member, adjustment.unit)
            needs.spending[want] = needs.spending.get(want, 0) + abs(adjustment.waiting)
    if made:
        _add_lots(wallets, await connection.fetch(_LOTS_OF_JOURNALS, *_columns(list(made), 3)))


async def _add_holds(
    connection: asyncpg.Connection[Any], wallets: dict[WalletKey, Wallet], rows: Sequence[Sequence[Any]]
) -> None:
    """Take holds, with the lots that they are made of."""
    lots: set[tuple[str, str, int]] = set()
    for program, member, hold, unit, amount, state, saga, parts, *ends in rows:
        decoded = _parts.decode(parts)
        wallets[WalletKey(program, member)].holds[hold] = Hold(hold, unit, amount, state, decoded, saga, *ends)
        lots |= {(program, member, part.name.journal) for part in decoded}
    if lots:
        _add_lots(wallets, await connection.fetch(_LOTS_OF_JOURNALS, *_columns(list(lots), 3)))


async def _read_spendable(connection: asyncpg.Connection[Any], needs: Needs, wallets: dict[WalletKey, Wallet]) -> None:
    """Read lots in spending order until their sum covers what may be asked, or there are no more.

    What falls due first cannot be spent, so it is read on top.
    """
    wanted: dict[tuple[str, str, str], int] = {}
    for (program, member, unit), amount in needs.spending.items():
        wallet = wallets[WalletKey(program, member)]
        available = wallet.balance(unit).available
        if available > 0:
            due = sum(lot.free for lot in wallet.lots.values() if lot.unit == unit)
            wanted[program, member, unit] = min(amount + due, available)
    limit = LOTS_AT_ONCE
    while wanted:
        rows = await connection.fetch(_LOTS_SPENDABLE, *_columns(list(wanted), 3), limit)
        _add_lots(wallets, rows)
        sums: dict[tuple[str, str, str], int] = dict.fromkeys(wanted, 0)
        for row in rows:
            sums[row["program"], row["member"], row["unit"]] += row["remaining"] - row["held"]
        wanted = {want: amount for want, amount in wanted.items() if sums[want] < amount}
        limit *= 4


async def _read_due(connection: asyncpg.Connection[Any], needs: Needs, wallets: dict[WalletKey, Wallet]) -> None:
    due = [
        (key.program, key.member, until)
        for key, until in needs.until.items()
        if (next_due_at := wallets[key].next_due_at) is not None and next_due_at <= until
    ]
    ending = [each for each in due if _ends(wallets[WalletKey(*each[:2])], each[2])]
    if ending:
        _add_lots(wallets, await connection.fetch(_LOTS_DUE, *_columns(ending, 3)))
    if due:
        ripe = [each for each in due if _releases(wallets[WalletKey(*each[:2])], each[2])]
        if ripe:
            _add_lots(wallets, await due_lots(connection, ripe))
        holding = [each for each in due if _times_out(wallets[WalletKey(*each[:2])], each[2])]
        if holding:
            await _add_holds(connection, wallets, await connection.fetch(_HOLDS_DUE, *_columns(holding, 3)))


def _want_converted(needs: Needs, wallets: dict[WalletKey, Wallet]) -> None:
    """Ask for all that can be spent where it may become a voucher; what a hold gives back may make it enough."""
    for key in needs.converting:
        wallet, until = wallets[key], needs.until[key]
        looks = (wallet.converts_at, wallet.hold_expires_at, wallet.releases_at)
        if any(look is not None and look <= until for look in looks):
            for balance in wallet.balances.values():
                needs.spending[*key, balance.unit] = balance.available


def _ends(wallet: Wallet, until: datetime) -> bool:
    """Say whether a lot may end by then. What open holds give back is loaded with them, whenever it ends."""
    return any(
        end is not None and end <= until
        for balance in wallet.balances.values()
        for end in (balance.next_expiry_at, balance.active_until)
    )


def _releases(wallet: Wallet, until: datetime) -> bool:
    return wallet.releases_at is not None and wallet.releases_at <= until


def _times_out(wallet: Wallet, until: datetime) -> bool:
    return wallet.hold_expires_at is not None and wallet.hold_expires_at <= until


def _add_gone_on(wallets: dict[WalletKey, Wallet], gone_on: Mapping[WalletKey, Sequence[Sequence[Any]]]) -> None:
    """Let wallets know what became of their lots: each is a lot of the one in which it lies."""
    for key, rows in gone_on.items():
        _add_lots(wallets, rows)
        for row in rows:
            lot = wallets[WalletKey(row[0], row[1])].lots[LotName(row[2], row[3])]
            wallets[key].gone_on.append((row[1], lot))


def _add_lots(wallets: dict[WalletKey, Wallet], rows: Sequence[Sequence[Any]]) -> None:
    for row in rows:
        lots, name = wallets[WalletKey(row[0], row[1])].lots, LotName(row[2], row[3])
        if name not in lots:
            lots[name] = _lot(name, row)


def _lot(name: LotName, row: Sequence[Any]) -> Lot:
    unit, rule, activity, partner, granted, remaining, held, expired = row[4:12]
    earned_at, available_at, expires_at, funder, version, pending, awaits, unfunded = row[12:]
    return Lot(
        name,
        unit,
        rule,
        activity,
        partner,
        granted,
        remaining,
        held,
        earned_at,
        available_at,
        expires_at,
        funder,
        version,
        expired,
        pending,
        awaits,
        unfunded,
    )
