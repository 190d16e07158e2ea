"""A town whose processes can be told to stand still at an exact step, while others die or take over their work."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from tests.flow.stage import Town


class Step(NamedTuple):
    """A place in the life of a redemption: who comes to it, and the failpoint there."""

    who: str
    place: str


class Halting(Town):
    """Its processes look for a failpoint whenever they pass one, so that none has to start anew to be told."""

    def __init__(self, place: Path, *rest: Any, **settings: Any) -> None:
        super().__init__(place, *rest, **settings)
        self.asking: asyncio.Task[None] | None = None
        """Those who bring about the steps; when they fail nothing more will come."""
        self._orders = place / "failpoints"
        self._orders.mkdir()

    def start(self, name: str, failpoint: str = "") -> None:
        super().start(name, failpoint or f"file:{self._orders / name}")

    async def reach(self, step: Step) -> None:
        """Return when somebody stands still there."""
        order = self._orders / step.who
        order.with_suffix(".new").write_text(f"{step.place}:stop", encoding="utf-8")
        order.with_suffix(".new").rename(order)
        await self.until(partial(self._stands_still, step.who), f"{step.who} to stand at {step.place}")

    def go_on(self, name: str) -> None:
        os.kill(self.pid(name), signal.SIGCONT)

    def _stands_still(self, name: str) -> bool:
        if self.asking is not None and self.asking.done():
            self.asking.result()
        return self.exit_code(name) is None and psutil.Process(self.pid(name)).status() == psutil.STATUS_STOPPED
