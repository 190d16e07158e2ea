"""Every event is accounted for: what is missing, not published, not applied, or applied though nobody said it."""

from __future__ import annotations

import asyncpg
import pytest

from laurel.io.accounting import HEARS, Unaccounted, account, parked
from laurel.io.migrating import DatabaseUrls

pytestmark = pytest.mark.anyio

ROW = "'activity', 'p:m', 'activity.reported.v1', '', now(), null"
GOOD = f"""
    insert into gateway.outbox_keys (program, member, stream, number) values
        ('p', 'm', '', 3), ('p', 'n', '', 1), ('p', '', 'programs', 1), ('p', 'pruned', '', 9);
    insert into gateway.outbox (program, member, stream, number, aggregatetype, aggregateid, type, payload, at,
                                work)
        values ('p', 'm', '', 1, {ROW}), ('p', 'm', '', 2, {ROW}), ('p', 'm', '', 3, {ROW}), ('p', 'n', '', 1, {ROW}),
               ('p', '', 'programs', 1, {ROW});
    insert into points.inbox (program, member, source, number) values
        ('p', 'm', 'laurel/gateway/1', 3), ('p', 'n', 'laurel/gateway/1', 1), ('p', 'pruned', 'laurel/gateway/1', 9);
    insert into redemption.inbox select * from points.inbox;
"""
PARKED = """
    insert into points.parked (program, member, source, sequence, topic, headers, body, reason, detail)
    values ('p', 'm', 'laurel/gateway/1', 3, 't', '{}', '', 'undecodable', '')
"""
DAMAGES = {
    "a row is missing in the middle": (
        "delete from gateway.outbox where member = 'm' and number = 2",
        ["the outbox of gateway has no gap: p:m: number 3 given out, rows from 1 to 3, 2 of them"],
    ),
    "the last row is missing": (
        "delete from gateway.outbox where member = 'm' and number = 3",
        ["the outbox of gateway has no gap: p:m: number 3 given out, rows from 1 to 2, 2 of them"],
    ),
    "a program is missing": (
        "update gateway.outbox_keys set number = 2 where stream = 'programs'",
        ["the outbox of gateway has no gap: p:programs: number 2 given out, rows from 1 to 1, 1 of them"],
    ),
    "two are not published": (
        """update gateway.outbox set work = gen_random_uuid() where member = 'm' and number > 1;
           insert into gateway.outbox_open (work, events) select work, 1 from gateway.outbox where work is not null""",
        ["all that gateway said is published: p:m: 2 and on are not published (on its way)"],
    ),
    "one listener is behind": (
        "update points.inbox set number = 1 where member = 'm'",
        ["points applied what gateway said: p:m: gateway said 3, points applied 1 (on its way)"],
    ),
    "one listener never heard of a key": (
        "delete from redemption.inbox where member = 'n'",
        ["redemption applied what gateway said: p:n: gateway said 1, redemption applied 0 (on its way)"],
    ),
    "a listener is ahead": (
        "update points.inbox set number = 4 where member = 'm'",
        ["points applied what gateway said: p:m: gateway said 3, points applied 4"],
    ),
    "a listener applied what was never said": (
        "insert into points.inbox values ('p', 'nobody', 'laurel/redemption/1', 2)",
        ["points applied what redemption said: p:nobody: redemption said 0, points applied 2"],
    ),
    "a listener is ahead though something of the key is parked": (
        "update points.inbox set number = 4 where member = 'm';" + PARKED,
        ["points applied what gateway said: p:m: gateway said 3, points applied 4"],
    ),
    "a key stands still because something of it is parked": (
        "update points.inbox set number = 2 where member = 'm';" + PARKED,
        [],
    ),
    "what was applied under an epoch that is over": (
        "insert into points.inbox values ('p', 'm', 'laurel/gateway/0', 17)",
        [],
    ),
}


def told(found: list[Unaccounted]) -> list[str]:
    return [f"{each.proof}: {each.where}: {each.what}" + " (on its way)" * each.passing for each in found]


async def test_nothing_and_everything_said_and_applied_is_accounted_for(database_urls: DatabaseUrls) -> None:
    owner = await asyncpg.connect(database_urls.owner)
    auditor = await asyncpg.connect(database_urls.auditor)
    try:
        assert await account(auditor) == []
        await owner.execute(GOOD)
        assert await account(auditor) == []
        assert await parked(auditor) == dict.fromkeys(HEARS, 0)
        await owner.execute(PARKED)
        assert await parked(auditor) == {**dict.fromkeys(HEARS, 0), "points": 1}
    finally:
        await owner.close()
        await auditor.close()


@pytest.mark.parametrize("damage", DAMAGES)
async def test_what_is_missing_or_too_much_is_found(module_urls: DatabaseUrls, damage: str) -> None:
    statements, found = DAMAGES[damage]
    owner = await asyncpg.connect(module_urls.owner)
    try:
        changing = owner.transaction()
        await changing.start()
        await owner.execute(GOOD)
        await owner.execute(statements)
        assert told(await account(owner)) == found
        await changing.rollback()
    finally:
        await owner.close()
