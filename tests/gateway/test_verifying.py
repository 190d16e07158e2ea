"""The proofs bite: what is shown and is not so is found."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from laurel.io.migrating import DatabaseUrls
from services.gateway.verifying import _PROOFS, Checked, Finding, verify

pytestmark = pytest.mark.anyio

BALANCE = (
    '[{"unit": "point", "available": 7, "pending": 0, "held": 0, "owed": 0, "lifetime": '
    '{"earned": 7, "spent": 0, "expired": 0, "reversed": 0, "adjusted": 0}}]'
)
GOOD = f"""
    insert into points.wallets (program, member, status, at, version, enrolled_at)
        values ('p', 'm', 'active', now(), 2, now());
    insert into points.balances (program, member, unit, available, earned) values ('p', 'm', 'point', 7, 7);
    insert into points.activities (program, partner, activity, member, journal, hash)
        values ('p', 'acme', 't-1', 'm', 2, '1:h');
    insert into gateway.members (program, member, status, enrolled_at, attributes, balances, version, created_at)
        values ('p', 'm', 'active', now(), '{{}}', '{BALANCE}', 2, now());
    insert into gateway.member_details (program, member, detail, body, epoch, sequence)
        values ('p', 'm', 'profile', '{{"person": null, "attributes": {{}}}}', 1, 2),
               ('p', 'm', 'counter/year/point/2026-01-01', '{{"rule": "year", "unit": "point", "granted": 7}}', 1, 2),
               ('p', 'm', 'segments', '[{{"name": "fruit", "since": "2026-01-05", "primary": true}}]', 1, 2);
    insert into points.segments (program, member, names, held, past) values ('p', 'm', '{{fruit}}', '[]', '[]');
    insert into points.counters (program, member, counter, window_start, unit, counted)
        values ('p', 'm', 'cap/year/calendar_year', '2026-01-01', 'point', 7),
               ('p', 'm', 'limit/base/day', '2026-01-01', '', 1);
    insert into gateway.requests (program, kind, partner, id, attempt, hash, state, member, created_at)
        values ('p', 'activity', 'acme', 't-1', 1, '1:h', 'posted', 'm', now());
    insert into redemption.sagas (program, member, redemption, state, hold, partner, hash, reward, reward_version,
            quantity, unit, points, version, zone, correlation, counted, at, step, outcome)
        values ('p', 'm', 'r-1', 'fulfilled', 'captured', 'acme', '1:h', 'off', 1, 1, 'point', 5, 1, 'UTC', '', true,
            now(), 4, '');
    update gateway.event_head set position = 7;
    insert into gateway.events (position, program, member, type, source, sequence, event, created_at)
        values (6, 'p', 'm', 'member.enrolled.v1', 'laurel/points/1', 1, '{{}}', now() - interval '1 minute'),
               (7, 'p', 'm', 'points.awarded.v1', 'laurel/points/1', 2, '{{}}', now());
    insert into gateway.inbox (program, member, source, number) values ('p', 'm', 'laurel/points/1', 2);
    insert into points.outbox (program, member, stream, number, aggregatetype, aggregateid, type, payload, at)
        values ('p', 'm', '', 2, 'wallet', 'p:m', 'points.awarded.v1', '{{}}', now()),
               ('p', 'm', '', 3, 'wallet', 'p:m', 'points.awarded.v1', '{{}}', now());
    insert into gateway.redemptions (program, redemption, partner, member, reward, request, state, created_at)
        values ('p', 'r-1', 'acme', 'm', 'off', 'k-1', 'fulfilled', now());
"""
LIES = {
    "every wallet is a member here, with its version": "update gateway.members set version = 3",
    "nobody is shown as enrolled who has no wallet": "update points.wallets set enrolled_at = null",
    "what was changed of a member is shown as it stands": "update points.wallets set person = 'p-1'",
    "of who was erased nobody keeps who it was": """
        update gateway.members set status = 'erased', key = 'k'; update points.wallets set status = 'erased';
        insert into redemption.members (program, member, erased_at) values ('p', 'm', now())""",
    "what nobody's identifier is, is blocked and unreadable": """
        insert into gateway.identifiers (program, scheme, hash, member, created_at)
        values ('p', 'card', 'h', '', now())""",
    "counters shown are what caps have counted": "update points.counters set counted = 8 where unit = 'point'",
    "segments shown are those that members belong to": "update points.segments set names = '{fruit,meat}'",
    "balances shown are the balances held": "update points.balances set held = 1",
    "every activity that points knows has its outcome here": "update gateway.requests set state = 'pending'",
    "nothing is shown as posted that points does not know": "update points.activities set code = 'claim_too_late'",
    "a finished batch has an outcome for every line": """
        insert into gateway.batches (program, batch, partner, state, received, created_at, touched_at, finished_at)
        values ('p', 'b', 'acme', 'done', 1, now(), now(), now());
        insert into gateway.batch_outcomes (program, batch) values ('p', 'b')""",
    "what a batch counts is what its lines came to": """
        insert into gateway.batches (program, batch, partner, state, created_at, touched_at)
        values ('p', 'b', 'acme', 'running', now(), now());
        insert into gateway.batch_outcomes (program, batch) values ('p', 'b');
        update gateway.requests set batch = 'b'""",
    "a batch counts the lines that wait for something parked": """
        insert into gateway.batches (program, batch, partner, state, created_at, touched_at)
        values ('p', 'b', 'acme', 'running', now(), now());
        insert into gateway.batch_outcomes (program, batch, delayed) values ('p', 'b', 1)""",
    "events kept for others are counted without a gap": "update gateway.events set position = 4 where position = 6",
    "what was heard is kept for others, once": "update gateway.inbox set number = 3",
    "redemptions are shown as they stand": "update gateway.redemptions set state = 'requested'",
}


def test_every_proof_is_put_to_the_test() -> None:
    assert LIES.keys() == _PROOFS.keys()


async def proofs(connection: asyncpg.Connection[Any]) -> list[str]:
    found = [each async for each in verify(connection)]
    assert isinstance(found[-1], Checked)
    return sorted({each.proof for each in found if isinstance(each, Finding)})


async def test_what_is_shown_as_it_is_holds(database_urls: DatabaseUrls) -> None:
    owner = await asyncpg.connect(database_urls.owner)
    auditor = await asyncpg.connect(database_urls.auditor)
    try:
        assert await proofs(auditor) == []
        await owner.execute(GOOD)
        assert await proofs(auditor) == []
    finally:
        await owner.close()
        await auditor.close()


@pytest.mark.parametrize("proof", LIES)
async def test_a_lie_is_found(module_urls: DatabaseUrls, proof: str) -> None:
    owner = await asyncpg.connect(module_urls.owner)
    try:
        lying = owner.transaction(isolation="repeatable_read")
        await lying.start()
        await owner.execute(GOOD)
        await owner.execute(LIES[proof])
        assert proof in await proofs(owner)
        await lying.rollback()
    finally:
        await owner.close()


ERASED = """
    update gateway.members set status = 'erased';
    update points.wallets set status = 'erased';
    insert into redemption.members (program, member, erased_at) values ('p', 'm', now());
"""
LEFT_BEHIND = (
    "update gateway.members set key = 'k'",
    'update gateway.members set attributes = \'{"card": "gold"}\'',
    "update gateway.members set person = 'p-1'",
    "update gateway.members set household = 'h'",
    "insert into gateway.identifiers (program, scheme, hash, member, created_at) values ('p', 'card', 'h', 'm', now())",
    """insert into gateway.operations (program, kind, id, partner, member, request, sealed_note, state, created_at)
       values ('p', 'adjustment', 'a', 'acme', 'm', 'k', 's', 'posted', now())""",
    """update gateway.member_details set body = '{"person": null, "attributes": {"card": "gold"}}'
       where detail = 'profile'""",
    "update points.wallets set attributes = '{}'",
    "update redemption.members set erased_at = null",
    "delete from redemption.members",
)


@pytest.mark.parametrize("left", LEFT_BEHIND)
async def test_whatever_is_left_of_an_erased_member_is_found(module_urls: DatabaseUrls, left: str) -> None:
    owner = await asyncpg.connect(module_urls.owner)
    try:
        lying = owner.transaction(isolation="repeatable_read")
        await lying.start()
        await owner.execute(GOOD)
        await owner.execute(ERASED)
        assert await proofs(owner) == []
        await owner.execute(left)
        assert "of who was erased nobody keeps who it was" in await proofs(owner)
        await lying.rollback()
    finally:
        await owner.close()
