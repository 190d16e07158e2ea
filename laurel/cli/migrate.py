"""`laurel migrate`: prepare and migrate a database, as a deployment does before it starts services."""

from __future__ import annotations

import asyncio
from typing import Annotated

import asyncpg
import typer
from rich.console import Console

from laurel.errors import LaurelError
from laurel.io.migrating import DATABASE, ROLES, bootstrap, is_current, urls_beside
from laurel.io.migrating import migrate as migrate_schemas

PASSWORDS_PREFIX = "LAUREL_PASSWORD_"
PARTITIONS_MAX = 128
"""More would make every statement slower, since one that reaches a table by key opens all of its parts."""


def migrate(
    admin_url: Annotated[
        str,
        typer.Option(
            envvar="LAUREL_ADMIN_DATABASE_URL", help="An administrator's URL of the server (CREATEROLE, CREATEDB)."
        ),
    ],
    passwords: Annotated[
        list[str] | None,
        typer.Option("--password", help=f"ROLE=PASSWORD, for {', '.join(ROLES)}; else {PASSWORDS_PREFIX}<ROLE>."),
    ] = None,
    database: Annotated[str, typer.Option(help="The database to make and migrate.")] = DATABASE,
    partitions: Annotated[
        int | None,
        typer.Option(
            envvar="LAUREL_TABLE_PARTITIONS",
            min=1,
            max=PARTITIONS_MAX,
            help="Into how many parts each table that grows with members is cut. Only the first migration asks.",
            show_default="8",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether something is left to do (exit code 1).")
    ] = False,
) -> None:
    """Make roles, database and schemas where they are missing, and bring the schemas to their newest version."""
    known = _passwords(passwords or [])
    try:
        if check:
            current = asyncio.run(is_current(urls_beside(admin_url, known, database).owner))
            print("The schemas are current." if current else "The schemas are not current.")
            raise typer.Exit(0 if current else 1)
        asyncio.run(_run(admin_url, known, database, partitions))
    except (LaurelError, OSError, asyncpg.PostgresError) as error:
        Console(stderr=True, highlight=False).print(
            f"The database cannot be migrated: {error}", style="red", markup=False
        )
        raise typer.Exit(1) from error
    print("The schemas are current.")


async def _run(admin_url: str, passwords: dict[str, str], database: str, partitions: int | None) -> None:
    urls = await bootstrap(admin_url, passwords, database)
    await migrate_schemas(urls.owner, partitions=partitions)


def _passwords(given: list[str]) -> dict[str, str]:
    import os

    known = {role: os.environ.get(f"{PASSWORDS_PREFIX}{role.upper()}", "") for role in ROLES}
    for pair in given:
        role, separator, password = pair.partition("=")
        if not separator or role not in ROLES:
            raise typer.BadParameter(f"{pair!r} is not ROLE=PASSWORD with a role of {', '.join(ROLES)}.")
        known[role] = password
    missing = [role for role, password in known.items() if not password]
    if missing:
        raise typer.BadParameter(f"No password was given for {', '.join(missing)}.")
    return known
