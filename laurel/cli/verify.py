"""`laurel verify`: proves that the ledger, the sagas, the projections and the messages between them agree."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer
from rich.console import Console
from rich.markup import escape

from laurel.embedded.reaching import database_urls
from laurel.embedded.status import DATA_DIR
from laurel.errors import LaurelError
from laurel.io import accounting
from laurel.io.migrating import SCHEMAS

ARRIVES_WITHIN_SECONDS = 20.0
_PAUSE_SECONDS = 0.5

_DataDir = Annotated[Path, typer.Option(help="The data directory of `laurel up`.")]
_Database = Annotated[
    str | None, typer.Option(help="The database with the auditor's role, when `laurel up` does not run it.")
]
_Within = Annotated[float, typer.Option(min=0, help="How many seconds an event may still be on its way.")]


def verify(data_dir: _DataDir = DATA_DIR, database: _Database = None, within: _Within = ARRIVES_WITHIN_SECONDS) -> None:
    """Prove that journals balance, wallets = lots = entries, holds are open, and every event has arrived once.

    Prints what does not hold, and where. Exit code 0: all holds; 1: something does not; 2: it could not be asked.
    """
    # A place like `p:m:…` is no emoji, and brackets in what was found are no markup.
    console = Console(highlight=False, emoji=False, soft_wrap=True)
    try:
        url = database or database_urls(data_dir).auditor
        holds = asyncio.run(_verify(url, within, console))
    except (LaurelError, OSError, asyncpg.PostgresError) as error:
        console.print(f"[red]Cannot verify:[/red] {escape(str(error))}")
        raise typer.Exit(2) from error
    raise typer.Exit(0 if holds else 1)


async def _verify(url: str, within: float, console: Console) -> bool:
    started = time.monotonic()
    found = await _account(url, within, console)
    for service in SCHEMAS:
        async for line in _ask(service, url):
            if "proof" in line:
                found += 1
                _tell(console, line["proof"], line["where"], line["what"])
            elif "checked" in line:
                console.print(f"{service}: {line['checked']:,} {line['of']} checked")
    seconds = time.monotonic() - started
    if found:
        console.print(f"[red]{found} findings[/red] in {seconds:.1f} s")
    else:
        console.print(f"[green]All holds[/green] ({seconds:.1f} s)")
    return not found


async def _account(url: str, within: float, console: Console) -> int:
    """Ask whether every event has arrived, and again for what may be on its way."""
    connection: Any = await asyncpg.connect(url, server_settings={"jit": "off"})
    try:
        deadline = time.monotonic() + within
        while True:
            missing = await accounting.account(connection)
            if not missing or time.monotonic() > deadline or not all(one.passing for one in missing):
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        for one in missing:
            _tell(console, one.proof, one.where, one.what)
        for service, count in (await accounting.parked(connection)).items():
            if count:
                console.print(f"[yellow]{service} has {count} parked messages[/yellow]: see `laurel dead list`")
    finally:
        await connection.close()
    if not missing:
        console.print("messages: every event was published and applied once")
    return len(missing)


def _tell(console: Console, proof: str, where: str, what: str) -> None:
    console.print(f"[red]does not hold:[/red] {proof}\n  {escape(f'{where}: {what}')}")


async def _ask(service: str, url: str) -> AsyncIterator[dict[str, Any]]:
    """Run a service's own proofs: it alone knows what its rows mean. Yields its findings and counts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"services.{service}",
        "verify",
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "LAUREL_VERIFY_DATABASE_URL": url},
    )
    assert process.stdout is not None
    async for line in process.stdout:
        yield json.loads(line)
    if await process.wait() != 0:
        raise LaurelError(f"The proofs of {service} ended with code {process.returncode}.")
