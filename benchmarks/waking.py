"""What this machine takes to wake somebody: one byte to another process over TCP and back, without and after a pause.

A request passes through several processes, each of which rests until it comes. Where a core that halts takes long
to come back, as on many virtual machines, few requests a second cost more processor time each than many do.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import time
from collections.abc import Callable
from typing import Any

from benchmarks.numbers import percentile
from laurel.embedded.ports import LOCALHOST

PAUSES_MS = (0, 2, 20)


def _answer(port: int) -> None:
    with socket.create_connection((LOCALHOST, port)) as there:
        there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while came := there.recv(64):
            there.sendall(came)


async def run(times: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Ask so many times after each pause; tells the median of the answers and our own processor time, in µs."""
    return await asyncio.to_thread(_ask_all, times, tell)


def _ask_all(times: int, tell: Callable[[str], None]) -> dict[str, Any]:
    asked: list[dict[str, float]] = []
    with socket.create_server((LOCALHOST, 0)) as listening:
        other = multiprocessing.get_context("spawn").Process(target=_answer, args=listening.getsockname()[1:2])
        other.start()
        there, _ = listening.accept()
        with there:
            there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for pause_ms in PAUSES_MS:
                asked.append(_ask(there, pause_ms, times))
                tell("after {pause_ms} ms: {p50_us} µs, {cpu_us} µs of the processor".format(**asked[-1]))
        other.join()
    return {"name": "waking", "times": times, "asked": asked}


def _ask(there: socket.socket, pause_ms: float, times: int) -> dict[str, float]:
    took: list[float] = []
    began = time.thread_time()
    for _ in range(times):
        if pause_ms:
            time.sleep(pause_ms / 1000)
        sent = time.perf_counter()
        there.sendall(b"x")
        there.recv(64)
        took.append(time.perf_counter() - sent)
    cpu = time.thread_time() - began
    return {
        "pause_ms": pause_ms,
        "p50_us": round(percentile(sorted(took), 0.5) * 1e6),
        "cpu_us": round(cpu / times * 1e6),
    }
