"""`laurel verify` says by its exit code whether all holds, something does not, or it could not be asked."""

from __future__ import annotations

import asyncio

import asyncpg
from typer.testing import CliRunner, Result

from laurel.cli.app import app_of
from laurel.io.migrating import DatabaseUrls

SAID = """
    insert into gateway.outbox_keys (program, member, stream, number) values ('p', 'm', '', 1);
    insert into gateway.outbox (program, member, stream, number, aggregatetype, aggregateid, type, payload, at)
        values ('p', 'm', '', 1, 'activity', 'p:m', 'activity.reported.v1', '', now());
    insert into redemption.inbox (program, member, source, number) values ('p', 'm', 'laurel/gateway/1', 1);
"""
APPLIED = "insert into points.inbox select * from redemption.inbox"


def verify(url: str, *more: str) -> Result:
    return CliRunner().invoke(app_of(["verify"]), ["verify", "--database", url, *more])


def change(urls: DatabaseUrls, *statements: str) -> None:
    async def go() -> None:
        owner = await asyncpg.connect(urls.owner)
        for statement in statements:
            await owner.execute(statement)
        await owner.close()

    asyncio.run(go())


def test_all_holds(database_urls: DatabaseUrls) -> None:
    change(database_urls, SAID, APPLIED)
    answer = verify(database_urls.auditor)
    assert answer.exit_code == 0, answer.output
    assert "messages: every event was published and applied once" in answer.output
    for checked in ("points: 0 journals", "redemption: 0 decisions", "gateway: 0 requests"):
        assert f"{checked} checked" in answer.output
    assert "All holds" in answer.output


def test_event_that_does_not_arrive_is_waited_for_and_named(database_urls: DatabaseUrls) -> None:
    change(database_urls, SAID)
    answer = verify(database_urls.auditor, "--within", "0.2")
    assert answer.exit_code == 1, answer.output
    assert "does not hold: points applied what gateway said" in answer.output
    assert "p:m: gateway said 1, points applied 0" in answer.output
    assert "1 findings" in answer.output


DAMAGES = {
    "balances are what lots hold": "insert into points.balances (program, member, unit, available) "
    "values ('p', 'm', 'point[s]', 7)",
    "stock is what its sagas have": "insert into redemption.stock (program, reward, version, reserved) "
    "values ('p', 'off', 1, 1)",
    "nobody is shown as enrolled who has no wallet": "insert into gateway.members "
    "(program, member, status, enrolled_at, attributes, created_at) values ('p', 'm', 'active', now(), '{}', now())",
}


def test_what_each_service_finds_wrong_is_told(database_urls: DatabaseUrls) -> None:
    change(database_urls, *DAMAGES.values())
    answer = verify(database_urls.auditor)
    assert answer.exit_code == 1, answer.output
    for proof in DAMAGES:
        assert f"does not hold: {proof}" in answer.output
    assert "p/m point[s]: available 7" in answer.output
    assert "All holds" not in answer.output


def test_what_is_parked_is_told_and_is_no_fault(database_urls: DatabaseUrls) -> None:
    change(
        database_urls,
        SAID,
        "insert into points.parked (program, member, source, sequence, topic, headers, body, reason, detail) "
        "values ('p', 'm', 'laurel/gateway/1', 1, 't', '{}', '', 'undecodable', '')",
    )
    answer = verify(database_urls.auditor)
    assert answer.exit_code == 0, answer.output
    assert "points has 1 parked messages" in answer.output


def test_database_that_is_not_there_cannot_be_verified() -> None:
    answer = verify("postgresql://laurel_auditor:x@127.0.0.1:1/laurel")
    assert answer.exit_code == 2
    assert "Cannot verify" in answer.output


def test_role_that_may_not_look_cannot_verify(database_urls: DatabaseUrls) -> None:
    answer = verify(database_urls.points)
    assert answer.exit_code == 2
    assert "Cannot verify" in answer.output


def test_proofs_that_break_off_prove_nothing(database_urls: DatabaseUrls) -> None:
    """The messages can be accounted for, but a table that a proof needs is gone."""
    change(database_urls, "drop table points.returns, points.lots")
    answer = verify(database_urls.auditor)
    assert answer.exit_code == 2, answer.output
    assert "The proofs of points ended with code 1" in answer.output
    assert "All holds" not in answer.output
