"""`laurel republish`: what closes a gap that does not close by itself."""

from __future__ import annotations

import asyncio
from typing import Annotated

import asyncpg
import typer
from rich.console import Console

from laurel.errors import LaurelError
from laurel.io import republishing
from laurel.io.database import Database
from laurel.io.migrating import SCHEMAS

_APPLICATION = "laurel republish"


def republish(
    service: Annotated[str, typer.Argument(help=f"Whose events are missing: {', '.join(SCHEMAS)}.")],
    database: Annotated[str, typer.Option(help="Its database, with the service's own role.")],
) -> None:
    """Have a running service publish again all events that its outbox retains.

    For a reader that lacks one of them for good (`a gap does not close`). Readers that count hear nothing twice.
    """
    if service not in SCHEMAS:
        raise typer.BadParameter(f"{service!r} is none of {', '.join(SCHEMAS)}.")
    try:
        is_asked = asyncio.run(_run(service, database))
    except (LaurelError, OSError, asyncpg.PostgresError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"Nothing is published again: {error}", style="red", markup=False
        )
        raise typer.Exit(1) from error
    if is_asked:
        print(f"{service} publishes everything again, or will as soon as it runs; its log says when it is done.")
    else:
        print(f"{service} has never met a broker: nothing was published yet.")


async def _run(service: str, url: str) -> bool:
    database = await Database.connect(url, schema=service, application=_APPLICATION, pool_max=2)
    try:
        async with database.connection() as connection:
            return await republishing.ask(connection)
    finally:
        await database.close()
