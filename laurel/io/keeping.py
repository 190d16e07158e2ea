"""Work that is done again and again for as long as the process lives, whatever becomes of the database meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from laurel.io.database import is_conflict
from laurel.io.kafka import Backoff
from laurel.io.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from laurel.io.health import Health

log = logger(__name__)


async def keep_doing(
    work: Callable[[], Awaitable[object]], rest: Callable[[], Awaitable[None]], health: Health, part: str
) -> None:
    """Do the work and rest, until cancelled; work that says `True` is done again without a rest.

    Trouble is told as `part` at `/health/ready` and waited out with growing pauses. To have met others is no trouble.
    """
    backoff = Backoff()
    while True:
        try:
            more = await work()
        except Exception as error:
            if not is_conflict(error):
                health.not_ready(part, f"{type(error).__name__}: {error}")
                log.exception("work failed and will be tried again", part=part)
            await backoff.pause()
            continue
        backoff.reset()
        health.ready(part)
        if more is not True:
            await rest()


async def woken_or_over(woken: asyncio.Event, seconds: float) -> None:
    """Rest until somebody has something to do for us, or until the time is over."""
    try:
        async with asyncio.timeout(seconds):
            await woken.wait()
    except TimeoutError:
        return
