"""The embedded server: who may do what, and that it comes back."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import asyncpg
import pytest

from laurel.embedded.memory import memory_mb, shared_buffers_mb
from laurel.embedded.postgres import EmbeddedPostgres, PostgresFailedError
from laurel.io.migrating import DatabaseUrls, prepare


async def ask(url: str, question: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


@pytest.fixture
def own_dir(reachable_dir: Path, request: pytest.FixtureRequest) -> Path:
    name: str = request.node.name
    return reachable_dir / name[:40]


def test_stopped_server_starts_again_quickly_with_its_data(own_dir: Path) -> None:
    server = EmbeddedPostgres(own_dir)
    try:
        server.start()
        admin = server.url("admin", "postgres")
        asyncio.run(ask(admin, "create table kept as select 7 as value"))
        server.stop()
        began = time.monotonic()
        server.start()
        took = time.monotonic() - began
        assert asyncio.run(ask(server.url("admin", "postgres"), "select value from kept")) == 7
    finally:
        server.destroy()
    assert took < 2.0


def test_pid_file_of_a_dead_server_is_not_believed(own_dir: Path) -> None:
    server = EmbeddedPostgres(own_dir)
    try:
        server.start()
        server.stop()
        # Process 1 runs, and is not a Postgres of ours.
        pid_file = (own_dir / "postgres").resolve() / "postmaster.pid"
        pid_file.write_text("1\n/somewhere\n0\n5432\n\n127.0.0.1\n\nready\n", encoding="utf-8")
        server.start()
        assert asyncio.run(ask(server.url("admin", "postgres"), "select 1")) == 1
    finally:
        server.destroy()


def test_server_left_behind_is_stopped_before_the_next_start(own_dir: Path) -> None:
    left = EmbeddedPostgres(own_dir)
    successor = EmbeddedPostgres(own_dir)
    try:
        left.start()
        successor.start()
        assert left.child is not None
        assert not left.child.running
        assert asyncio.run(ask(successor.url("admin", "postgres"), "select 1")) == 1
    finally:
        left.stop()
        successor.destroy()


def test_server_that_cannot_start_says_why(own_dir: Path) -> None:
    server = EmbeddedPostgres(own_dir, settings={"no_such_setting": "1"})
    try:
        with pytest.raises(PostgresFailedError, match="no_such_setting"):
            server.start()
    finally:
        server.destroy()


def test_durability_is_on_by_default(own_dir: Path) -> None:
    server = EmbeddedPostgres(own_dir)
    try:
        server.start()
        admin = server.url("admin", "postgres")
        assert asyncio.run(ask(admin, "show fsync")) == "on"
        assert asyncio.run(ask(admin, "show synchronous_commit")) == "on"
        assert str(asyncio.run(ask(admin, "show server_version"))).startswith("18")
        kept = "select setting::bigint * 8 / 1024 from pg_settings where name = 'shared_buffers'"
        assert asyncio.run(ask(admin, kept)) == shared_buffers_mb(memory_mb())
    finally:
        server.destroy()


def test_secrets_are_private(postgres: EmbeddedPostgres) -> None:
    assert (postgres.data_dir / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_wrong_password_is_refused(postgres: EmbeddedPostgres) -> None:
    url = postgres.url("admin", "postgres").replace(postgres.secrets.passwords["admin"], "guess")
    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(ask(url, "select 1"))


def test_preparing_twice_changes_nothing(postgres: EmbeddedPostgres, database_urls: DatabaseUrls) -> None:
    name = database_urls.owner.rpartition("/")[2]
    urls = asyncio.run(prepare(postgres.url("admin", "postgres"), postgres.secrets.passwords, name))
    assert urls == database_urls
