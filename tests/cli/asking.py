"""The command line and a database as tests ask them."""

from __future__ import annotations

from typing import Any

import asyncpg
from typer.testing import CliRunner, Result

from laurel.cli.app import app_of


def of_service(command: str, service: str, url: str) -> Result:
    """Give a command that is for one service."""
    return CliRunner().invoke(app_of([command]), [command, service, "--database", url])


async def ask(url: str, statement: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()
