"""What came of requests, written in sets: request rows, member summaries, redemptions, rewards, batch counts.

Whoever hears first writes first, an instance that answers a waiting caller or the projector. Requests are guarded
by their state, summaries by the place of their event, so the second writer changes nothing. Rows are taken in one
order everywhere: requests, members, redemptions, details of members, operations, rewards, batches. The first three are
one statement, of whose parts PostgreSQL promises no order: writers that meet in a circle are told so, and run again.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from laurel.errors import PROBLEMS
from laurel.io.together import counted_from
from services.gateway.naming import CLAIM, CLOCK, MEMBER, OPERATOR, Correlation, RequestKey
from services.gateway.store import audit, details, people
from services.gateway.store.audit import AuditRow, digest
from services.gateway.told.telling import (
    PENDING,
    POSTED,
    TOLD_IN,
    DeedSeen,
    MergeSeen,
    OperationSeen,
    Outcome,
    RedemptionSeen,
    RewardSeen,
    ShareSeen,
    Summary,
    Told,
    TurnSeen,
    Undone,
    told_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from laurel.io.database import Connection

# One statement, so that a single outcome at the till costs few round trips. What looks like an insert only updates:
# each row is looked up first, and meets itself by its primary key. An `update … from unnest` would be planned by
# what is known of the table, which of a young one is nothing, and compare every row with every key.
# The arrays are sorted, so two writers lock rows in the same order. `delayed` stays: it tells whether the line was
# counted as such.
_ANSWERED = """
    with answered as (
        insert into requests as r (program, kind, partner, id, attempt, hash, state, code, outcome, created_at,
            answered_at)
        select o.program, o.kind, o.partner, o.id, o.attempt, q.hash, o.state, o.code, o.outcome, q.created_at, $15
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int4[], $6::text[], $7::text[], $8::bytea[])
            as o(program, kind, partner, id, attempt, state, code, outcome)
        cross join lateral (
            select hash, created_at from requests p
            where p.program = o.program and p.kind = o.kind and p.partner = o.partner and p.id = o.id
                and p.attempt = o.attempt and p.state = 'pending'
            offset 0
        ) q
        on conflict (program, kind, partner, id) do update
        set state = excluded.state, code = excluded.code, outcome = excluded.outcome,
            answered_at = excluded.answered_at
        where r.attempt = excluded.attempt and r.state = 'pending'
        returning r.program, r.kind, r.partner, r.id, r.attempt, r.batch, r.line, r.delayed
    )"""
_SEEN = """
    seen as (
        insert into members as m (program, member, status, enrolled_at, attributes, tier, balances, version, epoch,
            sequence, created_at)
        select s.program, s.member, q.status, q.enrolled_at, q.attributes, s.tier, s.balances, s.version, s.epoch,
            s.sequence, q.created_at
        from unnest($9::text[], $10::text[], $11::int4[], $12::int8[], $13::int8[], $14::bytea[], $16::bytea[])
            as s(program, member, epoch, sequence, version, balances, tier)
        cross join lateral (
            select status, enrolled_at, attributes, created_at from members p
            where p.program = s.program and p.member = s.member and (p.epoch, p.sequence) < (s.epoch, s.sequence)
            offset 0
        ) q
        on conflict (program, member) do update
        set epoch = excluded.epoch, sequence = excluded.sequence,
            version = case when m.epoch < excluded.epoch then excluded.version
                else greatest(m.version, excluded.version) end,
            balances = case when m.epoch < excluded.epoch or m.version <= excluded.version
                then coalesce(excluded.balances, m.balances) else m.balances end,
            tier = case when m.epoch < excluded.epoch or m.version <= excluded.version
                then coalesce(excluded.tier, m.tier) else m.tier end,
            status = case when m.status = 'pending' and excluded.version > 0 then 'active' else m.status end
        where (m.epoch, m.sequence) < (excluded.epoch, excluded.sequence)
    )
    select program, kind, partner, id, attempt, batch, line, delayed from answered where batch is not null
"""
_REDEMPTIONS = """
    insert into redemptions as r (program, redemption, partner, member, reward, request, state, body, epoch, sequence,
        created_at)
    select s.program, s.redemption, q.partner, q.member, q.reward, q.request, s.state, s.body, s.epoch, s.sequence,
        q.created_at
    from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::int4[], $6::int8[])
        as s(program, redemption, state, body, epoch, sequence)
    cross join lateral (
        select partner, member, reward, request, created_at from redemptions p
        where p.program = s.program and p.redemption = s.redemption offset 0
    ) q
    on conflict (program, redemption) do update
    set state = excluded.state, body = excluded.body, epoch = excluded.epoch, sequence = excluded.sequence
    where (r.epoch, r.sequence) < (excluded.epoch, excluded.sequence)
"""
_RECORD = f"{_ANSWERED}, {_SEEN}"
_RECORD_REDEMPTIONS = f"{_ANSWERED}, redeemed as ({counted_from(16, _REDEMPTIONS)}), {_SEEN}"


def is_one_statement(told: Sequence[Told]) -> bool:
    """Say whether `record` writes this by a single statement, which needs no transaction around it.

    Only of requests that no batch made: those are also counted.
    """
    return all(
        each.also is None
        and not each.shares
        and (each.outcome is None or each.outcome.correlation.key.kind != CLAIM)
        and (each.outcome is None or each.outcome.state != PENDING)
        and each.operation is None
        and each.merged is None
        and each.turned is None
        and not each.details
        and each.closed is None
        and not each.erased
        and each.reward is None
        and each.parked is None
        and each.deed is None
        and each.undone is None
        and (each.outcome is None or each.outcome.state == POSTED or each.outcome.correlation.key.kind != MEMBER)
        for each in told
    )


async def record(connection: Connection, told: Sequence[Told], at: datetime) -> bool:
    """Write everything that these messages tell, in the caller's transaction; tell whether a batch got on."""
    outcomes: dict[Correlation, Outcome] = {}
    for each in told:
        if each.outcome is not None and each.outcome.state != PENDING:
            outcomes.setdefault(each.outcome.correlation, each.outcome)
        if each.also is not None:
            outcomes.setdefault(each.also.correlation, each.also)
    waiting = {
        each.outcome.correlation: each.outcome for each in told if each.outcome and each.outcome.state == PENDING
    }
    delayed = await _delayed(connection, {each.parked for each in told if each.parked is not None} | waiting.keys())
    await _show(connection, list(waiting.values()))
    ordered = [outcomes[correlation] for correlation in sorted(outcomes)]
    columns = (*_outcome_columns(ordered), *_summary_columns(told, at))
    redemptions = [each.redemption for each in told if each.redemption is not None]
    if redemptions:
        rows = await connection.fetch(_RECORD_REDEMPTIONS, *columns, *_redemption_columns(redemptions))
    else:
        rows = await connection.fetch(_RECORD, *columns)
    await _undone(connection, [each.undone for each in told if each.undone is not None])
    await _claimed(connection, [each.correlation for each in ordered if each.correlation.key.kind == CLAIM])
    await _show_shares(connection, [share for each in told for share in each.shares])
    await _disenrol(connection, [each for each in ordered if each.correlation.key.kind == MEMBER])
    await details.close(connection, [each.closed for each in told if each.closed is not None])
    erased = [member for each in told for member in each.erased]
    await people.forget(connection, erased)
    await details.keep(connection, [detail for each in told for detail in each.details])
    await _merged(connection, [each.merged for each in told if each.merged is not None])
    await _operations(connection, [each.operation for each in told if each.operation is not None])
    await people.forget_notes(connection, erased)
    await _rewards(connection, [each.reward for each in told if each.reward is not None], at)
    await _turned(connection, [each.turned for each in told if each.turned is not None])
    await _not_turned(connection, [each for each in ordered if each.correlation.key.kind == CLOCK])
    await audit.add(connection, [_noted(each.deed) for each in told if each.deed is not None])
    if rows or delayed:
        await _count(connection, rows, outcomes, delayed)
    return bool(rows or delayed)


def _noted(deed: DeedSeen) -> AuditRow:
    """A deed in the audit: no key did it, but whoever may reach the database."""
    after = digest(deed.note) if deed.note else None
    return AuditRow(
        deed.id, deed.at, f"dead:{deed.actor}", OPERATOR, deed.program or None, deed.action, deed.target, deed.message,
        None, after,
    )  # fmt: skip


def _outcome_columns(outcomes: Sequence[Outcome]) -> tuple[list[Any], ...]:
    return (
        [each.correlation.key.program for each in outcomes],
        [each.correlation.key.kind for each in outcomes],
        [each.correlation.key.partner for each in outcomes],
        [each.correlation.key.id for each in outcomes],
        [each.correlation.attempt for each in outcomes],
        [each.state for each in outcomes],
        [each.code for each in outcomes],
        [each.body for each in outcomes],
    )


def _summary_columns(told: Sequence[Told], at: datetime) -> tuple[Any, ...]:
    latest: dict[tuple[str, str], Summary] = {}
    for each in told:
        summary = each.summary
        if summary is None:
            continue
        key = (summary.program, summary.member)
        before = latest.get(key)
        if before is None or _order(before) < _order(summary):
            latest[key] = summary if before is None else _over(before, summary)
    summaries = [latest[key] for key in sorted(latest)]
    return (
        [each.program for each in summaries],
        [each.member for each in summaries],
        [each.place.epoch for each in summaries],
        [each.place.sequence for each in summaries],
        [each.version for each in summaries],
        [each.balances for each in summaries],
        at,
        [each.tier for each in summaries],
    )


def _order(summary: Summary) -> tuple[int, int]:
    return (summary.place.epoch, summary.place.sequence)


def _over(before: Summary, summary: Summary) -> Summary:
    """The later of two summaries, with what only the earlier one says."""
    return Summary(
        summary.program,
        summary.member,
        summary.place,
        summary.version,
        before.balances if summary.balances is None else summary.balances,
        before.tier if summary.tier is None else summary.tier,
    )


# After the outcomes: the use itself may be among them.
_UNDONE = """
    update requests set state = 'refused', code = $5, outcome = $6
    where program = $1 and kind = $2 and partner = $3 and id = $4 and state = 'posted'
"""


async def _undone(connection: Connection, undone: Sequence[Undone]) -> None:
    """Have what is no more be answered as such, whoever asked for it."""
    for each in sorted(undone, key=lambda one: one.key):
        await connection.execute(_UNDONE, *each.key, each.code, each.body)


# What was reported without a member is the claimer's from now on, and shows what it earned.
_CLAIMED = """
    update requests a set member = c.member, outcome = c.outcome
    from requests c
    where c.program = $1 and c.kind = 'claim' and c.partner = $2 and c.id = $3 and c.state = 'posted'
      and a.program = c.program and a.kind = 'activity' and a.partner = c.partner and a.id = c.id and a.member is null
"""


async def _claimed(connection: Connection, claims: Sequence[Correlation]) -> None:
    for each in claims:
        await connection.execute(_CLAIMED, each.key.program, each.key.partner, each.key.id)


# The place stays: the member's own event is still to come, and says the same or more.
_SHARES = """
    update members set balances = $4, tier = coalesce($5, tier), version = $3
    where program = $1 and member = $2 and version < $3
"""


async def _show_shares(connection: Connection, shares: Sequence[ShareSeen]) -> None:
    """Show how the wallets of others stand, of whom an event of a member has told beforehand."""
    for each in sorted(shares, key=lambda share: (share.program, share.member, share.version)):
        await connection.execute(_SHARES, each.program, each.member, each.version, each.balances, each.tier)


_DISENROL = "delete from members where program = $1 and member = $2 and status = 'pending' returning member"
_DISENROL_IDENTIFIERS = "delete from identifiers where program = $1 and member = $2"


async def _disenrol(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """An enrolment that was given up leaves its id and identifiers free."""
    for outcome in outcomes:
        key = outcome.correlation.key
        if outcome.state != POSTED and await connection.fetchval(_DISENROL, key.program, key.id):
            await connection.execute(_DISENROL_IDENTIFIERS, key.program, key.id)


def _redemption_columns(seen: Sequence[RedemptionSeen]) -> tuple[list[Any], ...]:
    latest: dict[tuple[str, str], RedemptionSeen] = {}
    for each in seen:
        key = (each.program, each.redemption)
        before = latest.get(key)
        if before is None or _placed(before) < _placed(each):
            latest[key] = each
    rows = [latest[key] for key in sorted(latest)]
    return (
        [each.program for each in rows],
        [each.redemption for each in rows],
        [each.state for each in rows],
        [each.body for each in rows],
        [each.place.epoch for each in rows],
        [each.place.sequence for each in rows],
    )


_REWARDS = """
    insert into rewards as r (program, reward, document, epoch, sequence, published_at)
    values ($1, $2, $3, $4, $5, $6)
    on conflict (program, reward) do update
    set document = excluded.document, epoch = excluded.epoch, sequence = excluded.sequence,
        published_at = excluded.published_at
    where (r.epoch, r.sequence) < (excluded.epoch, excluded.sequence)
"""


async def _rewards(connection: Connection, seen: Sequence[RewardSeen], at: datetime) -> None:
    for each in sorted(seen, key=lambda reward: (reward.program, reward.reward, *_placed(reward))):
        await connection.execute(
            _REWARDS, each.program, each.reward, each.document, each.place.epoch, each.place.sequence, at
        )


SET_OPERATIONS = """
    insert into operations as o (program, kind, id, partner, member, request, state, body, epoch, sequence, created_at)
    select s.program, s.kind, s.id, q.partner, q.member, q.request, s.state, s.body, s.epoch, s.sequence, q.created_at
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::int4[], $7::int8[])
        as s(program, kind, id, state, body, epoch, sequence)
    cross join lateral (
        select partner, member, request, created_at from operations p
        where p.program = s.program and p.kind = s.kind and p.id = s.id offset 0
    ) q
    on conflict (program, kind, id) do update
    set state = excluded.state, body = excluded.body, epoch = excluded.epoch, sequence = excluded.sequence
"""
"""How operations stand, of those that are there, whatever was known before."""
_OPERATIONS = f"{SET_OPERATIONS} where (o.epoch, o.sequence) < (excluded.epoch, excluded.sequence)"


async def _operations(connection: Connection, seen: Sequence[OperationSeen]) -> None:
    latest: dict[tuple[str, str, str], OperationSeen] = {}
    for each in seen:
        key = (each.program, each.kind, each.id)
        before = latest.get(key)
        if before is None or _placed(before) < _placed(each):
            latest[key] = each
    if not latest:
        return
    rows = [latest[key] for key in sorted(latest)]
    await connection.execute(
        _OPERATIONS,
        [each.program for each in rows],
        [each.kind for each in rows],
        [each.id for each in rows],
        [each.state for each in rows],
        [each.body for each in rows],
        [each.place.epoch for each in rows],
        [each.place.sequence for each in rows],
    )


def _placed(seen: RedemptionSeen | OperationSeen | RewardSeen) -> tuple[int, int]:
    return (seen.place.epoch, seen.place.sequence)


_MERGED = """
    update members set merged_into = $3, status = case when $3::text is null then 'active' else 'merged' end,
        merged_epoch = $4, merged_sequence = $5
    where program = $1 and member = $2 and (merged_epoch, merged_sequence) < ($4, $5)
"""


async def _merged(connection: Connection, seen: Sequence[MergeSeen]) -> None:
    """Note of which account a member is a part; an older event than the one that was heard changes nothing."""
    for each in sorted(seen, key=lambda one: (one.program, one.member, one.place.epoch, one.place.sequence)):
        place = each.place
        await connection.execute(_MERGED, each.program, each.member, each.into, place.epoch, place.sequence)


_TURNED = "update programs set turned = $3 where program = $1 and turning_to = $2"
_NOT_TURNED = "update programs set turning_to = null, turned = null where program = $1 and turning_to = $2"


async def _turned(connection: Connection, seen: Sequence[TurnSeen]) -> None:
    """Note that points is done; the clock is turned here when all that this moved is shown, which others see to."""
    for each in sorted(seen, key=lambda turn: (turn.program, turn.as_of)):
        await connection.execute(_TURNED, each.program, each.as_of, each.body)


async def _not_turned(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """A turn that was given up lets the program go on where its clock stood."""
    for outcome in outcomes:
        if outcome.state != POSTED:
            as_of = datetime.fromisoformat(outcome.correlation.key.id)
            await connection.execute(_NOT_TURNED, outcome.correlation.key.program, as_of)


# Like the outcomes: each row is looked up first, and meets itself by its primary key.
_DELAYED = """
    insert into requests as r (program, kind, partner, id, attempt, hash, state, created_at)
    select k.program, k.kind, k.partner, k.id, k.attempt, q.hash, q.state, q.created_at
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int4[]) as k(program, kind, partner, id, attempt)
    cross join lateral (
        select hash, state, created_at from requests p
        where p.program = k.program and p.kind = k.kind and p.partner = k.partner and p.id = k.id
            and p.attempt = k.attempt and p.state = 'pending' and not p.delayed
        offset 0
    ) q
    on conflict (program, kind, partner, id) do update set delayed = true
    where r.attempt = excluded.attempt and r.state = 'pending' and not r.delayed
    returning r.program, r.batch
"""


_SHOW = """
    insert into requests as r (program, kind, partner, id, attempt, hash, state, outcome, created_at)
    select k.program, k.kind, k.partner, k.id, k.attempt, q.hash, q.state, k.outcome, q.created_at
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int4[], $6::bytea[])
        as k(program, kind, partner, id, attempt, outcome)
    cross join lateral (
        select hash, state, created_at from requests p
        where p.program = k.program and p.kind = k.kind and p.partner = k.partner and p.id = k.id
            and p.attempt = k.attempt and p.state = 'pending' and p.outcome is null
        offset 0
    ) q
    on conflict (program, kind, partner, id) do update set outcome = excluded.outcome
    where r.attempt = excluded.attempt and r.state = 'pending' and r.outcome is null
"""


async def _show(connection: Connection, waiting: Sequence[Outcome]) -> None:
    """Keep what is to be shown of requests whose outcome waits for something; they do not hold up their batch."""
    if waiting:
        ordered = sorted(waiting, key=lambda each: each.correlation)
        rows = [(*each.correlation.key, each.correlation.attempt, each.body) for each in ordered]
        await connection.execute(_SHOW, *_columns(rows))


# An enrolment has no row among the requests.
_DELAYED_MEMBER = "update members set delayed = true where program = $1 and member = $2 and status = 'pending'"


async def _delayed(connection: Connection, parked: Collection[Correlation]) -> list[tuple[str, str]]:
    """Note which requests wait for something parked; answers the (program, batch) of each that is a line."""
    if not parked:
        return []
    for program, member in sorted((each.key.program, each.key.id) for each in parked if each.key.kind == MEMBER):
        await connection.execute(_DELAYED_MEMBER, program, member)
    keys = [(*each.key, each.attempt) for each in sorted(parked)]
    return [(row[0], row[1]) for row in await connection.fetch(_DELAYED, *_columns(keys)) if row[1] is not None]


# Batches. ----------------------------------------------------------------------------------------------------

_FAULTS = """
    insert into batch_faults (program, batch, line, id, state, status, code, detail, errors)
    select program, batch, line, id, 'refused', status, code, detail, '[]'::bytea
    from unnest($1::text[], $2::text[], $3::int8[], $4::text[], $5::int2[], $6::text[], $7::text[])
        as f(program, batch, line, id, status, code, detail)
    on conflict (program, batch, line) do nothing
"""
_COUNT = """
    insert into batch_outcomes as b (program, batch, posted, refused, delayed)
    select program, batch, posted, refused, delayed
    from unnest($1::text[], $2::text[], $3::int8[], $4::int8[], $5::int8[])
        as c(program, batch, posted, refused, delayed)
    on conflict (program, batch) do update
    set posted = b.posted + excluded.posted, refused = b.refused + excluded.refused,
        delayed = b.delayed + excluded.delayed
"""
_AWARDED = """
    insert into batch_awarded as a (program, batch, unit, amount)
    select program, batch, unit, amount from unnest($1::text[], $2::text[], $3::text[], $4::numeric[])
        as g(program, batch, unit, amount)
    on conflict (program, batch, unit) do update set amount = a.amount + excluded.amount
"""


_GIVING_BACK = """
    insert into batch_giving_back (program, batch, line, told)
    select * from unnest($1::text[], $2::text[], $3::int8[], $4::bytea[])
    on conflict do nothing
"""


async def _count(
    connection: Connection,
    rows: Sequence[Any],
    outcomes: dict[Correlation, Outcome],
    delayed: Sequence[tuple[str, str]],
) -> None:
    """Count what was answered or delayed just now to the batches that asked; a second hearing tells nothing new."""
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    awarded: dict[tuple[str, str, str], int] = defaultdict(int)
    faults: list[tuple[Any, ...]] = []
    giving_back: list[tuple[Any, ...]] = []
    for place in delayed:
        counts[place][2] += 1
    for program, kind, partner, id_, attempt, batch, line, was_delayed in rows:
        if was_delayed:
            counts[program, batch][2] -= 1
        outcome = outcomes[Correlation(RequestKey(program, kind, partner, id_), attempt)]
        if outcome.state == POSTED:
            counts[program, batch][0] += 1
            if TOLD_IN in outcome.body:
                giving_back.append((program, batch, line, told_of(outcome.body)))
            for award in outcome.awards:
                awarded[program, batch, award.unit] += award.amount
        else:
            counts[program, batch][1] += 1
            known = PROBLEMS.get(outcome.code or "")
            detail = msgspec.json.decode(outcome.body).get("detail", "")
            faults.append((program, batch, line, id_, known.status if known else 409, outcome.code, detail))
    if faults:
        await connection.execute(_FAULTS, *_columns(faults))
    await connection.execute(_COUNT, *_columns([(*key, *counts[key]) for key in sorted(counts)]))
    if giving_back:
        await connection.execute(_GIVING_BACK, *_columns(giving_back))
    if awarded:
        await connection.execute(_AWARDED, *_columns([(*key, awarded[key]) for key in sorted(awarded)]))


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
