"""What runs in a data directory: written by the supervisor, read by every command that needs to find it."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from laurel.embedded.ports import LOCALHOST
from laurel.embedded.secret_file import write_private
from laurel.errors import LaurelError

DATA_DIR = Path(".laurel")
STATUS_FILE = "status.json"
LOCK_FILE = "lock"


class AlreadyRunningError(LaurelError):
    """Another `laurel up` holds the data directory."""

    def __init__(self, data_dir: Path, pid: str) -> None:
        super().__init__(
            f"Laurel already runs on {data_dir} (process {pid or 'unknown'}). "
            f"`laurel status --data-dir {data_dir}` shows it; stop it there, or choose another --data-dir."
        )


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One process of a service; `ready` as it was when last asked."""

    pid: int
    ready: bool
    port: int


@dataclass(frozen=True, slots=True)
class Status:
    """Everything a caller needs to reach what runs. The file is private, because `database` carries a password."""

    gateway: str
    """The gateway's address."""
    kafka: str
    """The broker's `host:port`."""
    database: str
    """Where the auditor connects, who may read everything and write nothing."""
    admin_key_file: str
    """The file that holds the admin key."""
    services: Mapping[str, ServiceStatus] = field(default_factory=dict)
    supervisor: int = 0
    """The process that started all of it, and stops it on SIGTERM."""
    embedded: tuple[str, ...] = ()
    """Which of `postgres` and `broker` run here."""

    @property
    def ready(self) -> bool:
        return bool(self.services) and all(service.ready for service in self.services.values())

    def document(self) -> dict[str, Any]:
        return asdict(self)


def write_status(data_dir: Path, status: Status) -> None:
    write_private(data_dir / STATUS_FILE, json.dumps(status.document(), indent=2) + "\n")


def read_status(data_dir: Path) -> Status | None:
    """As written at the start; None when nothing runs."""
    if not is_held(data_dir):
        return None
    try:
        found = json.loads((data_dir / STATUS_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    services = {name: ServiceStatus(**service) for name, service in found.pop("services").items()}
    embedded = tuple(found.pop("embedded"))
    return Status(**found, services=services, embedded=embedded)


def ask_status(data_dir: Path) -> Status | None:
    """As it is now: every process is asked whether it is ready."""
    status = read_status(data_dir)
    if status is None:
        return None
    services = {
        name: replace(service, ready=not_ready_because(service.port) is None)
        for name, service in status.services.items()
    }
    return replace(status, services=services)


def not_ready_because(port: int, timeout_seconds: float = 2.0) -> str | None:
    """None when the process on this port says that it is ready, else what it says is missing."""
    connection = http.client.HTTPConnection(LOCALHOST, port, timeout=timeout_seconds)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        body = answer.read(4096).decode("utf-8", errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"no answer ({type(error).__name__})"
    finally:
        connection.close()
    return None if answer.status == http.HTTPStatus.OK else body


@contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """Hold the data directory; the system lets go of it when the holder dies, however it dies."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / LOCK_FILE).open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunningError(data_dir, lock.read().strip()) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            (data_dir / STATUS_FILE).unlink(missing_ok=True)


def is_held(data_dir: Path) -> bool:
    """Whether a supervisor holds the data directory."""
    try:
        with (data_dir / LOCK_FILE).open("r", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
