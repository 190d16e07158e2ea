"""A process of the gateway: its door, its worker, or both, until a signal or the death of a part."""

from __future__ import annotations

from contextlib import AsyncExitStack

from laurel.io.health import Health
from laurel.io.http import serve
from laurel.io.runner import run_tasks
from laurel.io.telemetry import configure_logging
from services.gateway.app import application
from services.gateway.settings import GatewaySettings
from services.gateway.wiring import SERVICE, Part, answering, connected, working


def _nothing() -> None:
    """Nobody waits where nobody is answered."""


async def run(mode: str, settings: GatewaySettings) -> None:
    """Run as `api`, `worker` or `both` until stopped. A worker, too, tells its health and metrics."""
    configure_logging(SERVICE, as_json=settings.log_json, level=settings.log_level)
    health = Health()
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(connected(settings, health))
        api = await stack.enter_async_context(answering(parts)) if mode != "worker" else None
        app = application(parts, api)

        async def door() -> None:
            if api is not None:
                # A request that came before the tail follows would never hear of its outcome.
                await api.tail.started.wait()
            await serve(app, settings, on_stop=api.waiting.hurry if api is not None else _nothing)

        # They stop in this order: who takes work in first, what carries it out last.
        tasks: dict[str, Part] = {**(api.streams() if api is not None else {}), "door": door}
        if mode != "api":
            tasks |= (await stack.enter_async_context(working(parts))).tasks()
        if api is not None:
            tasks |= api.tasks()
        tasks["relay"] = parts.relay.run
        await run_tasks(tasks)
