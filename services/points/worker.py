"""One process of points: what it runs side by side, by role."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from laurel.io.http import serve
from laurel.io.runner import run_tasks
from laurel.io.telemetry import configure_logging
from services.points.app import points_app
from services.points.settings import PointsSettings
from services.points.wiring import reading, working


async def run(role: str) -> None:
    """Run as `api`, `worker` or `both` until stopped; every part's death is the process's."""
    settings = PointsSettings()
    configure_logging("points", as_json=settings.log_json, level=settings.log_level)
    async with reading(settings) as read:
        app = points_app(read, answers=role != "worker")
        parts: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "http": lambda: serve(app, settings),
            "programs": read.topic.run,
        }
        if role != "api":
            work = await working(read)
            parts |= {
                "consumer": work.consumer.run,
                "timer": work.timer.run,
                "turner": work.turner.run,
                "judge": work.judging.run,
                "filler": work.filler.run,
                "pruning": work.prune,
                "relay": work.relay.run,
            }
        await run_tasks(parts)
