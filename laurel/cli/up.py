"""`laurel up`: everything on this machine, until told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from laurel.embedded.services import GATEWAY_PORT
from laurel.embedded.status import DATA_DIR
from laurel.embedded.supervisor import Options, StopAsked, Supervisor
from laurel.errors import LaurelError


def up(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The gateway's port.")] = GATEWAY_PORT,
    data_dir: Annotated[Path, typer.Option(help="Where data, keys and logs are kept.")] = DATA_DIR,
    database: Annotated[
        str | None, typer.Option(help="Use this Postgres, named by an administrator's URL, not the embedded one.")
    ] = None,
    kafka: Annotated[str | None, typer.Option(help="Use this Kafka (HOST:PORT), not the embedded broker.")] = None,
    points_workers: Annotated[
        int, typer.Option(min=0, max=32, help="Worker processes of points, beside the one with its API.")
    ] = 0,
    redemption_workers: Annotated[
        int, typer.Option(min=0, max=32, help="Worker processes of redemption, beside the one with its API.")
    ] = 0,
) -> None:
    """Start database, broker and services, publish the programs as sandboxes, and stay until Ctrl-C."""
    options = Options(
        data_dir=data_dir,
        port=port,
        database=database,
        kafka=kafka,
        points_workers=points_workers,
        redemption_workers=redemption_workers,
    )
    raise typer.Exit(run(options))


def run(options: Options) -> int:
    """Supervise until told to stop; return the exit code."""
    console = Console(highlight=False, soft_wrap=True)

    def tell(who: str, what: str) -> None:
        console.print(Text(f"{who:<16}", style="cyan").append("| ", style="dim").append(what, style="default"))

    supervisor = Supervisor(options, tell)
    try:
        with supervisor:
            tell("laurel", "Ctrl-C stops everything")
            supervisor.watch()
    except StopAsked as asked:
        tell("laurel", f"stopped by {asked}, nothing runs any more")
    except LaurelError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(str(error), style="red"))
        return 1
    return 0
