"""Vouchers in tables: loaded under their members' locks, written as they stand, found when their time is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from laurel.io.database import Connection
from services.redemption.domain import facts as f
from services.redemption.domain.facts import encode_facts
from services.redemption.domain.heard import VoucherEnds
from services.redemption.domain.state import SagaKey, State
from services.redemption.domain.vouchers import Use, UseKey, Voucher, VoucherKey, VoucherState
from services.redemption.ports import Decision
from services.redemption.store.adding import Adding
from services.redemption.store.columns import columns
from services.redemption.store.secrets import Secret

# Each row is reached by its key, whatever the planner believes of a young table.
_VOUCHERS: Final = """
    select v.*
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, voucher)
    cross join lateral (
        select program, member, voucher, state, suffix, issued_at, value, remaining, currency, percent, product,
               expires_at, not_above_basket, parts, elsewhere, redemption, conversion, turned_to, step
        from vouchers where program = k.program and member = k.member and voucher = k.voucher offset 0) v"""

_USES: Final = """
    select u.*
    from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as k (program, member, voucher, reference)
    cross join lateral (
        select program, member, voucher, partner, reference, amount, currency from voucher_uses
        where program = k.program and member = k.member and voucher = k.voucher and reference = k.reference
        offset 0) u"""

_VOUCHERS_MADE: Final = Adding(
    "vouchers",
    {
        "program": "text", "member": "text", "voucher": "text", "redemption": "text", "number": "smallint",
        "state": "text", "value": "bigint", "currency": "text", "issued_at": "timestamptz",
        "expires_at": "timestamptz", "suffix": "text", "digest": "bytea", "sealed": "bytea", "conversion": "text",
        "not_above_basket": "boolean", "turned_to": "timestamptz", "step": "int", "remaining": "bigint",
        "percent": "smallint", "product": "text", "parts": "boolean", "elsewhere": "boolean",
    },
)  # fmt: skip

# Rows are found by key and meet themselves: that is how a set is updated whatever the planner believes.
_SET: Final = """
    update vouchers v set state = k.state, remaining = k.remaining, step = k.step
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::int[])
        as k (program, member, voucher, state, remaining, step)
    where v.program = k.program and v.member = k.member and v.voucher = k.voucher"""

_ADD_USES: Final = """
    insert into voucher_uses (program, member, voucher, partner, reference, amount, currency)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[])
    on conflict do nothing"""

_DROP_USES: Final = """
    delete from voucher_uses u
    using unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
        as k (program, member, voucher, partner, reference)
    where u.program = k.program and u.member = k.member and u.voucher = k.voucher and u.partner = k.partner
      and u.reference = k.reference"""

_DECISIONS: Final = Adding(
    "voucher_decisions",
    {
        "program": "text", "member": "text", "voucher": "text", "step": "int", "kind": "text", "message": "text",
        "at": "timestamptz", "facts": "bytea",
    },
)  # fmt: skip

# Of each program as far as a page needs: all vouchers of a statement end at once, and a wider order would have all of
# them read and sorted again for each page.
_ENDED: Final = """
    select v.program, v.member, v.voucher, v.expires_at
    from unnest($1::text[]) as p (program)
    cross join lateral (
        select program, member, voucher, expires_at from vouchers
        where program = p.program and state = 'issued' and expires_at <= $2
        order by expires_at limit $3) v
    limit $3"""


async def read_vouchers(
    connection: Connection, keys: set[VoucherKey], uses: set[tuple[VoucherKey, str]]
) -> dict[VoucherKey, Voucher]:
    """Read vouchers whose members are locked, with the uses that are named by a reference."""
    if not keys:
        return {}
    found = {}
    for program, member, voucher, state, *rest in await connection.fetch(_VOUCHERS, *columns(sorted(keys))):
        key = VoucherKey(program, member, voucher)
        found[key] = Voucher(key, VoucherState(state), *rest)
    named = [(*key, reference) for key, reference in sorted(uses) if key in found]
    if named:
        for program, member, voucher, partner, reference, *paid in await connection.fetch(_USES, *columns(named)):
            found[VoucherKey(program, member, voucher)].uses[UseKey(partner, reference)] = Use(*paid)
    return found


async def write_vouchers(
    connection: Connection, decisions: Sequence[Decision], state: State, secrets: Mapping[str, Secret]
) -> None:
    """Add what was issued and decided, and set what was moved."""
    made = [row for decision in decisions for row in _made(decision, state, secrets)]
    await _VOUCHERS_MADE.add(connection, made)
    own = [decision for decision in decisions if isinstance(decision.key, VoucherKey)]
    if not own:
        return
    rows = [
        (*decision.key, decision.step, decision.kind, decision.message, decision.at, encode_facts(decision.facts))
        for decision in own
        if decision.key is not None
    ]
    await _DECISIONS.add(connection, rows)
    new = {(row[0], row[1], row[2]) for row in made}
    moved = sorted({decision.key for decision in own if isinstance(decision.key, VoucherKey)} - new)
    if moved:
        vouchers = [state.vouchers[key] for key in moved]
        await connection.execute(_SET, *columns([(*v.key, str(v.state), v.remaining, v.step) for v in vouchers]))
    await _write_uses(connection, own, state)


async def _write_uses(connection: Connection, decisions: Sequence[Decision], state: State) -> None:
    """Make the rows of uses what they are now, of those that were spoken of."""
    touched = sorted({
        (decision.key, UseKey(getattr(fact, "used_by", "") or fact.partner, fact.reference))
        for decision in decisions
        if isinstance(decision.key, VoucherKey)
        for fact in decision.facts
        if isinstance(fact, f.VoucherRedeemed | f.VoucherUndone)
    })  # fmt: skip
    stand = [
        (*key, *use, paid.amount, paid.currency)
        for key, use in touched
        if (paid := state.vouchers[key].uses.get(use)) is not None
    ]
    gone = [(*key, *use) for key, use in touched if use not in state.vouchers[key].uses]
    if stand:
        await connection.execute(_ADD_USES, *columns(stand))
    if gone:
        await connection.execute(_DROP_USES, *columns(gone))


def _made(decision: Decision, state: State, secrets: Mapping[str, Secret]) -> list[Sequence[Any]]:
    key = decision.key
    if key is None:
        return []
    redemption = key.redemption if isinstance(key, SagaKey) else ""
    voucher = state.vouchers[key] if isinstance(key, VoucherKey) else None
    rows: list[Sequence[Any]] = []
    for fact in decision.facts:
        if not isinstance(fact, f.VoucherIssued):
            continue
        value, secret = fact.value, secrets[fact.voucher]
        # A later decision of the batch may have moved it.
        stands = voucher.state if voucher is not None else VoucherState.ISSUED
        rows.append((
            key.program, key.member, fact.voucher, redemption, fact.number, str(stands),
            value.amount if value else None, value.currency if value else None, fact.issued_at or decision.at,
            fact.expires_at, fact.suffix, secret.digest, secret.sealed, fact.conversion, fact.not_above_basket,
            fact.turned_to, voucher.step if voucher is not None else 0,
            voucher.remaining if voucher is not None else value.amount if value else None,
            fact.percent, fact.product, fact.parts, fact.elsewhere,
        ))  # fmt: skip
    return rows


async def ended(connection: Connection, programs: Sequence[str], until: datetime, limit: int) -> list[VoucherEnds]:
    """Return vouchers whose time is over by then, the longest first; unlocked, so deciding looks again."""
    rows = await connection.fetch(_ENDED, list(programs), until, limit)
    return [
        VoucherEnds(program=program, member=member, voucher=voucher, at=expires_at)
        for program, member, voucher, expires_at in sorted(map(tuple, rows), key=lambda row: (row[3], row))
    ]
