"""`laurel republish`: what closes a gap that does not close by itself."""

from __future__ import annotations

from typing import Annotated

import typer

from laurel.cli.of_service import of_service
from laurel.io import republishing
from laurel.io.migrating import SCHEMAS


def republish(
    service: Annotated[str, typer.Argument(help=f"Whose events are missing: {', '.join(SCHEMAS)}.")],
    database: Annotated[str, typer.Option(help="Its database, with the service's own role.")],
) -> None:
    """Have a running service publish again all events that its outbox retains.

    For a reader that lacks one of them for good (`a gap does not close`). Readers that count hear nothing twice.
    """
    otherwise = "Nothing is published again"
    if of_service(service, database, "laurel republish", republishing.ask, otherwise=otherwise):
        print(f"{service} publishes everything again, or will as soon as it runs; its log says when it is done.")
    else:
        print(f"{service} has never met a broker: nothing was published yet.")
