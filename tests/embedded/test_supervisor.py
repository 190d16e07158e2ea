"""`laurel up` around stand-ins for the services: start, status, every way to stop, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from laurel.embedded.borrowing import start_if_needed
from laurel.embedded.broker import BROKER_MODULE
from laurel.embedded.ports import free_port
from laurel.embedded.reaching import NotRunningError, database_urls
from laurel.embedded.status import Status, ask_status, read_status

T = TypeVar("T")
STAND_IN = Path(__file__).with_name("stand_in.py")


class Up:
    """One supervised Laurel of stand-ins."""

    def __init__(self, data_dir: Path, port: int, **environment: str) -> None:
        self.data_dir = data_dir
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, str(STAND_IN), "up", str(data_dir), str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
        )

    def ready(self) -> Status:
        return until(lambda: read_status(self.data_dir), "it is ready")

    def family(self) -> list[psutil.Process]:
        """Every process below the supervisor."""
        below: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return below

    def said(self) -> str:
        return self.process.communicate(timeout=90)[0]


def until(ask: Callable[[], T | None], what: str, seconds: float = 120.0) -> T:
    """Ask until there is an answer."""
    deadline = time.monotonic() + seconds
    while (answer := ask()) is None:
        assert time.monotonic() < deadline, f"not after {seconds:.0f} s: {what}"
        time.sleep(0.02)
    return answer


@pytest.fixture(scope="module")
def data_dir(reachable_dir: Path) -> Path:
    """Used by one start after the other, as people do; only the first makes a cluster."""
    return reachable_dir / "up"


@pytest.fixture
def up(data_dir: Path) -> Iterator[Up]:
    with started(data_dir) as running:
        yield running


@contextmanager
def started(data_dir: Path, port: int | None = None, **environment: str) -> Iterator[Up]:
    up = Up(data_dir, port or free_port(), **environment)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.process.terminate()
            up.process.communicate(timeout=90)


def gone(family: list[psutil.Process]) -> bool:
    """Whether none of them runs; one that waits to be collected by a parent of another kind has gone."""
    return not [one for one in family if runs(one)]


def runs(one: psutil.Process) -> bool:
    try:
        return bool(one.is_running() and one.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def name_of(one: psutil.Process) -> str:
    """Postgres' own children come and go while one looks."""
    try:
        return str(one.name())
    except psutil.NoSuchProcess:
        return "postgres"


def test_everything_is_ready_and_said_where(up: Up) -> None:
    status = up.ready()
    assert status.gateway == f"http://127.0.0.1:{up.port}"
    assert status.embedded == ("postgres", "broker")
    assert set(status.services) == {"gateway", "gateway-worker", "points", "redemption"}
    asked = ask_status(up.data_dir)
    assert asked is not None
    assert asked.ready
    assert (up.data_dir / "status.json").stat().st_mode & 0o777 == 0o600
    assert database_urls(up.data_dir).auditor == status.database


def test_programs_are_published_as_sandboxes_with_the_admin_key(up: Up) -> None:
    up.ready()
    lines = (up.data_dir / "stand_in.json").read_text(encoding="utf-8").splitlines()
    seen = [json.loads(line) for line in lines]
    clocks = {entry["path"]: entry["clock"] for entry in seen}
    assert clocks["/v1/programs/grocery"] == clocks["/v1/programs/clubcard"] == "manual"
    assert "/v1/programs/seven-eleven/rewards/pay-at-till" in clocks
    assert {clock for path, clock in clocks.items() if path.count("/") == 3} == {"manual"}
    assert {entry["key"] for entry in seen} == {"Bearer lk_test"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_everything(up: Up, number: signal.Signals) -> None:
    up.ready()
    family = up.family()
    assert len(family) >= 7
    up.process.send_signal(number)
    said = up.said()
    assert up.process.returncode == 0, said
    assert number.name in said
    assert gone(family)
    assert read_status(up.data_dir) is None


def test_second_ctrl_c_does_not_break_the_stop(up: Up) -> None:
    up.ready()
    family = up.family()
    for _ in range(3):
        up.process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    assert "Traceback" not in up.said()
    assert gone(family)


@pytest.mark.crash
@pytest.mark.parametrize("name", ["points", "postgres", "broker"])
def test_crash_of_one_stops_all_and_is_told(up: Up, name: str) -> None:
    status = up.ready()
    family = up.family()
    os.kill(pid_of(status, family, name), signal.SIGKILL)
    said = up.said()
    assert up.process.returncode == 1, said
    assert f"{name} ended by itself" in said
    assert gone(family)


def full(family: list[psutil.Process]) -> list[psutil.Process] | None:
    """The family once broker and four services belong to it, beside Postgres' own."""
    return family if len([one for one in family if name_of(one) != "postgres"]) >= 5 else None


def is_server(process: psutil.Process, name: str) -> bool:
    return name_of(process) == "postgres" if name == "postgres" else BROKER_MODULE in process.cmdline()


def pid_of(status: Status, family: list[psutil.Process], name: str) -> int:
    if name in status.services:
        return status.services[name].pid
    own = [one for one in family if is_server(one, name) and one.ppid() == status.supervisor]
    assert len(own) == 1
    return int(own[0].pid)


@pytest.mark.crash
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent died")
def test_nothing_outlives_a_killed_supervisor_and_it_starts_again(up: Up) -> None:
    up.ready()
    family = up.family()
    up.process.kill()
    up.process.communicate(timeout=10)
    until(lambda: gone(family) or None, "all have gone")
    assert ask_status(up.data_dir) is None
    with started(up.data_dir) as again:
        assert again.ready().ready


def test_second_start_on_the_same_data_is_refused(up: Up) -> None:
    status = up.ready()
    with started(up.data_dir) as second:
        said = second.said()
        assert second.process.returncode == 1
        assert "already runs" in said
        assert str(status.supervisor) in said
    assert up.process.poll() is None
    assert read_status(up.data_dir) == status


def test_taken_port_is_named_with_its_holder(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(data_dir, port) as up:
            said = up.said()
    assert up.process.returncode == 1
    assert f"Port {port}" in said
    assert f"process {os.getpid()}" in said
    assert "--port" in said


def test_crash_while_starting_is_told_with_the_end_of_the_log(data_dir: Path) -> None:
    with started(data_dir, STAND_IN_BROKEN="1") as up:
        said = up.said()
    assert up.process.returncode == 1
    assert "ended by itself" in said
    assert "broken on purpose" in said


def test_stop_while_starting_leaves_nothing(data_dir: Path) -> None:
    with started(data_dir, STAND_IN_NOT_READY="still loading") as up:
        family = until(lambda: full(up.family()), "all services were started")
        up.process.terminate()
        said = up.said()
    assert up.process.returncode == 0, said
    assert gone(family)


def test_a_stop_between_start_and_note_of_a_service_waits_for_it(data_dir: Path) -> None:
    """It is told to stop and waited for like the others; an orphan that leaves by itself leaves when it likes."""
    environment = {"STAND_IN_STOPPED_AT": "points", "STAND_IN_LEAVES_AFTER": "0.5", "STAND_IN_NOT_READY": "loading"}
    with started(data_dir, None, **environment) as up:
        said = up.said()
        assert up.process.returncode == 0, said
        pid = int((data_dir / "stand_in.pid").read_text(encoding="utf-8"))
        assert not psutil.pid_exists(pid)


def test_borrower_uses_what_runs_and_leaves_it(up: Up) -> None:
    status = up.ready()
    with start_if_needed(up.data_dir) as borrowed:
        assert borrowed == status
    assert up.process.poll() is None


def test_nothing_running_is_said(reachable_dir: Path) -> None:
    with pytest.raises(NotRunningError, match="laurel up"):
        database_urls(reachable_dir / "nothing")
