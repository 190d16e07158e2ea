"""Write: the facts of a batch as rows, in sets. Decisions, vouchers and reward versions are only ever added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from laurel.io.database import Connection
from laurel.io.together import Statement, execute_together
from services.redemption.domain import facts as f
from services.redemption.domain.facts import encode_facts
from services.redemption.domain.state import RewardKey, SagaKey, State, Stock, TallyKey
from services.redemption.ports import Decision
from services.redemption.store import saga_rows
from services.redemption.store.columns import of_rows
from services.redemption.store.loading import MemberKey
from services.redemption.store.pools import lots_set
from services.redemption.store.secrets import Secret
from services.redemption.store.vouchers import write_vouchers

_REWARDS = """
    insert into rewards (program, reward, version, document, at, message, effective_from)
    select * from unnest($1::text[], $2::text[], $3::int[], $4::bytea[], $5::timestamptz[], $6::text[],
        $7::timestamptz[])"""

_RESOURCES = """
    insert into resources (program, resource, version, document, at, message)
    select * from unnest($1::text[], $2::text[], $3::int[], $4::bytea[], $5::timestamptz[], $6::text[])"""

# These rows are there, and locked. An insert meets them by their key; an update that joins would walk a young table.
_TALLIES = """
    insert into tallies (program, name, used) select * from unnest($1::text[], $2::text[], $3::bigint[])
    on conflict (program, name) do update set used = excluded.used"""

_STOCK = """
    insert into stock (program, reward, version, total, reserved, taken)
    select * from unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[])
    on conflict (program, reward) do update
    set version = excluded.version, total = excluded.total, reserved = excluded.reserved, taken = excluded.taken"""

_DECISIONS = """
    insert into saga_decisions (program, member, redemption, step, kind, message, at, facts)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[],
        $7::timestamptz[], $8::bytea[])"""

_MEMBER_KEYS = """
    insert into members as m (program, member, key) select * from unnest($1::text[], $2::text[], $3::bytea[])
    on conflict (program, member) do update set key = excluded.key where m.erased_at is null"""

# Somebody who never had a voucher may get one that is under way; it must not bring a key along.
_FORGET = """
    insert into members (program, member, erased_at)
    select program, member, now() from unnest($1::text[], $2::text[]) as k (program, member)
    on conflict (program, member) do update set key = null, erased_at = coalesce(members.erased_at, now())"""

_encode = msgspec.json.Encoder().encode


async def writing(
    connection: Connection,
    decisions: Sequence[Decision],
    state: State,
    secrets: Mapping[str, Secret],
    keys: Mapping[MemberKey, bytes],
) -> list[Statement]:
    """Add what was decided, then set the sagas and the stock that it touched: many rows at once, by what is returned.

    `keys` are those of members who got their first voucher; what is sealed for an erased one stays unreadable.
    """
    sagas = {key: state.sagas[key] for decision in decisions if isinstance(key := decision.key, SagaKey)}
    touched = list(_touched(decisions, state))
    return [
        *of_rows(_MEMBER_KEYS, [(*member, key) for member, key in keys.items()]),
        *of_rows(_REWARDS, _reward_rows(decisions)),
        *of_rows(_RESOURCES, _resource_rows(decisions)),
        *of_rows(_DECISIONS, _decision_rows(decisions)),
        *await write_vouchers(connection, decisions, state, secrets),
        *of_rows(saga_rows.WRITE, [saga_rows.row_of(saga) for saga in sagas.values()]),
        *of_rows(_STOCK, [_stock_row(stock) for stock in touched]),
        *lots_set(touched),
        *of_rows(_TALLIES, [(*key, state.tallies[key]) for key in _drawn(decisions)]),
    ]


async def forget_members(connection: Connection, members: Sequence[MemberKey]) -> None:
    """Destroy the keys of members, and with them their codes; done twice, it changes nothing."""
    await execute_together(connection, of_rows(_FORGET, sorted(set(members))))


def _reward_rows(decisions: Sequence[Decision]) -> list[Sequence[Any]]:
    return [
        (
            decision.program, fact.reward, fact.version, _encode(fact.terms), decision.at, decision.message,
            fact.terms.effective_from,
        )
        for decision in decisions
        for fact in decision.facts
        if isinstance(fact, f.RewardPublished)
    ]  # fmt: skip


def _resource_rows(decisions: Sequence[Decision]) -> list[Sequence[Any]]:
    return [
        (decision.program, fact.resource, fact.version, _encode(fact.terms), decision.at, decision.message)
        for decision in decisions
        for fact in decision.facts
        if isinstance(fact, f.ResourcePublished)
    ]


def _drawn(decisions: Sequence[Decision]) -> list[TallyKey]:
    return sorted(
        {
            TallyKey(decision.program, draw.name)
            for decision in decisions
            for fact in decision.facts
            if isinstance(fact, f.DrawFact)
            for draw in fact.draws
        }
    )


def _decision_rows(decisions: Sequence[Decision]) -> list[Sequence[Any]]:
    return [
        (
            *decision.key, decision.step, decision.kind, decision.message, decision.at,
            encode_facts(decision.facts),
        )
        for decision in decisions
        if isinstance(decision.key, SagaKey)
    ]  # fmt: skip


def _touched(decisions: Sequence[Decision], state: State) -> Iterable[Stock]:
    keys = {
        RewardKey(decision.program, fact.reward)
        for decision in decisions
        for fact in decision.facts
        if isinstance(fact, f.StockFact | f.RewardPublished)
    }
    return [state.stock[key] for key in sorted(keys)]


def _stock_row(stock: Stock) -> Sequence[Any]:
    return (*stock.key, stock.version, stock.total, stock.reserved, stock.taken)
