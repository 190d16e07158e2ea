"""The embedded Postgres and broker of one benchmark, with everything migrated and nothing in it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from laurel.embedded.broker import EmbeddedBroker
from laurel.embedded.postgres import EmbeddedPostgres
from laurel.io.migrating import SCHEMAS, DatabaseUrls, prepare
from laurel.io.settings import KafkaSettings
from laurel.io.topics import PARTITIONS, Topics


@dataclass(frozen=True, slots=True)
class Servers:
    """Where they are and how to reach them."""

    data_dir: Path
    postgres: EmbeddedPostgres
    broker: EmbeddedBroker
    databases: DatabaseUrls

    @property
    def admin_url(self) -> str:
        return self.postgres.url("admin", "postgres")

    @property
    def pgbench(self) -> Path:
        return self.postgres.bin / "pgbench"

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings(
            kafka_bootstrap=self.broker.bootstrap,
            kafka_partitions=PARTITIONS,
        )

    @property
    def pids(self) -> dict[str, int]:
        assert self.broker.child is not None
        return {"postgres": self.postgres.pid or 0, "broker": self.broker.child.pid}


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    """Start both in a new directory, migrate, and afterwards leave nothing."""
    from laurel.io.kafka import ensure_topics

    with bench_dir() as data_dir:
        postgres = EmbeddedPostgres(data_dir)
        broker = EmbeddedBroker(data_dir)
        try:
            postgres.start()
            broker.start()
            databases = await prepare(postgres.url("admin", "postgres"), postgres.secrets.passwords)
            started = Servers(data_dir, postgres, broker, databases)
            for service in SCHEMAS:
                await ensure_topics(started.kafka, Topics(service).all())
            yield started
        finally:
            broker.stop()
            postgres.destroy()


class bench_dir:  # noqa: N801 (used like a function)
    """A directory of its own for one run, which an unprivileged Postgres may pass through, removed afterwards."""

    def __enter__(self) -> Path:
        self._path = Path(tempfile.mkdtemp(prefix="laurel-bench-"))
        self._path.chmod(0o711)
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
