"""What the gateway shows of others is lost or damaged, compared row by row, and made anew as an operator does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import asyncpg

from services.gateway import wiring
from services.gateway.rebuilding import PARTS, Progress
from services.gateway.settings import GatewaySettings
from tests.flow.stage import Town

SHOWN = {
    "members": """
        select program, member, status, enrolled_at,
            -- Of who was changed since, the profile among the details is shown.
            case when d.detail is null then person end as person,
            case when d.detail is null then convert_from(attributes, 'UTF8') end as attributes,
            convert_from(tier, 'UTF8') as tier, convert_from(balances, 'UTF8') as balances, version, merged_into,
            household
        from gateway.members
        left join (select * from gateway.member_details where detail = 'profile') d using (program, member)""",
    "details": "select program, member, detail, convert_from(body, 'UTF8') as body from gateway.member_details",
    "operations": """
        select program, kind, id, partner, member, request, state, convert_from(body, 'UTF8') as body
        from gateway.operations o
        -- A request that a refusal left free is asked again, and then names another operation.
        where exists (select from gateway.requests q where q.program = o.program and q.kind = o.kind
                      and q.partner = o.partner and q.id = o.request and q.subject = o.id)""",
    "redemptions": """
        select program, redemption, partner, member, reward, request, state, convert_from(body, 'UTF8') as body
        from gateway.redemptions""",
    "rewards": "select program, reward, convert_from(document, 'UTF8') as document from gateway.rewards",
    "activities": """
        select program, partner, id, hash, state, member is null as unclaimed, code,
            convert_from(outcome, 'UTF8') as outcome
        from gateway.requests where kind = 'activity' and state <> 'freed'""",
}
"""What reads show of others, without the places of the events that told it."""

LOST = {
    "members": "delete from members",
    "details": "delete from member_details",
    "operations": "delete from operations",
    "redemptions": "delete from redemptions",
    "rewards": "delete from rewards",
    # What nobody was asked about, and what a refusal left free, only the gateway knows.
    "activities": "delete from requests where kind = 'activity' and member is not null and state <> 'freed'",
}
DAMAGED = {
    "members": """
        update members set status = 'active', tier = '{"name": "wrong"}', balances = '[]', version = version + 1000,
            sequence = sequence + 1000, merged_into = null, merged_sequence = merged_sequence + 1000""",
    "details": "update member_details set body = '[]', sequence = sequence + 1000 where sequence < 1000000000",
    "operations": "update operations set state = 'pending', body = '{}', sequence = sequence + 1000",
    "redemptions": "update redemptions set state = 'requested', body = null, sequence = sequence + 1000",
    "rewards": "update rewards set document = '{}', sequence = sequence + 1000",
    "activities": """
        update requests set state = 'pending', code = null, outcome = null, answered_at = null
        where kind = 'activity' and member is not null and state <> 'freed'""",
}
"""As if some statement had gone astray: rows are there, and say that they are newer than anything that was said."""


async def shown(town: Town) -> dict[str, list[tuple[Any, ...]]]:
    """Return everything that reads show of others."""
    return {name: sorted(await town.rows(query), key=repr) for name, query in SHOWN.items()}


def unlike(before: dict[str, list[tuple[Any, ...]]], after: dict[str, list[tuple[Any, ...]]]) -> list[str]:
    """Say which rows differ."""
    found = []
    for name, rows in before.items():
        found += [f"- {name} {row}" for row in rows if row not in after[name]]
        found += [f"+ {name} {row}" for row in after[name] if row not in rows]
    return found


async def strike(town: Town, *statements: str) -> None:
    """Do this to the gateway's rows, with its own role."""
    connection = await asyncpg.connect(town.urls.of("gateway"), server_settings={"search_path": "gateway"})
    try:
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement)
    finally:
        await connection.close()


async def rebuild(town: Town, *parts: str, programs: Sequence[str] = ()) -> list[Progress]:
    """Have the gateway's projections made anew, beside whatever runs; return what was told of it."""
    prefix = "LAUREL_GATEWAY_"
    told = {name.removeprefix(prefix).lower(): value for name, value in town.told_to("gateway").items()
            if name.startswith(prefix)}  # fmt: skip
    settings: Any = told
    async with wiring.rebuilding(GatewaySettings(**settings)) as rebuild:
        wanted = await rebuild.programs(programs)
        await rebuild.reach(parts or PARTS)
        return [progress for program in wanted async for progress in rebuild.run(program, parts or PARTS)]


def rebuilding(town: Town, *asked: str) -> subprocess.Popen[str]:
    """Begin to do so in a process of its own, as an operator does."""
    command = [sys.executable, "-m", "services.gateway", "rebuild", *asked]
    return subprocess.Popen(
        command, env=town.told_to("gateway"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
