"""Runs the parts of a process together: they end together, by a signal or by the death of any one of them."""

from __future__ import annotations

import asyncio
import gc
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from laurel.io.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from typing import Any

log = logger(__name__)

_STOP_SECONDS = 10.0


class PartEnded(RuntimeError):  # noqa: N818 - it is the end of a part that is told
    """A part that runs for ever came to an end."""


def spare_the_collector() -> None:
    """Let the collector of cycles pass over what lives as long as the process, and look less often.

    A batch makes tens of thousands of objects that no cycle holds; looking for cycles among them after every few
    hundred takes a third of a worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def run_tasks(
    parts: Mapping[str, Callable[[], Coroutine[Any, Any, None]]],
    *,
    on_stop: Callable[[], Awaitable[None]] | None = None,
    signals: bool = True,
) -> None:
    """Run all parts until SIGTERM or SIGINT, or until one of them ends or fails; that takes the process down.

    They are stopped in the order given, so name what hands out work before what carries it on: consumers before
    the relay. `on_stop` runs after the first stop was asked for and before any part is cancelled.
    """
    spare_the_collector()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if signals:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
    tasks = {name: asyncio.create_task(run(), name=name) for name, run in parts.items()}
    waiting = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({waiting, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        failures: list[Exception] = []
        for task in done - {waiting}:
            error = task.exception() if not task.cancelled() else None
            log.error("part ended", part=task.get_name(), error=repr(error))
            failures.append(error if isinstance(error, Exception) else PartEnded(f"{task.get_name()} ended by itself"))
        if not failures and on_stop is not None:
            with suppress(Exception):
                async with asyncio.timeout(_STOP_SECONDS):
                    await on_stop()
    finally:
        waiting.cancel()
        for task in tasks.values():
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await asyncio.wait({task}, timeout=_STOP_SECONDS)
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
    if failures:
        raise ExceptionGroup("a part of the process ended", failures)
