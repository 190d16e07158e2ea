"""`laurel raise-epoch`: what a service needs after its backup was restored, before it is started again."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from laurel.cli.of_service import of_service
from laurel.errors import LaurelError
from laurel.io import epochs
from laurel.io.database import Connection
from laurel.io.migrating import SCHEMAS

_APPLICATION = "laurel raise-epoch"
_OTHERS = """
    select count(*) from pg_stat_activity
    where datname = current_database() and usename = current_user and application_name <> $1"""


class StillRunningError(LaurelError):
    """Somebody works with the service's role."""


def raise_epoch(
    service: Annotated[str, typer.Argument(help=f"Whose backup was restored: {', '.join(SCHEMAS)}.")],
    database: Annotated[str, typer.Option(help="The restored database, with the service's own role.")],
) -> None:
    """Have a service count its events anew, after a backup of its schema was restored.

    A backup does not know which numbers were given out after it was taken; their readers do, and would take what
    is said under them next for repeats. Every process of the service must be stopped. Not to be undone.
    """
    epoch = of_service(service, database, _APPLICATION, partial(_alone, service), otherwise="The epoch is not raised")
    print(f"{service} counts its events anew, in epoch {epoch}.")


async def _alone(service: str, connection: Connection) -> int:
    await _be_alone(connection, service)
    return await epochs.raise_epoch(connection)


async def _be_alone(connection: Connection, service: str) -> None:
    others = await connection.fetchval(_OTHERS, _APPLICATION)
    if others:
        raise StillRunningError(
            f"{others} connections with the role of {service} are open; stop its processes before, and start them after"
        )
