"""Preparing a database: by a modest administrator, twice, by two at once; and what every migration keeps to."""

from __future__ import annotations

import ast
import asyncio
import uuid
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from laurel.embedded.postgres import EmbeddedPostgres
from laurel.io.migrating import (
    SCHEMAS,
    DatabaseUrls,
    alembic_config,
    bootstrap,
    for_sqlalchemy,
    head_of,
    is_current,
    migrate,
    migrations_dir,
    prepare,
    urls_beside,
)
from tests.migrations.conftest import connected

VERSIONS = sorted(migrations_dir().glob("*/versions/*.py"))


def test_empty_server_is_prepared_and_current(postgres: EmbeddedPostgres, name: str) -> None:
    admin, passwords = postgres.url("admin", "postgres"), postgres.secrets.passwords
    urls = urls_beside(admin, passwords, name)
    assert not asyncio.run(is_current(urls.owner))
    assert asyncio.run(prepare(admin, passwords, name)) == urls
    assert asyncio.run(is_current(urls.owner))

    async def anybody_may_connect() -> object:
        async with connected(urls.owner) as owner:
            return await owner.fetchval("select has_database_privilege('public', current_database(), 'connect')")

    assert asyncio.run(anybody_may_connect()) is False


def test_two_may_prepare_at_once(postgres: EmbeddedPostgres, name: str) -> None:
    admin, passwords = postgres.url("admin", "postgres"), postgres.secrets.passwords

    async def both() -> None:
        await bootstrap(admin, passwords, name)
        owner = urls_beside(admin, passwords, name).owner
        await asyncio.gather(migrate(owner), migrate(owner))

    asyncio.run(both())
    assert asyncio.run(is_current(urls_beside(admin, passwords, name).owner))


def test_administrator_needs_not_be_superuser(postgres: EmbeddedPostgres, name: str) -> None:
    """A managed Postgres gives nobody a superuser. The roles are new there, so they are renamed for this test."""
    modest = f"modest_{uuid.uuid4().hex[:6]}"

    async def make() -> None:
        async with connected(postgres.url("admin", "postgres")) as admin:
            await admin.execute(f"create role {modest} login createrole createdb password 'x'")
            for role in ("owner", "points", "redemption", "gateway", "auditor"):
                await admin.execute(f"grant laurel_{role} to {modest} with admin option")

    asyncio.run(make())
    url = postgres.url("admin", "postgres").replace("postgres:" + postgres.secrets.passwords["admin"], f"{modest}:x")
    urls = asyncio.run(prepare(url, postgres.secrets.passwords, name))
    assert asyncio.run(is_current(urls.owner))


def test_tables_are_analysed(database_urls: DatabaseUrls) -> None:
    """Plans on tables that were never analysed are the slowest of all."""

    async def never() -> list[str]:
        async with connected(database_urls.owner) as owner:
            rows = await owner.fetch(
                "select oid::regclass::text as name from pg_class where relkind = 'r' and reltuples < 0 "
                "and relnamespace = any($1::regnamespace[])",
                list(SCHEMAS),
            )
            return [row["name"] for row in rows]

    assert asyncio.run(never()) == []


@pytest.mark.parametrize("schema", SCHEMAS)
def test_history_has_one_end_and_it_is_found_without_running_it(schema: str) -> None:
    head = head_of(schema)
    assert head is not None
    assert ScriptDirectory.from_config(alembic_config(schema)).get_heads() == [head]


@pytest.mark.parametrize("file", VERSIONS, ids=lambda file: f"{file.parent.parent.name}-{file.stem}")
def test_migration_opens_with_its_why_and_travels_alone(file: Path) -> None:
    module = ast.parse(file.read_text(encoding="utf-8"))
    assert "Why: " in (ast.get_docstring(module) or "")
    imported = [node.module or "" for node in ast.walk(module) if isinstance(node, ast.ImportFrom)]
    imported += [alias.name for node in ast.walk(module) if isinstance(node, ast.Import) for alias in node.names]
    assert not [one for one in imported if one.split(".")[0] in ("laurel", "services")]


def test_migration_gives_up_on_a_lock_and_leaves_nothing(database_urls: DatabaseUrls, tmp_path: Path) -> None:
    """Everybody would queue behind one that waits."""
    history = tmp_path / "points"
    (history / "versions").mkdir(parents=True)
    for part in ("env.py", "script.py.mako"):
        (history / part).write_text((migrations_dir() / "points" / part).read_text(encoding="utf-8"), encoding="utf-8")
    for file in VERSIONS:
        if file.parent.parent.name == "points":
            (history / "versions" / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    (history / "versions" / "9999_01_01_0001_waits.py").write_text(
        f"""
from alembic import op
revision = "waits"
down_revision = {head_of("points")!r}
branch_labels = depends_on = None

def upgrade() -> None:
    op.execute("create table points.half_done (a int)")
    op.execute("set lock_timeout = '50ms'") if op.get_bind().exec_driver_sql(
        "show lock_timeout").scalar() == "5s" else op.execute("no timeout was set")
    op.execute("alter table points.wallets add column surplus int")
""",
        encoding="utf-8",
    )

    def upgrade(connection: Connection) -> None:
        config = alembic_config("points")
        config.set_main_option("script_location", str(history))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async def go() -> tuple[str, bool]:
        engine = create_async_engine(for_sqlalchemy(database_urls.owner))
        async with connected(database_urls.owner) as holder, holder.transaction():
            await holder.execute("select 1 from points.wallets")
            try:
                async with engine.connect() as connection:
                    await connection.run_sync(upgrade)
                said = "it was migrated"
            except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at below
                said = repr(error)
            finally:
                await engine.dispose()
            nothing_left: bool = await holder.fetchval("select to_regclass('points.half_done') is null")
            return said, nothing_left

    said, nothing_left = asyncio.run(go())
    assert "lock timeout" in said
    assert nothing_left
