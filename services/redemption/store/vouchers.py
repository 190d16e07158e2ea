"""Vouchers in tables: loaded under their members' locks, written as they stand, found when their time is over."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from laurel.io.database import Connection
from laurel.io.together import Statement
from services.redemption.domain import facts as f
from services.redemption.domain.facts import encode_facts
from services.redemption.domain.heard import VoucherEnds
from services.redemption.domain.state import SagaKey, State
from services.redemption.domain.vouchers import Use, UseKey, Voucher, VoucherKey, VoucherState
from services.redemption.ports import Decision
from services.redemption.store.adding import Adding
from services.redemption.store.columns import columns, of_rows
from services.redemption.store.secrets import Secret

# Each row is reached by its key, whatever the planner believes of a young table.
_VOUCHERS: Final = """
    select v.*
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, voucher)
    cross join lateral (
        select program, member, voucher, state, suffix, issued_at, value, remaining, currency, percent, product,
               expires_at, not_above_basket, parts, elsewhere, redemption, conversion, turned_to, step, share_of
        from vouchers where program = k.program and member = k.member and voucher = k.voucher offset 0) v"""

_USES: Final = """
    select u.*
    from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as k (program, member, voucher, reference)
    cross join lateral (
        select program, member, voucher, partner, reference, amount, currency, upto, restored from voucher_uses
        where program = k.program and member = k.member and voucher = k.voucher and reference = k.reference
        offset 0) u"""

_OF_SAGAS: Final = """
    select v.*
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, redemption)
    cross join lateral (
        select program, member, voucher, state, suffix, issued_at, value, remaining, currency, percent, product,
               expires_at, not_above_basket, parts, elsewhere, redemption, conversion, turned_to, step, share_of
        from vouchers where program = k.program and member = k.member and redemption = k.redemption
          and redemption <> '' offset 0) v"""

_USES_FOR: Final = """
    select u.*
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, partner, reference)
    cross join lateral (
        select program, partner, reference, member, voucher from voucher_uses
        where program = k.program and reference = k.reference and partner = k.partner offset 0) u
    order by u.program, u.member, u.voucher"""

UseFor = tuple[str, str, str]
"""What a voucher was used for: program, partner and reference."""

_VOUCHERS_MADE: Final = Adding(
    "vouchers",
    {
        "program": "text", "member": "text", "voucher": "text", "redemption": "text", "number": "smallint",
        "state": "text", "value": "bigint", "currency": "text", "issued_at": "timestamptz",
        "expires_at": "timestamptz", "suffix": "text", "digest": "bytea", "sealed": "bytea", "conversion": "text",
        "not_above_basket": "boolean", "turned_to": "timestamptz", "step": "int", "remaining": "bigint",
        "percent": "smallint", "product": "text", "parts": "boolean", "elsewhere": "boolean",
        "share_of": "text",
    },
)  # fmt: skip

_MOVED: Final = ("state", "remaining", "step")
# A row is read by its key, changed, and put upon itself: an update that joins would walk a young table.
_SET: Final = f"""
    insert into vouchers ({", ".join(_VOUCHERS_MADE.columns)})
    select {", ".join(f"{'k' if name in _MOVED else 'v'}.{name}" for name in _VOUCHERS_MADE.columns)}
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::int[])
        as k (program, member, voucher, state, remaining, step)
    cross join lateral (
        select * from vouchers where program = k.program and member = k.member and voucher = k.voucher offset 0) v
    on conflict (program, member, voucher)
    do update set {", ".join(f"{name} = excluded.{name}" for name in _MOVED)}"""

_ADD_USES: Final = """
    insert into voucher_uses (program, member, voucher, partner, reference, amount, currency, upto, restored)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[],
        $8::bigint[], $9::bigint[])
    on conflict (program, member, voucher, partner, reference)
    do update set upto = excluded.upto, restored = excluded.restored"""

_DROP_USE: Final = """
    delete from voucher_uses
    where program = $1 and member = $2 and voucher = $3 and partner = $4 and reference = $5"""

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
    found = _by_key(await connection.fetch(_VOUCHERS, *columns(sorted(keys))))
    named = [(*key, reference) for key, reference in sorted(uses) if key in found]
    if named:
        for program, member, voucher, partner, reference, *paid in await connection.fetch(_USES, *columns(named)):
            found[VoucherKey(program, member, voucher)].uses[UseKey(partner, reference)] = Use(*paid)
    return found


async def vouchers_of(connection: Connection, sagas: set[SagaKey]) -> dict[VoucherKey, Voucher]:
    """Read the vouchers that these redemptions made; their members are locked."""
    return _by_key(await connection.fetch(_OF_SAGAS, *columns(sorted(sagas)))) if sagas else {}


def _by_key(rows: Iterable[Iterable[Any]]) -> dict[VoucherKey, Voucher]:
    found = {}
    for program, member, voucher, state, *rest in rows:
        key = VoucherKey(program, member, voucher)
        found[key] = Voucher(key, VoucherState(state), *rest)
    return found


async def uses_for(connection: Connection, wanted: Collection[UseFor]) -> dict[UseFor, list[VoucherKey]]:
    """Find the vouchers that were used for something, whoever's they are; unlocked."""
    found: dict[UseFor, list[VoucherKey]] = {}
    for program, partner, reference, *whose in await connection.fetch(_USES_FOR, *columns(sorted(wanted))):
        found.setdefault((program, partner, reference), []).append(VoucherKey(program, *whose))
    return found


async def write_vouchers(
    connection: Connection, decisions: Sequence[Decision], state: State, secrets: Mapping[str, Secret]
) -> list[Statement]:
    """Add what was issued and decided, and set what was moved: many rows at once, a few by what is returned."""
    made = [row for decision in decisions for row in _made(decision, state, secrets)]
    own = [decision for decision in decisions if isinstance(decision.key, VoucherKey)]
    rows = [
        (*decision.key, decision.step, decision.kind, decision.message, decision.at, encode_facts(decision.facts))
        for decision in own
        if decision.key is not None
    ]
    new = {(row[0], row[1], row[2]) for row in made}
    moved = sorted({decision.key for decision in own if isinstance(decision.key, VoucherKey)} - new)
    vouchers = [state.vouchers[key] for key in moved]
    stand, gone = _uses(own, state)
    if gone:
        # Seldom any, and each by its key.
        await connection.executemany(_DROP_USE, gone)
    return [
        *await _VOUCHERS_MADE.add(connection, made),
        *await _DECISIONS.add(connection, rows),
        *of_rows(_SET, [(*v.key, str(v.state), v.remaining, v.step) for v in vouchers]),
        *of_rows(_ADD_USES, stand),
    ]


def _uses(decisions: Sequence[Decision], state: State) -> tuple[list[Sequence[Any]], list[Sequence[Any]]]:
    """Return the rows of uses as they are now, of those that were spoken of, and the keys of those that are no more."""
    touched = sorted({
        (decision.key, UseKey(getattr(fact, "used_by", "") or fact.partner, fact.reference))
        for decision in decisions
        if isinstance(decision.key, VoucherKey)
        for fact in decision.facts
        if isinstance(fact, f.VoucherRedeemed | f.VoucherUndone | f.VoucherGivenBack)
    })  # fmt: skip
    stand: list[Sequence[Any]] = [
        (*key, *use, paid.amount, paid.currency, paid.upto, paid.restored)
        for key, use in touched
        if (paid := state.vouchers[key].uses.get(use)) is not None
    ]
    return stand, [(*key, *use) for key, use in touched if use not in state.vouchers[key].uses]


def _made(decision: Decision, state: State, secrets: Mapping[str, Secret]) -> list[Sequence[Any]]:
    key = decision.key
    if key is None:
        return []
    redemption = key.redemption if isinstance(key, SagaKey) else ""
    rows: list[Sequence[Any]] = []
    for fact in decision.facts:
        if not isinstance(fact, f.VoucherIssued):
            continue
        value, secret = fact.value, secrets[fact.voucher]
        # A later decision of the batch may have moved it.
        voucher = state.vouchers[VoucherKey(key.program, key.member, fact.voucher)]
        rows.append((
            key.program, key.member, fact.voucher, redemption, fact.number, str(voucher.state),
            value.amount if value else None, value.currency if value else None, fact.issued_at or decision.at,
            fact.expires_at, fact.suffix, secret.digest, secret.sealed, fact.conversion, fact.not_above_basket,
            fact.turned_to, voucher.step, voucher.remaining,
            fact.percent, fact.product, fact.parts, fact.elsewhere, fact.share_of,
        ))  # fmt: skip
    return rows


async def ended(connection: Connection, programs: Sequence[str], until: datetime, limit: int) -> list[VoucherEnds]:
    """Return vouchers whose time is over by then, the longest first; unlocked, so deciding looks again."""
    rows = await connection.fetch(_ENDED, list(programs), until, limit)
    return [
        VoucherEnds(program=program, member=member, voucher=voucher, at=expires_at)
        for program, member, voucher, expires_at in sorted(map(tuple, rows), key=lambda row: (row[3], row))
    ]
