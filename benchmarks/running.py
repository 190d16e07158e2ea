"""A whole Laurel for one benchmark: `laurel up` in a process and a data directory of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

from benchmarks import tpcb
from benchmarks.machine import ROOT
from benchmarks.watching import PROC, children
from laurel.embedded.binaries import postgres_bin, unprivileged
from laurel.embedded.broker import BROKER_MODULE
from laurel.embedded.children import Child
from laurel.embedded.ports import LOCALHOST, free_port
from laurel.embedded.secret_file import Secrets
from laurel.embedded.status import Status, ask_status
from laurel.io.migrating import ADMIN_ROLE

START_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """What runs, and how long it took to be ready."""

    data_dir: Path
    status: Status
    start_seconds: float

    @property
    def admin_url(self) -> str:
        """Where the cluster's administrator connects, for TPC-B in a database of its own."""
        place = urlsplit(self.status.database).netloc.rpartition("@")[2]
        password = Secrets.of(self.data_dir).passwords["admin"]
        return f"postgresql://{ADMIN_ROLE}:{password}@{place}/postgres"

    @property
    def pgbench(self) -> Path:
        return postgres_bin(unprivileged()) / "pgbench"

    @property
    def key_file(self) -> Path:
        return Path(self.status.admin_key_file)

    @property
    def pids(self) -> dict[str, int]:
        """Every process by name: the services, and the servers that run below the supervisor."""
        found = {name: service.pid for name, service in self.status.services.items()}
        for pid in children(self.status.supervisor):
            command_line = _command_line(pid)
            if Path(command_line[0]).name == "postgres":
                found["postgres"] = pid
            elif BROKER_MODULE in command_line:
                found["broker"] = pid
        return found


@asynccontextmanager
async def running(data_dir: Path, *arguments: str) -> AsyncIterator[Running]:
    """Start it and wait until it says that it is ready; afterwards nothing of it runs."""
    port = free_port()
    started = perf_counter()
    supervisor = Child(
        "laurel up",
        [sys.executable, "-m", "laurel.cli.app", "up", "--data-dir", str(data_dir), "--port", str(port), *arguments],
        log=data_dir / "logs" / "up.log",
        cwd=ROOT,
    )
    try:
        status = await _ready(data_dir, supervisor, started)
        yield Running(data_dir, status, perf_counter() - started)
    finally:
        await asyncio.to_thread(supervisor.stop, STOP_SECONDS_MAX)


@asynccontextmanager
async def running_after_tpcb(
    data_dir: Path, name: str, seconds: int, tell: Callable[[str], None], *arguments: str
) -> AsyncIterator[tuple[Running, float]]:
    """Do the same, and measure TPC-B on its Postgres first; give what runs, and transactions a second."""
    async with running(data_dir, *arguments) as place:
        tell(f"{name}, TPC-B before")
        await tpcb.prepare(place.admin_url, place.pgbench)
        yield place, round(await tpcb.measure(place.admin_url, place.pgbench, seconds), 1)


@contextmanager
def broker(data_dir: Path, *, real: bool) -> Iterator[Sequence[str]]:
    """Give what `laurel up` is to be told of its broker: nothing, or where a real Apache Kafka is for the block."""
    if not real:
        yield ()
        return
    from laurel.testing.real_kafka import RealKafka, fetch_jars

    with RealKafka(fetch_jars(ROOT / ".laurel-cache"), data_dir / "kafka") as kafka:
        yield ("--kafka", kafka.bootstrap)


async def _ready(data_dir: Path, supervisor: Child, started: float) -> Status:
    while perf_counter() - started < START_SECONDS_MAX:
        status = ask_status(data_dir)
        if status is not None and status.ready:
            return status
        if not supervisor.running:
            break
        await asyncio.sleep(0.02)
    raise RuntimeError(f"`laurel up` was not ready on {LOCALHOST}:\n{supervisor.last_words(40)}")


async def command(*arguments: str) -> tuple[int, str, str]:
    """Run a command of `laurel`; return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "laurel.cli.app",
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    return process.returncode or 0, said.decode(errors="replace"), complained.decode(errors="replace")


def _command_line(pid: int) -> list[str]:
    try:
        return (PROC / str(pid) / "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return [""]
