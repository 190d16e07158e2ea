"""The embedded broker as a child process: in memory only, and forgetful.

What it forgets the relays say again, because every start gives the cluster another id.
"""

from __future__ import annotations

import secrets
import socket
import struct
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from laurel.embedded.children import Child
from laurel.embedded.ports import LOCALHOST, free_port
from laurel.errors import LaurelError

START_SECONDS_MAX = 20.0
BROKER_MODULE = "laurel.embedded.kafka"


class BrokerFailedError(LaurelError):
    """The embedded broker did not start."""


class EmbeddedBroker:
    """One broker process; it keeps its port through `restart_empty`, so clients find it again."""

    def __init__(self, data_dir: Path, *, port: int | None = None) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.cluster_id = ""
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        return f"{LOCALHOST}:{self.port}"

    @property
    def child(self) -> Child | None:
        return self._child

    def start(self) -> Self:
        """Start, and return when it answers."""
        self.launch()
        self.wait_until_ready()
        return self

    def launch(self) -> Child:
        """As `start`, without waiting."""
        self.cluster_id = f"embedded-{secrets.token_hex(8)}"
        self._child = Child(
            "broker",
            [sys.executable, "-m", BROKER_MODULE, LOCALHOST, str(self.port), self.cluster_id],
            log=self.data_dir / "logs" / "broker.log",
        )
        return self._child

    def wait_until_ready(self) -> None:
        """Return when a request for metadata is answered; raise BrokerFailedError when that does not happen."""
        assert self._child is not None
        if not comes_to_answer(self._child, self.port, START_SECONDS_MAX):
            words = self._child.last_words()
            self.stop()
            raise BrokerFailedError(f"The broker did not start. The end of its log:\n{words}")

    def stop(self) -> None:
        if self._child is not None:
            # It keeps nothing that a slow goodbye could save.
            self._child.stop(grace_seconds=2.0)
            self._child = None

    def restart_empty(self) -> None:
        """Lose everything, as a crash of this broker does: same address, new cluster id.

        Not by asking it to stop: while it says goodbye it goes on serving, and what was under way would be done.
        """
        if self._child is not None:
            self._child.kill()
            self._child = None
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def comes_to_answer(child: Child, port: int, seconds: float) -> bool:
    """Wait until a broker's process answers. False: it has ended, or takes longer than that."""
    deadline = time.monotonic() + seconds
    while not answers_metadata(port):
        if not child.running or time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def answers_metadata(port: int, timeout_seconds: float = 1.0) -> bool:
    """Whether a Kafka broker answers a metadata request (version 1, no topics) on the port."""
    client = b"laurel"
    request = struct.pack(">hhih", 3, 1, 1, len(client)) + client + struct.pack(">i", 0)
    try:
        with socket.create_connection((LOCALHOST, port), timeout=timeout_seconds) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.recv(8)
    except OSError:
        return False
    return len(answer) == 8 and answer[4:] == struct.pack(">i", 1)
