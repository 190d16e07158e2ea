"""Fixtures on real components: an embedded Postgres, a broker, databases made by running the migrations."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest

from laurel.embedded.broker import EmbeddedBroker
from laurel.embedded.postgres import EmbeddedPostgres
from laurel.io.migrating import DatabaseUrls, bootstrap, migrate, urls_beside
from laurel.testing.real_kafka import RealKafka, fetch_jars
from tests.databases import Copies
from tests.flow.nursery import Nursery, nursery
from tests.trying_again import pytest_runtest_setup

__all__ = ["pytest_runtest_setup"]

# Several tests have these find out what is wrong: it is told with its values, as in a test file.
pytest.register_assert_rewrite(
    "tests.gateway.files", "tests.points.playing", "tests.points.village_machine", "tests.redemption.races"
)

ROOT = Path(__file__).parent.parent
JARS = ROOT / ".laurel-cache"
TEMPLATE = "laurel_template"
MEMORY = Path("/dev/shm")
ROOM_BYTES = 4_000_000_000
LOCAL = ("127.", "::1", "localhost", "0.0.0.0", "testserver")


class BrokerHandle(Protocol):
    """A broker that a test may lose; the address stays."""

    @property
    def bootstrap(self) -> str: ...
    def restart_empty(self) -> None: ...
    def start(self) -> Any: ...
    def stop(self) -> None: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kafka-real",
        action="store_true",
        help="give tests a real Apache Kafka, with idempotent producers, in place of the embedded broker",
    )
    parser.addoption("--chance", default="2", help="how many requests of chance each operation of the API gets")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _network_off() -> Iterator[None]:
    """Nothing in a test may ask for a name or an address beyond this machine."""
    asked, connected = socket.getaddrinfo, socket.socket.connect

    def getaddrinfo(host: Any, *rest: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and not str(name).startswith(LOCAL):
            raise OSError(f"The network is off in tests; {name} was asked for.")
        return asked(host, *rest, **named)

    def connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(LOCAL):
            raise OSError(f"The network is off in tests; {address} was asked for.")
        connected(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        patch.setattr(socket.socket, "connect", connect)
        yield


@pytest.fixture(scope="session")
def reachable_dir() -> Iterator[Path]:
    """A directory that an unprivileged user can pass through, which pytest's own are not."""
    # A copied database is a thousand small files: five times as fast in memory, where there is enough of it.
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    place = Path(tempfile.mkdtemp(prefix="laurel-tests-", dir=MEMORY if roomy else None))
    place.chmod(0o711)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(reachable_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A server with Laurel's roles and one migrated database, which tests copy."""
    # Tests lose nothing that a crash of the machine could take, so they need not wait for the disk.
    speed = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB"}
    server = EmbeddedPostgres(reachable_dir / "postgres", settings=speed)
    try:
        server.start()
        asyncio.run(_make_template(server))
        yield server
    finally:
        server.destroy()


@pytest.fixture(scope="session")
def copies(postgres: EmbeddedPostgres) -> Iterator[Copies]:
    """Migrated databases."""
    made = Copies(postgres.url("admin", "postgres"), TEMPLATE, prefix="test", owner="laurel_owner")
    yield made
    made.close()


@pytest.fixture
def database_urls(postgres: EmbeddedPostgres, copies: Copies) -> Iterator[DatabaseUrls]:
    """A migrated database of the test's own: where owner, points, redemption, gateway and auditor connect."""
    with copies.one() as name:
        yield urls_beside(postgres.url("admin", "postgres"), postgres.secrets.passwords, name)


@pytest.fixture(scope="module")
def module_urls(postgres: EmbeddedPostgres, copies: Copies) -> Iterator[DatabaseUrls]:
    """The same for all tests of a module, which leave nothing behind that the next one would stumble over."""
    with copies.one() as name:
        yield urls_beside(postgres.url("admin", "postgres"), postgres.secrets.passwords, name)


def _as_long_as_it_stays_quick(fixture_name: str, config: pytest.Config) -> Literal["session", "module"]:
    """The embedded broker starts at once, and whoever asks for all topics is told of few; a real one takes seconds."""
    return "session" if config.getoption("--kafka-real") else "module"


@pytest.fixture(scope=_as_long_as_it_stays_quick)
def broker(request: pytest.FixtureRequest, reachable_dir: Path) -> Iterator[str]:
    """The address of a broker that the tests of a module share: use topics, or programs, of the test's own."""
    with _new_broker(request, reachable_dir / f"broker-{uuid.uuid4().hex[:8]}") as shared:
        yield shared.bootstrap


@pytest.fixture
def fresh_broker(request: pytest.FixtureRequest, reachable_dir: Path) -> Iterator[BrokerHandle]:
    """An empty broker of the test's own, which it may stop and lose."""
    with _new_broker(request, reachable_dir / f"broker-{uuid.uuid4().hex[:8]}") as own:
        yield own


@pytest.fixture(scope="module")
def mortal_broker(request: pytest.FixtureRequest, reachable_dir: Path) -> Iterator[EmbeddedBroker | RealKafka]:
    """A broker of a module's own, to be killed and launched again: the embedded one empty, a real one as it was."""
    with _new_broker(request, reachable_dir / f"broker-{uuid.uuid4().hex[:8]}") as mortal:
        yield mortal


@pytest.fixture(scope="session")
def session_timeout_ms(request: pytest.FixtureRequest) -> int:
    """After how long who says nothing is taken for dead; a real broker takes nothing below six seconds."""
    return 6000 if request.config.getoption("--kafka-real") else 1000


def _new_broker(request: pytest.FixtureRequest, place: Path) -> EmbeddedBroker | RealKafka:
    if not request.config.getoption("--kafka-real"):
        return EmbeddedBroker(place)
    return RealKafka(fetch_jars(Path(os.environ.get("LAUREL_KAFKA_JARS", JARS))), place)


@pytest.fixture(scope="session")
def forks() -> Iterator[Nursery | None]:
    """What services are forked from; None where a fork would not be safe."""
    if sys.platform != "linux":
        yield None
        return
    with nursery() as born:
        yield born


async def _make_template(server: EmbeddedPostgres) -> None:
    urls = await bootstrap(server.url("admin", "postgres"), server.secrets.passwords, TEMPLATE)
    await migrate(urls.owner)
