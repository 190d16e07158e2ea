"""Who may read and write what, once everything is migrated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import pytest

from laurel.io.migrating import SCHEMAS, DatabaseUrls

Ask = Callable[[str, str], Any]
OTHERS = [(service, schema) for service in SCHEMAS for schema in SCHEMAS if schema != service]


@pytest.fixture(scope="module")
def ask(module_urls: DatabaseUrls) -> Iterator[Ask]:
    """Run one statement in a role, and return its first value."""
    connections: dict[str, Any] = {}

    async def go(role: str, statement: str) -> Any:
        if role not in connections:
            connections[role] = await asyncpg.connect(module_urls.of(role))
        return await connections[role].fetchval(statement)

    with asyncio.Runner() as runner:
        yield lambda role, statement: runner.run(go(role, statement))
        for connection in connections.values():
            runner.run(connection.close())


def tables(ask: Ask, schema: str) -> list[str]:
    listed = ask(
        "auditor",
        "select string_agg(relname, ' ') from pg_class "
        f"where relnamespace = '{schema}'::regnamespace and relkind in ('r', 'p')",
    )
    return sorted(str(listed).split())


@pytest.mark.parametrize(("service", "schema"), OTHERS)
def test_service_cannot_reach_another_ones_schema(ask: Ask, service: str, schema: str) -> None:
    for table in tables(ask, schema):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            ask(service, f"select 1 from {schema}.{table} limit 1")


@pytest.mark.parametrize("service", SCHEMAS)
def test_service_reads_and_writes_its_own(ask: Ask, service: str) -> None:
    for table in tables(ask, service):
        ask(service, f"select 1 from {service}.{table} limit 1")
    ask(service, f"insert into {service}.outbox_keys values ('p', 'm', '', 1)")
    ask(service, f"update {service}.outbox_keys set number = 2")
    ask(service, f"delete from {service}.outbox_keys")


@pytest.mark.parametrize("service", SCHEMAS)
@pytest.mark.parametrize(
    "statement",
    [
        "create table {schema}.own (a int)",
        "drop table {schema}.outbox",
        "alter table {schema}.outbox add column a int",
        "truncate {schema}.outbox",
        "update {schema}.alembic_version set version_num = 'x'",
        "create schema own",
        "create table public.own (a int)",
    ],
)
def test_service_changes_no_tables(ask: Ask, service: str, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        ask(service, statement.format(schema=service))


@pytest.mark.parametrize("statement", ["update points.{} set program = program", "delete from points.{}"])
def test_points_cannot_rewrite_its_ledger(ask: Ask, statement: str) -> None:
    ledger = [table for table in tables(ask, "points") if table.startswith(("journals", "entries"))]
    # The partitions are tables that one could write to past their parent.
    assert len(ledger) == 2 * 9
    for table in ledger:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            ask("points", statement.format(table))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_auditor_reads_everything_and_writes_nothing(ask: Ask, schema: str) -> None:
    for table in tables(ask, schema):
        ask("auditor", f"select 1 from {schema}.{table} limit 1")
    for statement in (
        f"insert into {schema}.outbox_keys values ('p', 'm', '', 1)",
        f"update {schema}.outbox_keys set number = 2",
        f"delete from {schema}.outbox_keys",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            ask("auditor", statement)
