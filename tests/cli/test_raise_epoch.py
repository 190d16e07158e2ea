"""`laurel raise-epoch` after a backup was restored."""

from __future__ import annotations

import asyncio
from functools import partial

import asyncpg
import pytest
from typer.testing import Result

from laurel.io.migrating import SCHEMAS, DatabaseUrls
from tests.cli.asking import ask, of_service

DONE, WORK = "01800000-0000-7000-8000-000000000001", "01800000-0000-7000-8000-000000000002"
ROW = "'activity', 'p:m', 'activity.reported.v1', '', now()"


raise_epoch = partial(of_service, "raise-epoch")


@pytest.mark.parametrize("service", SCHEMAS)
def test_unpublished_events_are_counted_anew_under_the_next_epoch(database_urls: DatabaseUrls, service: str) -> None:
    statements = (
        f"insert into {service}.outbox_keys values ('p', 'm', '', 9)",
        f"insert into {service}.outbox_open (work, events) values ('{WORK}', 2)",
        f"""insert into {service}.outbox (program, member, stream, number, aggregatetype, aggregateid, type, payload,
                                          at, work)
            values ('p', 'm', '', 7, {ROW}, '{DONE}'), ('p', 'm', '', 8, {ROW}, '{WORK}'),
                   ('p', 'm', '', 9, {ROW}, '{WORK}')""",
    )
    for statement in statements:
        asyncio.run(ask(database_urls.of(service), statement))
    for epoch in (2, 3):
        answer = raise_epoch(service, database_urls.of(service))
        assert answer.exit_code == 0, answer.output
        assert f"in epoch {epoch}" in answer.output
        url = database_urls.auditor
        assert asyncio.run(ask(url, f"select epoch from {service}.schema_epoch")) == [(epoch,)]
        assert asyncio.run(ask(url, f"select number from {service}.outbox order by 1")) == [(1,), (2,)]
        assert asyncio.run(ask(url, f"select number from {service}.outbox_keys")) == [(2,)]


def test_while_the_service_runs_nothing_is_touched(database_urls: DatabaseUrls) -> None:
    async def beside() -> Result:
        connection = await asyncpg.connect(database_urls.points, server_settings={"application_name": "laurel-points"})
        try:
            return await asyncio.to_thread(raise_epoch, "points", database_urls.points)
        finally:
            await connection.close()

    answer = asyncio.run(beside())
    assert answer.exit_code == 1, answer.output
    assert "1 connections with the role of points are open" in answer.output
    assert asyncio.run(ask(database_urls.auditor, "select epoch from points.schema_epoch")) == [(1,)]


def test_what_cannot_be_done_is_said(database_urls: DatabaseUrls) -> None:
    assert raise_epoch("ledger", database_urls.points).exit_code == 2
    gone = raise_epoch("points", "postgresql://laurel_points:x@127.0.0.1:1/laurel")
    stranger = raise_epoch("points", database_urls.gateway)
    for answer in (gone, stranger):
        assert answer.exit_code == 1, answer.output
        assert "The epoch is not raised" in answer.output
