"""Database, roles and schemas: made once by an administrator, then migrated by their owner.

One database holds three schemas. `laurel_owner` owns and migrates them; each service has a role that reads and writes
rows of its own schema and cannot see the others; `laurel_auditor` reads everything, for `laurel verify`.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from laurel.errors import LaurelError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

SCHEMAS = ("points", "redemption", "gateway")
DATABASE = "laurel"
ADMIN_ROLE = "postgres"
OWNER_ROLE = "laurel_owner"
AUDITOR_ROLE = "laurel_auditor"
ROLES: Mapping[str, str] = {
    "owner": OWNER_ROLE,
    **{schema: f"laurel_{schema}" for schema in SCHEMAS},
    "auditor": AUDITOR_ROLE,
}
VERSION_TABLE = "alembic_version"

# An arbitrary number that means "somebody migrates this database".
_MIGRATING = 7_352_018


class MigrationFailedError(LaurelError):
    """The database cannot be prepared or migrated."""


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """Where each role connects."""

    owner: str
    points: str
    redemption: str
    gateway: str
    auditor: str

    def of(self, role: str) -> str:
        url: str = getattr(self, role)
        return url


def urls_beside(admin_url: str, passwords: Mapping[str, str], database: str = DATABASE) -> DatabaseUrls:
    """The URLs of Laurel's roles on the server that an administrator's URL names."""
    parts = urlsplit(admin_url)
    place = parts.netloc.rpartition("@")[2]

    def url(role: str) -> str:
        who = f"{ROLES[role]}:{quote(passwords[role], safe='')}"
        return urlunsplit((parts.scheme, f"{who}@{place}", f"/{database}", parts.query, ""))

    return DatabaseUrls(**{role: url(role) for role in ROLES})


async def bootstrap(admin_url: str, passwords: Mapping[str, str], database: str = DATABASE) -> DatabaseUrls:
    """Make roles, database and schemas where they are missing; safe to repeat.

    The administrator needs CREATEROLE and CREATEDB, not more. Passwords are set anew, so the ones given hold.
    """
    urls = urls_beside(admin_url, passwords, database)
    async with _connected(admin_url) as admin:
        for role, name in ROLES.items():
            await _ensure_role(admin, name, passwords[role])
        await admin.execute(f"grant {OWNER_ROLE} to current_user")
        await _ensure_database(admin, database)
    async with _connected(urls.owner) as owner, owner.transaction():
        for schema in SCHEMAS:
            await _ensure_schema(owner, schema)
    return urls


async def migrate(owner_url: str, *, partitions: int | None = None) -> None:
    """Bring all three schemas to their newest version, then let the planner look at the tables.

    Plans made on tables that were never analysed are the slowest of all. `partitions`: into how many parts each table
    that grows with members is cut, as long as there is none yet; `migrations.partitions` says what else.
    """
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine(for_sqlalchemy(owner_url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            # Two migrations at once would both find the same work.
            # house: allow portable-sql, since this is not the road that the services take
            await connection.execute(text(f"select pg_advisory_lock({_MIGRATING})"))
            await connection.commit()
            for schema in SCHEMAS:
                await connection.run_sync(_upgrade, schema, partitions)
        async with _connected(owner_url) as owner:
            for schema in SCHEMAS:
                if await _version_of(owner, schema):
                    await owner.execute(
                        f"revoke insert, update, delete on {schema}.{VERSION_TABLE} from {ROLES[schema]}"
                    )
            await owner.execute("analyze")
    finally:
        await engine.dispose()


async def is_current(owner_url: str) -> bool:
    """Whether nothing is left to migrate; quick, since it asks neither SQLAlchemy nor Alembic."""
    try:
        async with _connected(owner_url) as owner:
            return all([await _version_of(owner, schema) == head_of(schema) for schema in SCHEMAS])
    except (asyncpg.InvalidCatalogNameError, asyncpg.InvalidAuthorizationSpecificationError):
        return False


async def prepare(
    admin_url: str, passwords: Mapping[str, str], database: str = DATABASE, *, partitions: int | None = None
) -> DatabaseUrls:
    """What a start needs: nothing when all is in place, else `bootstrap` and `migrate`."""
    urls = urls_beside(admin_url, passwords, database)
    if not await is_current(urls.owner):
        await bootstrap(admin_url, passwords, database)
        await migrate(urls.owner, partitions=partitions)
    return urls


def migrations_dir() -> Path:
    """Where the histories lie."""
    spec = importlib.util.find_spec("migrations")
    if spec is None or not spec.submodule_search_locations:
        raise MigrationFailedError("The package `migrations` is not installed.")
    return Path(next(iter(spec.submodule_search_locations)))


def head_of(schema: str) -> str | None:
    """The newest version in a schema's history, read from its files without running them."""
    revisions: dict[str, str | None] = {}
    for file in sorted((migrations_dir() / schema / "versions").glob("*.py")):
        names = _assigned(file)
        if "revision" in names:
            revisions[str(names["revision"])] = names.get("down_revision")
    heads = set(revisions) - set(revisions.values())
    if len(heads) > 1:
        raise MigrationFailedError(f"The history of {schema} has more than one end: {', '.join(sorted(heads))}.")
    return next(iter(heads), None)


def alembic_config(schema: str) -> Config:
    """Alembic's settings for one schema's history."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_dir() / schema))
    config.set_main_option("file_template", "%%(year)d_%%(month).2d_%%(day).2d_%%(slug)s")
    config.set_main_option("path_separator", "os")
    config.attributes["schema"] = schema
    return config


def _upgrade(connection: Connection, schema: str, partitions: int | None) -> None:
    from alembic import command

    if head_of(schema) is None:
        return
    config = alembic_config(schema)
    config.attributes["connection"] = connection
    if partitions is not None:
        config.attributes["partitions"] = partitions
    command.upgrade(config, "head")


def _assigned(file: Path) -> dict[str, Any]:
    """The constants that a module assigns at its top."""
    names: dict[str, Any] = {}
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value)):
                names[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=value)):
                names[name] = value
    return names


async def _ensure_role(admin: asyncpg.Connection, name: str, password: str) -> None:
    if not await admin.fetchval("select true from pg_roles where rolname = $1", name):
        # Another start may be faster.
        with suppress(asyncpg.DuplicateObjectError):
            await admin.execute(f"create role {name} login")
    # Utility statements take no parameters, so the server quotes the password for us.
    statement = await admin.fetchval(
        "select format('alter role %I login password %L', $1::text, $2::text)", name, password
    )
    await admin.execute(statement)


async def _ensure_database(admin: asyncpg.Connection, database: str) -> None:
    if not await admin.fetchval("select true from pg_database where datname = $1", database):
        with suppress(asyncpg.DuplicateDatabaseError):
            await admin.execute(f'create database "{database}" owner {OWNER_ROLE}')
    await admin.execute(f'revoke all on database "{database}" from public')
    await admin.execute(f'grant connect on database "{database}" to {", ".join(ROLES.values())}')


async def _ensure_schema(owner: asyncpg.Connection, schema: str) -> None:
    """The service writes rows and never changes tables; what it may not even update, its migrations take away."""
    service = ROLES[schema]
    await owner.execute(
        f"""
        create schema if not exists {schema};
        grant usage on schema {schema} to {service}, {AUDITOR_ROLE};
        alter default privileges in schema {schema} grant select, insert, update, delete on tables to {service};
        alter default privileges in schema {schema} grant usage, select on sequences to {service};
        alter default privileges in schema {schema} grant select on tables to {AUDITOR_ROLE};
        """
    )


async def _version_of(owner: asyncpg.Connection, schema: str) -> str | None:
    try:
        version: str | None = await owner.fetchval(f"select version_num from {schema}.{VERSION_TABLE}")
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return None
    return version


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


def for_sqlalchemy(url: str) -> str:
    """The same place, as SQLAlchemy wants it written."""
    return "postgresql+asyncpg://" + url.partition("://")[2]
