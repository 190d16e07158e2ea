"""pgbench's TPC-B on the same Postgres, so that a figure can be told as a ratio and travels between machines."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg

SCALE = 20
CLIENTS = 16
DATABASE = "tpcb"
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


class PgbenchFailedError(Exception):
    """pgbench did not do its work."""


async def prepare(admin_url: str, pgbench: Path, scale: int = SCALE) -> None:
    """Make the database and fill it, unless that was done before."""
    admin = await asyncpg.connect(admin_url)
    try:
        if await admin.fetchval("select true from pg_database where datname = $1", DATABASE):
            return
        await admin.execute(f"create database {DATABASE}")
    finally:
        await admin.close()
    await _pgbench(admin_url, pgbench, "-i", "-q", "-s", str(scale))


async def measure(admin_url: str, pgbench: Path, seconds: int, *, protocol: str = "simple") -> float:
    """Return transactions a second."""
    said = await _pgbench(admin_url, pgbench, "-M", protocol, "-c", str(CLIENTS), "-j", "2", "-T", str(seconds))
    return transactions_per_second(said)


def transactions_per_second(said: str) -> float:
    """Read the rate from what pgbench prints."""
    found = _TPS.search(said)
    if found is None:
        raise PgbenchFailedError(f"pgbench named no rate: {said}")
    return float(found.group(1))


async def _pgbench(admin_url: str, pgbench: Path, *arguments: str) -> str:
    parts = urlsplit(admin_url)
    place = {
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port or 5432),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
    }
    process = await asyncio.create_subprocess_exec(
        str(pgbench),
        *arguments,
        DATABASE,
        env={**os.environ, **place},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    said = output.decode(errors="replace")
    if process.returncode != 0:
        raise PgbenchFailedError(said)
    return said
