"""Copies of a template database, made ahead while tests run: two cores have time for it, and no test waits.

And the death of a whole server.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import asyncpg
import psutil

from laurel.embedded.postgres import EmbeddedPostgres

_AHEAD = 2


class Copies:
    """A server's copies of one template. One thread makes and drops them, over one connection."""

    def __init__(self, admin: str, template: str, *, prefix: str, owner: str = "") -> None:
        owned = f" owner {owner}" if owner else ""
        self._make = f"create database {{}} template {template}{owned} strategy file_copy"
        self._admin = admin
        self._names = (f"{prefix}_{number}" for number in itertools.count(1))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="copies")
        self._runner: asyncio.Runner | None = None
        self._connection: Any = None
        self._ready: deque[Future[str]] = deque(self._thread.submit(self._copy) for _ in range(_AHEAD))

    @contextmanager
    def one(self) -> Iterator[str]:
        """Give the name of a copy that nobody has used, and that is gone afterwards."""
        self._ready.append(self._thread.submit(self._copy))
        name = self._ready.popleft().result()
        yield name
        self._thread.submit(self._execute, f"drop database {name} with (force)")

    def close(self) -> None:
        """Finish what is asked for; whoever owns the server lets the rest go with it."""
        self._thread.submit(self._disconnect).result()
        self._thread.shutdown()

    def _copy(self) -> str:
        name = next(self._names)
        self._execute(self._make.format(name))
        return name

    def _execute(self, statement: str) -> None:
        if self._runner is None:
            self._runner = asyncio.Runner()
            self._connection = self._runner.run(asyncpg.connect(self._admin))
        self._runner.run(self._connection.execute(statement))

    def _disconnect(self) -> None:
        if self._runner is not None:
            self._runner.run(self._connection.close())
            self._runner.close()


def kill_all_of(server: EmbeddedPostgres) -> None:
    """End a server as by power loss, with all that it forked. It stands still first, so that nobody is born unseen."""
    assert server.child is not None
    parent = psutil.Process(server.child.pid)
    parent.suspend()
    forked = parent.children(recursive=True)
    server.child.kill()
    for each in forked:
        each.kill()
    psutil.wait_procs(forked, timeout=10)
