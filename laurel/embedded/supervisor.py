"""Everything on this machine under one parent: started in order, watched, stopped together."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import asyncpg

from laurel.embedded.broker import EmbeddedBroker
from laurel.embedded.children import Child, stop_all
from laurel.embedded.forking import preload
from laurel.embedded.ports import LOCALHOST, ensure_free
from laurel.embedded.postgres import EMBEDDED_TABLE_PARTITIONS, EmbeddedPostgres
from laurel.embedded.publishing import publish_programs
from laurel.embedded.secret_file import Secrets
from laurel.embedded.services import (
    EMBEDDED_PARTITIONS,
    GATEWAY_PORT,
    Role,
    Surroundings,
    environment,
    roles,
    start_service,
)
from laurel.embedded.status import DATA_DIR, ServiceStatus, Status, held, not_ready_because, write_status
from laurel.errors import LaurelError
from laurel.io.migrating import SCHEMAS, DatabaseUrls, prepare

READY_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 15.0
LOG_BYTES_MAX = 10_000_000
ADMIN_KEY_FILE = "admin.key"


class ChildDiedError(LaurelError):
    """A process that should run ended; the rest was stopped with it."""

    def __init__(self, child: Child) -> None:
        words = child.last_words()
        super().__init__(
            f"{child.name} ended by itself (exit code {child.exit_code}). "
            + (f"The end of {child.log}:\n{words}" if words else f"Its log {child.log} is empty.")
        )


class NotReadyError(LaurelError):
    """A service runs, and does not become ready."""


class StopAsked(BaseException):
    """Ctrl-C or SIGTERM; not an Exception, so that nothing on the way takes it for a failure."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `laurel up` can be told."""

    data_dir: Path = DATA_DIR
    port: int = GATEWAY_PORT
    """The gateway's port."""
    database: str | None = None
    """An administrator's URL of a Postgres to use instead of the embedded one."""
    kafka: str | None = None
    """`host:port` of a Kafka to use instead of the embedded broker."""
    points_workers: int = 0
    """Worker processes of points beside the one in its API process."""
    redemption_workers: int = 0
    """The same of redemption."""
    start: Callable[[Role, Path, Mapping[str, str]], Child] = start_service
    """What starts a process of a service; a test puts something quicker here."""
    load: Callable[[], None] = preload
    """What `start` needs to have been done once."""


class Supervisor:
    """Use as a context: inside it everything is ready, after it nothing of it runs. Belongs to the main thread."""

    def __init__(self, options: Options, tell: Callable[[str, str], None]) -> None:
        self._options = options
        self._data_dir = options.data_dir.resolve()
        self._tell = tell
        self._services: dict[str, tuple[Role, Child]] = {}
        self._postgres: EmbeddedPostgres | None = None
        self._broker: EmbeddedBroker | None = None
        self._stack = ExitStack()
        self._stopping = False
        self._later = False
        self._asked: int | None = None

    def __enter__(self) -> Status:
        try:
            self._stack.enter_context(held(self._data_dir))
            self._listen_to_signals()
            return self._start()
        except BaseException:
            self._stop()
            raise

    def __exit__(self, *_: object) -> None:
        self._stop()

    def watch(self) -> NoReturn:
        """Return never: raises StopAsked when told to stop, ChildDiedError when a process ends by itself."""
        while True:
            self._raise_if_one_died()
            time.sleep(0.2)

    def _start(self) -> Status:
        began = time.monotonic()
        options = self._options
        ensure_free(options.port)
        _turn_logs(self._data_dir / "logs")
        secrets = Secrets.of(self._data_dir)
        admin_url, kafka = self._start_servers()
        databases = _prepared(admin_url, secrets)
        self._tell("database", f"schemas are current ({_since(began)})")

        if self._broker is not None:
            # Every service would make its own; one that looks for another's a moment too soon waits for seconds.
            asyncio.run(_make_topics(kafka))
        around = Surroundings(
            databases=databases,
            kafka=kafka,
            embedded_broker=self._broker is not None,
            admin_key_file=self._data_dir / ADMIN_KEY_FILE,
            secrets=secrets,
        )
        everybody = roles(options.port, options.points_workers, options.redemption_workers)
        for role in everybody:
            self._start_service(role, everybody, around)
        self._wait_until_ready(began)
        self._publish(around.admin_key_file)
        # Last of all: who finds the file may count on everything.
        status = self._status(around)
        write_status(self._data_dir, status)
        self._tell("laurel", f"ready after {_since(began)} at {status.gateway}")
        key, logs = _shown(around.admin_key_file), _shown(self._data_dir / "logs")
        self._tell("laurel", f"the admin key lies in {key}, logs in {logs}")
        return status

    def _start_servers(self) -> tuple[str, str]:
        """Both at once; each takes a moment that the other can use."""
        options = self._options
        if options.database is None:
            self._postgres = EmbeddedPostgres(self._data_dir)
            if not (self._data_dir / "postgres").exists():
                self._tell("postgres", "making a new cluster")
            self._postgres.launch()
        if options.kafka is None:
            self._broker = EmbeddedBroker(self._data_dir)
            with self._stopped_later():
                self._broker.launch()
        # While those two start, this process has nothing else to do.
        self._options.load()
        if self._broker is not None:
            self._broker.wait_until_ready()
            self._tell("broker", f"ready on {self._broker.bootstrap}")
        if self._postgres is not None:
            self._postgres.wait_until_ready()
            self._tell("postgres", f"ready on {LOCALHOST}:{self._postgres.port}")
        admin_url = options.database or (self._postgres.url("admin", "postgres") if self._postgres else "")
        return admin_url, options.kafka or (self._broker.bootstrap if self._broker else "")

    def _start_service(self, role: Role, everybody: list[Role], around: Surroundings) -> None:
        log = self._data_dir / "logs" / f"{role.name}.log"
        told = environment(role, everybody, around)
        # Stopped between its start and our noting it, it would end by itself and after Postgres, with nobody waiting.
        with self._stopped_later():
            self._services[role.name] = (role, self._options.start(role, log, told))

    def _wait_until_ready(self, began: float) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        waiting = dict(self._services)
        while waiting:
            for name, (role, _) in list(waiting.items()):
                self._raise_if_one_died()
                reason = not_ready_because(role.port)
                if reason is None:
                    self._tell(name, f"ready on {LOCALHOST}:{role.port} ({_since(began)})")
                    del waiting[name]
                elif time.monotonic() > deadline:
                    raise NotReadyError(f"{name} was not ready after {READY_SECONDS_MAX:.0f} s: {reason}")
            time.sleep(0.03)

    def _publish(self, key_file: Path) -> None:
        try:
            key = key_file.read_text(encoding="utf-8").strip()
            for published in publish_programs(self._options.port, key):
                if published.trouble:
                    self._tell("programs", f"{published.program} was not published: {published.trouble}")
                else:
                    self._tell("programs", f"{published.program} is published")
        except (OSError, http.client.HTTPException) as error:
            self._raise_if_one_died()
            raise NotReadyError(f"The programs could not be published: {error}") from error

    def _status(self, around: Surroundings) -> Status:
        return Status(
            gateway=f"http://{LOCALHOST}:{self._options.port}",
            kafka=around.kafka,
            database=around.databases.auditor,
            admin_key_file=str(around.admin_key_file),
            services={
                name: ServiceStatus(pid=child.pid, ready=True, port=role.port)
                for name, (role, child) in self._services.items()
            },
            supervisor=os.getpid(),
            embedded=tuple(
                name for name, own in (("postgres", self._postgres), ("broker", self._broker)) if own is not None
            ),
        )

    def _raise_if_one_died(self) -> None:
        servers = [server.child for server in (self._postgres, self._broker) if server is not None]
        for child in (*servers, *(child for _, child in self._services.values())):
            if child is not None and not child.running:
                raise ChildDiedError(child)

    def _listen_to_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            before = signal.signal(number, self._hear)
            self._stack.callback(signal.signal, number, before)

    def _hear(self, number: int, _: FrameType | None) -> None:
        # A second Ctrl-C must not break the stopping that the first one began.
        if self._stopping:
            return
        if self._later:
            self._asked = number
            return
        self._stopping = True
        raise StopAsked(signal.Signals(number).name)

    @contextmanager
    def _stopped_later(self) -> Iterator[None]:
        """Whoever asks to stop during the block is heard at its end."""
        self._later = True
        try:
            yield
        finally:
            self._later = False
        if self._asked is not None:
            self._hear(self._asked, None)

    def _stop(self) -> None:
        """Services first: they finish what they have in hand while database and broker still answer."""
        self._stopping = True
        stop_all([child for _, child in self._services.values()], STOP_SECONDS_MAX)
        if self._broker is not None:
            self._broker.stop()
        if self._postgres is not None:
            self._postgres.stop()
        self._services.clear()
        self._stack.close()


def _prepared(admin_url: str, secrets: Secrets) -> DatabaseUrls:
    try:
        return asyncio.run(prepare(admin_url, secrets.passwords, partitions=EMBEDDED_TABLE_PARTITIONS))
    except (OSError, asyncpg.PostgresError) as error:
        raise LaurelError(f"The database cannot be prepared: {error}") from error


async def _make_topics(kafka: str) -> None:
    from laurel.io.kafka import ensure_topics
    from laurel.io.settings import KafkaSettings
    from laurel.io.topics import Topics

    topics = [topic for service in SCHEMAS for topic in Topics(service, partitions=EMBEDDED_PARTITIONS).all()]
    await ensure_topics(KafkaSettings(kafka_bootstrap=kafka), topics)


def _turn_logs(logs: Path) -> None:
    """Keep one older file of each log that has grown large."""
    for log in logs.glob("*.log"):
        if log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.1"))


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"


def _shown(path: Path) -> str:
    """Relative to where the reader stands, when it lies below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
