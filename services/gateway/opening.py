"""The first start: somebody must be able to make the first key."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from laurel.io.telemetry import logger
from services.gateway.guarding import EVERYTHING, SCOPES, make_key
from services.gateway.naming import OPERATOR
from services.gateway.store import partners

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from laurel.io.database import Database
    from services.gateway.guarding import Guard

log = logger(__name__)


async def open_gateway(database: Database, guard: Guard, clock: Callable[[], datetime], key_file: Path | None) -> None:
    """See to it that the operator is a partner, and that its key file holds a key that opens everything.

    A file whose key is good is kept. Several instances may start at once: each writes a key that works.
    """
    async with database.transaction() as connection:
        if await partners.partner(connection, OPERATOR) is None:
            await partners.put_partner(connection, OPERATOR, "Operator", created_by=OPERATOR, at=clock())
    if key_file is None or await _holds_good_key(guard, key_file):
        return
    made = make_key(partner=OPERATOR, scopes=SCOPES, programs=[EVERYTHING], at=clock())
    async with database.transaction() as connection:
        await partners.add_key(connection, made.row)
    _write_private(key_file, made.secret + "\n")
    log.info("an admin key was written", file=str(key_file), prefix=made.row.prefix)


async def _holds_good_key(guard: Guard, key_file: Path) -> bool:
    try:
        secret = key_file.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return False
    row = await guard.key(secret) if secret.startswith("lk_") else None
    if row is None or "admin" not in row.scopes:
        return False
    key_file.chmod(0o600)
    return True


def _write_private(path: Path, text: str) -> None:
    """Write the file whole or not at all, readable by its owner only from its first byte."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as sink:
            sink.write(text)
        os.replace(temporary, path)  # noqa: PTH105  (the name is a string, as mkstemp gave it)
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108
        raise
