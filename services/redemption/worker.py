"""A process of the redemption service: its door, its worker, or both, until a signal or the death of a part."""

from __future__ import annotations

from laurel.io.health import Health
from laurel.io.http import serve
from laurel.io.runner import run_tasks
from laurel.io.telemetry import configure_logging
from services.redemption.app import application
from services.redemption.settings import RedemptionSettings
from services.redemption.wiring import SERVICE, Part, connected, worker


async def run(mode: str, settings: RedemptionSettings) -> None:
    """Run as `api`, `worker` or `both` until stopped; every part's death is the process's.

    A worker, too, tells its health and metrics.
    """
    configure_logging(SERVICE, as_json=settings.log_json, level=settings.log_level)
    health = Health()
    async with connected(settings, health) as parts:
        tasks: dict[str, Part] = {}
        if mode != "api":
            tasks |= (await worker(parts)).tasks()
        app = application(parts, answers=mode != "worker")

        async def door() -> None:
            await serve(app, settings)

        await run_tasks({"door": door, **tasks})
