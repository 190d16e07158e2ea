"""Into how many parts the tables that grow with members are cut: asked for once, then the same for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest
from typer.testing import CliRunner

from laurel.cli.app import app_of
from laurel.embedded.postgres import EmbeddedPostgres
from laurel.io.drift import drift
from laurel.io.migrating import (
    ROLES,
    SCHEMAS,
    DatabaseUrls,
    bootstrap,
    migrate,
    prepare,
    urls_beside,
)
from migrations.partitions import PARTITIONS
from tests.migrations.conftest import connected, migrate_up_to
from tests.migrations.described import metadata_of

PARTS = """
select distinct (select count(*) from pg_inherits i where i.inhparent = c.oid)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any($1::text[]) and c.relkind = 'p' order by 1
"""
# What a service may do with a part although it may not do it with the table.
MORE_THAN_THE_TABLE = """
select c.oid::regclass::text, right_
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_inherits i on i.inhrelid = c.oid
cross join unnest(array['update', 'delete', 'truncate']) as right_
where n.nspname = any($1::text[]) and c.relkind = 'r'
  and has_table_privilege('laurel_' || n.nspname, c.oid, right_)
  and not has_table_privilege('laurel_' || n.nspname, i.inhparent, right_)
"""


async def numbers(urls: DatabaseUrls) -> Sequence[int]:
    async with connected(urls.owner) as owner:
        return [row[0] for row in await owner.fetch(PARTS, list(SCHEMAS))]


async def rights(urls: DatabaseUrls) -> Sequence[asyncpg.Record]:
    async with connected(urls.owner) as owner:
        return await owner.fetch(MORE_THAN_THE_TABLE, list(SCHEMAS))


@pytest.mark.parametrize("partitions", [1, 3])
def test_all_tables_have_as_many_as_were_asked_for(postgres: EmbeddedPostgres, name: str, partitions: int) -> None:
    admin, passwords = postgres.url("admin", "postgres"), postgres.secrets.passwords
    urls = asyncio.run(prepare(admin, passwords, name, partitions=partitions))
    assert asyncio.run(numbers(urls)) == [partitions]
    assert not asyncio.run(rights(urls))
    for schema in SCHEMAS:
        assert not asyncio.run(drift(urls.owner, schema, metadata_of(schema)))


def test_the_command_asks_for_them(postgres: EmbeddedPostgres, name: str) -> None:
    admin, passwords = postgres.url("admin", "postgres"), postgres.secrets.passwords
    given = [word for role in ROLES for word in ("--password", f"{role}={passwords[role]}")]
    command_line = ["migrate", "--admin-url", admin, "--database", name, "--partitions", "4", *given]
    answer = CliRunner().invoke(app_of(["migrate"]), command_line)
    assert answer.exit_code == 0, answer.output
    assert asyncio.run(numbers(urls_beside(admin, passwords, name))) == [4]


def test_nobody_asks_and_there_are_eight(database_urls: DatabaseUrls) -> None:
    assert asyncio.run(numbers(database_urls)) == [PARTITIONS] == [8]
    assert not asyncio.run(rights(database_urls))


def test_what_is_made_later_has_as_many_as_what_is_there(postgres: EmbeddedPostgres, name: str) -> None:
    async def in_two_steps() -> DatabaseUrls:
        urls = await bootstrap(postgres.url("admin", "postgres"), postgres.secrets.passwords, name)
        await migrate_up_to(urls, {schema: f"{schema}_0001" for schema in SCHEMAS}, partitions=2)
        await migrate(urls.owner, partitions=5)
        return urls

    urls = asyncio.run(in_two_steps())
    assert asyncio.run(numbers(urls)) == [2]
    assert not asyncio.run(rights(urls))
    for schema in SCHEMAS:
        assert not asyncio.run(drift(urls.owner, schema, metadata_of(schema)))


def test_one_table_of_another_number_is_drift(postgres: EmbeddedPostgres, name: str) -> None:
    admin, passwords = postgres.url("admin", "postgres"), postgres.secrets.passwords
    urls = asyncio.run(prepare(admin, passwords, name, partitions=2))

    async def lose_one() -> None:
        async with connected(urls.owner) as owner:
            await owner.execute("drop table points.lots_p1")

    asyncio.run(lose_one())
    found = asyncio.run(drift(urls.owner, "points", metadata_of("points")))
    assert any("lots: partitions" in each for each in found), found
