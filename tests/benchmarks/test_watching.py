from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from benchmarks.watching import Watch, children, cpu_seconds, memory_mb

pytestmark = pytest.mark.anyio


async def test_this_process_is_seen_to_work() -> None:
    async with Watch({"this": os.getpid(), "nobody": 2**22 + 1}, every_seconds=0.02) as watch:
        until = asyncio.get_running_loop().time() + 0.2
        while asyncio.get_running_loop().time() < until:
            sum(range(10_000))
            await asyncio.sleep(0)
    this, nobody = watch.document()
    assert 0.01 < this["cpu_seconds"] < 5
    assert this["peak_mb"] >= this["late_mb"] > 10
    assert (nobody["cpu_seconds"], nobody["peak_mb"]) == (0, 0)
    assert watch.seconds >= 0.2
    first, *_ = watch.timeline(0.1)
    assert 0 < first["this"] < 3
    assert first["nobody"] == 0


def test_children_count_with_their_family() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "sum(range(10**7)); print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in children(os.getpid())
        alone = cpu_seconds(os.getpid())
        assert cpu_seconds(os.getpid(), family=True) >= alone + cpu_seconds(child.pid) > alone
        assert memory_mb(child.pid)[0] > 1
        child.kill()
