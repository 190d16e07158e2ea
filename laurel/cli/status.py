"""`laurel status`: what runs in a data directory, and whether it is ready."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from laurel.embedded.status import DATA_DIR, Status, ask_status


def status(
    data_dir: Annotated[Path, typer.Option(help="The data directory of `laurel up`.")] = DATA_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
) -> None:
    """Show what runs. Exit code 0: all ready; 2: something is not; 3: nothing runs."""
    found = ask_status(data_dir)
    if found is None:
        print(json.dumps(None) if as_json else f"Nothing runs on {data_dir}.")
        raise typer.Exit(3)
    if as_json:
        print(json.dumps(found.document(), indent=2))
    else:
        _show(found)
    if not found.ready:
        raise typer.Exit(2)


def _show(found: Status) -> None:
    """For people: without the database's password."""
    place = found.database.rpartition("@")[2]
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_row("gateway", found.gateway)
    table.add_row("kafka", found.kafka)
    table.add_row("database", place)
    table.add_row("admin key", found.admin_key_file)
    for name, service in found.services.items():
        state = "ready" if service.ready else "[red]not ready[/red]"
        table.add_row(name, f"{state}, process {service.pid}, port {service.port}")
    Console(highlight=False).print(table)
