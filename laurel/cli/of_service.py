"""What is done to one service by its own role: asked by name and address, and said plainly where it cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import typer
from rich.console import Console

from laurel.errors import LaurelError
from laurel.io.database import Connection, Database
from laurel.io.migrating import SCHEMAS

T = TypeVar("T")


def of_service(
    service: str, url: str, application: str, deed: Callable[[Connection], Awaitable[T]], *, otherwise: str
) -> T:
    """Do it in one transaction of a service's database; exit with 1, and `otherwise` with the reason, if that fails."""
    if service not in SCHEMAS:
        raise typer.BadParameter(f"{service!r} is none of {', '.join(SCHEMAS)}.")
    try:
        return asyncio.run(_run(service, url, application, deed))
    except (LaurelError, OSError, asyncpg.PostgresError) as error:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"{otherwise}: {error}", style="red", markup=False)
        raise typer.Exit(1) from error


async def _run(service: str, url: str, application: str, deed: Callable[[Connection], Awaitable[T]]) -> T:
    database = await Database.connect(url, schema=service, application=application, pool_max=2)
    try:
        async with database.transaction() as connection:
            return await deed(connection)
    finally:
        await database.close()
