"""PostgreSQL 18 from a wheel, with a cluster of its own in the data directory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from laurel.embedded.binaries import Account, own_place, postgres_bin, unprivileged
from laurel.embedded.children import Child
from laurel.embedded.memory import memory_mb, shared_buffers_mb
from laurel.embedded.ports import LOCALHOST, free_port
from laurel.embedded.secret_file import Secrets
from laurel.errors import LaurelError
from laurel.io.migrating import ADMIN_ROLE, DATABASE, ROLES

SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOCALHOST,
    # A socket's path must be short, and a data directory's often is not; TCP works from everywhere.
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_connections": "100",
    # Nothing replicates from here, so the log need not carry what a replica would want.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "min_wal_size": "512MB",
    "checkpoint_timeout": "15min",
    "wal_buffers": "16MB",
    "effective_io_concurrency": "16",
    "random_page_cost": "1.1",
    "jit": "off",
    # Parallel plans need shared memory segments, of which containers are often given 64 MB.
    "max_parallel_workers_per_gather": "0",
    "log_line_prefix": "%m [%p] %q%u/%a ",
    "log_lock_waits": "on",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

EMBEDDED_TABLE_PARTITIONS = 1
"""One machine vacuums its tables whole, and every statement by key has one part to open instead of eight."""

START_SECONDS_MAX = 60.0


class PostgresFailedError(LaurelError):
    """The embedded Postgres could not be made or started."""


class EmbeddedPostgres:
    """A Postgres server for one data directory; `start`, `url`, `stop`.

    `settings` go on top of SETTINGS, for tests that need no durability and benchmarks that compare.
    """

    def __init__(self, data_dir: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.resolve()
        self.secrets = Secrets.of(self.data_dir)
        self.port = port or 0
        self._fixed_port = port is not None
        buffers = {"shared_buffers": f"{shared_buffers_mb(memory_mb())}MB"}
        self._settings = {**SETTINGS, **buffers, **(settings or {})}
        self._child: Child | None = None

    def start(self) -> Self:
        """Make the cluster if there is none, start it, and return when it takes connections."""
        self.launch()
        self.wait_until_ready()
        return self

    def launch(self) -> Child:
        """As `start`, without waiting, so that other things can start meanwhile."""
        account = unprivileged()
        self._bin = postgres_bin(account)
        self._cluster = self._place_of_cluster(account)
        if not (self._cluster / "PG_VERSION").exists():
            self._make_cluster(account)
        self._end_what_was_left()
        self._account = account
        self._run()
        assert self._child is not None
        return self._child

    def wait_until_ready(self) -> None:
        """Return when connections are taken; raise PostgresFailedError with the log's end when that does not happen."""
        deadline = time.monotonic() + START_SECONDS_MAX
        attempts = 1
        while not self._says_ready():
            assert self._child is not None
            if not self._child.running:
                words = self._child.last_words()
                if "could not bind" in words and not self._fixed_port and attempts < 5:
                    # Somebody took the port between our look and the start.
                    attempts += 1
                    self._run()
                    continue
                raise PostgresFailedError(f"Postgres did not start. The end of {self._child.log}:\n{words}")
            if time.monotonic() > deadline:
                self.stop()
                raise PostgresFailedError(f"Postgres was not ready after {START_SECONDS_MAX:.0f} s.")
            time.sleep(0.01)

    def stop(self) -> None:
        """A fast shutdown: connections end, what was committed is on disk."""
        if self._child is not None:
            self._child.stop(grace_seconds=30.0)
            self._child = None

    def destroy(self) -> None:
        """Stop, and delete the cluster with all its data."""
        self.stop()
        link = self.data_dir / "postgres"
        target = link.resolve()
        if link.is_symlink():
            shutil.rmtree(target.parent, ignore_errors=True)
            link.unlink()
        else:
            shutil.rmtree(target, ignore_errors=True)

    def url(self, role: str = "owner", database: str = DATABASE) -> str:
        """Where a role connects: `admin` or one of `laurel.io.migrating.ROLES`."""
        name = ADMIN_ROLE if role == "admin" else ROLES[role]
        password = quote(self.secrets.passwords[role], safe="")
        return f"postgresql://{name}:{password}@{LOCALHOST}:{self.port}/{database}"

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    @property
    def child(self) -> Child | None:
        return self._child

    @property
    def bin(self) -> Path:
        """Where pgbench, psql and the others lie; known once started."""
        return self._bin

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        if not self._fixed_port:
            self.port = free_port()
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        self._child = Child(
            "postgres",
            [str(self._bin / "postgres"), "-D", str(self._cluster), "-p", str(self.port), *options],
            log=self.data_dir / "logs" / "postgres.log",
            environment=_plain_environment(),
            user=_ids(self._account),
            stop_signal=signal.SIGINT,
            cwd=Path("/"),
        )

    def _place_of_cluster(self, account: Account | None) -> Path:
        place = self.data_dir / "postgres"
        if place.is_symlink() or place.exists():
            return place.resolve()
        if account is None or account.reaches(place):
            return place
        elsewhere = own_place(f"laurel-{self.secrets.place}") / "postgres"
        place.symlink_to(elsewhere)
        return elsewhere

    def _make_cluster(self, account: Account | None) -> None:
        """Build beside the final place and move there, so that a broken start leaves no half cluster."""
        unfinished = Path(tempfile.mkdtemp(dir=self._cluster.parent, prefix=".making-"))
        secret = unfinished.with_suffix(".password")
        try:
            secret.touch(mode=0o600)
            secret.write_text(self.secrets.passwords["admin"], encoding="utf-8")
            if account is not None:
                os.chown(unfinished, account.uid, account.gid)
                os.chown(secret, account.uid, account.gid)
            done = subprocess.run(
                [
                    str(self._bin / "initdb"), "-D", str(unfinished), "--username", ADMIN_ROLE,
                    "--pwfile", str(secret), "--auth", "scram-sha-256", "--encoding", "UTF8",
                    # Text is compared by code point and cased by Unicode, the same on every system.
                    "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C",
                    "--no-instructions",
                ],
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
                env=_plain_environment(),
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [],
            )  # fmt: skip
            if done.returncode != 0:
                raise PostgresFailedError(f"initdb failed:\n{done.stdout}\n{done.stderr}")
            unfinished.rename(self._cluster)
        finally:
            secret.unlink(missing_ok=True)
            shutil.rmtree(unfinished, ignore_errors=True)

    def _end_what_was_left(self) -> None:
        """Stop a server that an earlier supervisor left behind, and drop the pid file of one that is gone.

        Two supervisors cannot meet here: the data directory is locked by the one that runs.
        """
        pid_file = self._cluster / "postmaster.pid"
        try:
            pid = int(pid_file.read_text(encoding="utf-8").splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            pid_file.unlink(missing_ok=True)
            return
        if not self._is_ours(pid):
            # The number may belong to somebody else by now, whom Postgres would take for itself.
            pid_file.unlink(missing_ok=True)
            return
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + START_SECONDS_MAX
        while self._is_ours(pid):
            if time.monotonic() > deadline:
                raise PostgresFailedError(f"Postgres (process {pid}) still runs in {self._cluster}.")
            time.sleep(0.05)

    def _is_ours(self, pid: int) -> bool:
        import psutil

        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return str(self._cluster) in process.cmdline()
        except psutil.Error:
            return False

    def _says_ready(self) -> bool:
        """Postgres writes its state into the last line of its pid file; it must be the one we started."""
        assert self._child is not None
        try:
            lines = (self._cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(self._child.pid) and lines[7].strip() == "ready"


def _ids(account: Account | None) -> tuple[int, int] | None:
    return None if account is None else (account.uid, account.gid)


def _plain_environment() -> dict[str, str]:
    """Nothing of the caller's Postgres settings may reach the embedded one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C", "LANG": "C", "TZ": "UTC"}
