"""Hot statements reach their rows by key, on tables that are new and on tables that are full."""

from __future__ import annotations

import re

import asyncpg
import pytest

from laurel.io.database import Database
from laurel.io.inbox import _MOVE
from laurel.io.migrating import DatabaseUrls
from laurel.io.outbox import _ANY_PARKED, _IF_GIVEN
from laurel.io.together import joined
from services.gateway.store import (
    batches,
    events,
    members,
    operations,
    partners,
    programs,
    recording,
    redemptions,
    requests,
)
from services.gateway.store.rebuilding import activities as mended_activities
from services.gateway.store.rebuilding import members as mended_members
from services.gateway.store.rebuilding import operations as mended_operations
from services.gateway.store.rebuilding import redemptions as mended_redemptions

pytestmark = pytest.mark.anyio

HOT = {
    "record requests": requests._INSERT,
    "record a request": joined((requests._RECORDED_AS_KNOWN, _IF_GIVEN)),
    "record a redemption": joined((requests._REDEMPTION_AS_KNOWN, _IF_GIVEN)),
    "read requests": requests._FIND,
    "add members": members._ADD,
    "add identifiers": members._ADD_IDENTIFIERS,
    "read a member": members._FIND,
    "read members": members._FIND_ALL,
    "find members": members._EXISTING,
    "members behind": members._BEHIND,
    "resolve identifiers": members._RESOLVE,
    "record outcomes": recording._RECORD,
    "note delays": recording._DELAYED,
    "record redemptions": recording._REDEMPTIONS,
    "record outcomes with redemptions": recording._RECORD_REDEMPTIONS,
    "record rewards": recording._REWARDS,
    "refused lines": recording._FAULTS,
    "count lines": recording._COUNT,
    "sum awards": recording._AWARDED,
    "add redemptions": redemptions._ADD,
    "read a redemption": redemptions._FIND,
    "read a reward": redemptions._REWARD,
    "read the catalogue": redemptions._REWARDS,
    "end with events": joined((events._APPEND, _MOVE, _ANY_PARKED)),
    "add operations": operations._ADD,
    "read an operation": operations._FIND,
    "record operations": recording._OPERATIONS,
    "keep programs": programs._KEEP,
    "read a batch": batches._FIND,
    "open batches": batches._OPEN,
    "next lines": batches._NEXT,
    "move lines": batches._MOVED,
    "followed lines": batches._FOLLOWED,
    "read errors": batches._ERRORS,
    "read lines": batches._LINES,
    "finish batches": batches._FINISH,
    "what lines gave back": batches._GIVING_BACK,
    "what is shown by now": batches._GIVEN_BACK,
    "key by prefix": partners._BY_PREFIX,
    "programs": programs._HEADS,
    "members to be mended": mended_members._LOCK,
    "mend members": mended_members._MEND,
    "add lost members": mended_members._ADD,
    "details of members": mended_members._LOCK_DETAILS,
    "operations to be mended": mended_operations._LOCK,
    "mend operations": recording.SET_OPERATIONS,
    "operations asked for": mended_operations._ASKED,
    "redemptions to be mended": mended_redemptions._LOCK,
    "mend redemptions": mended_redemptions._MEND,
    "redemptions asked for": mended_redemptions._ASKED,
    "rewards to be mended": mended_redemptions._LOCK_REWARDS,
    "activities to be mended": mended_activities._LOCK,
    "mend activities": mended_activities._MEND,
    "add lost activities": mended_activities._ADD,
    "what was heard": mended_activities._HEARD,
}
SMALL = re.compile(r"tableoid|\(r\.program\)::text = t\.program")
"""Partitions that are picked, and what is said, of which there are a few, with the numbers of its keys."""
FILL = """
    insert into programs select 'p' || n, 1, 'wall', null, now(), null, null from generate_series(1, 200) n;
    insert into members select 'p1', 'm' || n, 'active', now(), null, null, '{}', null, null, 1, 1, 1, now()
        from generate_series(1, 5000) n;
    insert into identifiers select 'p1', 'card', sha256(n::text::bytea), 'm' || n, now()
        from generate_series(1, 5000) n;
    insert into requests (program, kind, partner, id, attempt, hash, state, created_at)
        select 'p1', 'activity', 'acme', n::text, 1, '1:h', 'posted', now() from generate_series(1, 5000) n;
    insert into redemptions (program, redemption, partner, member, reward, request, state, created_at)
        select 'p1', n::text, 'acme', 'm1', 'r', 'k', 'fulfilled', now() from generate_series(1, 5000) n;
    insert into operations (program, kind, id, partner, member, request, state, created_at)
        select 'p1', 'hold', n::text, 'acme', 'm1', 'k', 'held', now() from generate_series(1, 5000) n;
    insert into rewards select 'p1', n::text, '{}', 1, n, now() from generate_series(1, 500) n;
    insert into batches (program, batch, partner, state, created_at, touched_at, finished_at)
        select 'p1', n::text, 'acme', 'done', now(), now(), now() from generate_series(1, 500) n;
    insert into batch_outcomes (program, batch) select 'p1', n::text from generate_series(1, 500) n;
    insert into batch_lines select 'p1', (n % 20)::text, n, 'acme', n::text, 'm1', '1:h', now(), null, '{}'
        from generate_series(1, 5000) n;
    insert into batch_faults select 'p1', (n % 20)::text, n, n::text, 'refused', 409, 'code', '', '[]'
        from generate_series(1, 5000) n;
"""


@pytest.mark.parametrize("full", [False, True], ids=["new", "full"])
async def test_hot_statements_go_by_key(database: Database, database_urls: DatabaseUrls, full: bool) -> None:
    if full:
        async with database.connection() as connection:
            await connection.execute(FILL)
        owner = await asyncpg.connect(database_urls.owner)
        await owner.execute("analyze")
        await owner.close()
    async with database.connection() as connection:
        for name, statement in HOT.items():
            nulls = ", ".join(["null"] * len(set(re.findall(r"\$\d+", statement))))
            await connection.execute(f"prepare hot as {statement}")
            rows = await connection.fetch(f"explain execute hot{f'({nulls})' if nulls else ''}")
            await connection.execute("deallocate hot")
            plan = "\n".join(row[0] for row in rows)
            filters = [line for line in plan.splitlines() if "Join Filter" in line and not SMALL.search(line)]
            assert not filters, f"{name} compares every row with every key:\n{plan}"
            # The head of the events is a single row.
            assert "Seq Scan on" not in plan.replace("Seq Scan on event_head", ""), (
                f"{name} reads a whole table:\n{plan}"
            )
            assert "Hash Join" not in plan, f"{name} hashes a whole table:\n{plan}"
