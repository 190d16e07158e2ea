"""A process of the redemption service: its door, its worker, or both, until a signal or the death of a part."""

from __future__ import annotations

from typing import Literal

from laurel.io.health import Health
from laurel.io.http import serve
from laurel.io.runner import run_tasks
from laurel.io.telemetry import configure_logging
from services.redemption.app import application
from services.redemption.settings import RedemptionSettings
from services.redemption.wiring import SERVICE, Part, connected, worker

Mode = Literal["api", "worker", "both"]


async def run(mode: Mode, settings: RedemptionSettings) -> None:
    """Run until stopped. The door is always open: a worker, too, tells its health and metrics there."""
    configure_logging(SERVICE, as_json=settings.log_json, level=settings.log_level)
    health = Health()
    async with connected(settings, health) as parts:
        tasks: dict[str, Part] = {}
        if mode != "api":
            tasks |= (await worker(parts)).tasks()
        app = application(parts)

        async def door() -> None:
            await serve(app, settings)

        await run_tasks({"door": door, **tasks})
