"""Sending at set times from a process of its own, so that our sampling does not make the sender late."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT
from benchmarks.running import Running


async def send(place: Running, bodies: Path, *, rate: int, warm_up: int, **more: str) -> dict[str, Any]:
    """Have `benchmarks.openloop` send the lines of a file, and return what it tells; `more` are options of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.openloop",
        *("--address", place.status.gateway),
        *("--key-file", str(place.key_file)),
        *("--bodies", str(bodies)),
        *("--rate", str(rate)),
        *("--warm-up", str(warm_up)),
        *(word for name, value in more.items() for word in (f"--{name}", value)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"The sender ended with {process.returncode}")
    told: dict[str, Any] = json.loads(said)
    return told
