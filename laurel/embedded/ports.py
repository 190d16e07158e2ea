"""Finding free ports, and saying who holds one that is not."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path

from laurel.errors import LaurelError

LOCALHOST = "127.0.0.1"
_FIRST = 20_000
"""Below it lie the ports of most programs that have one of their own."""
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_OUTGOING_FROM = 32_768
"""From which port on connections are given theirs, where the system does not say."""
_APART = 97
"""How far from each other two processes begin whose numbers follow each other."""


class PortTakenError(LaurelError):
    """The port asked for belongs to another process."""

    def __init__(self, port: int, holder: str) -> None:
        super().__init__(
            f"Port {port} on {LOCALHOST} is taken by {holder}. Stop that process, or choose another port with --port."
        )
        self.port = port
        self.holder = holder


def free_port() -> int:
    """A port that nobody listens on at this moment, and that no outgoing connection can be given meanwhile.

    One that the system chooses could be a connection's before anybody listens on it. Another process that looks may
    still be faster; each begins elsewhere and gives no port twice, so two seldom meet.
    """
    first, numbers = _FIRST, _numbers()
    size = _outgoing_from() - first
    for number in (next(numbers) for _ in range(size)):
        port = first + number % size
        with suppress(OSError):
            return _bound(port)
    return _bound(0)


@cache
def _numbers() -> Iterator[int]:
    """Numbers that this process has not had yet."""
    return count(os.getpid() * _APART)


@cache
def _outgoing_from() -> int:
    with suppress(OSError, ValueError):
        return int(_OUTGOING.read_text(encoding="ascii").split()[0])
    return _OUTGOING_FROM


def ensure_free(port: int) -> None:
    """Raise PortTakenError when somebody listens on the port already."""
    try:
        _bound(port)
    except OSError as error:
        if error.errno == errno.EACCES:
            raise PortTakenError(port, "the system (ports below 1024 need more rights)") from error
        raise PortTakenError(port, holder_of(port)) from error


def _bound(port: int) -> int:
    """Take a port, 0 for any, and let go of it again; returns which it was."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Without this a port that was left a minute ago would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOCALHOST, port))
        taken: int = probe.getsockname()[1]
        return taken


def holder_of(port: int) -> str:
    """The name and process id of who listens on the port, as far as we may know."""
    try:
        import psutil
    except ImportError:
        # It comes with the embedded servers, and they may be left out.
        return "another process"
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "another process"
    for connection in connections:
        listening = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        if listening and connection.pid is not None:
            try:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
            except psutil.Error:
                return f"process {connection.pid}"
    return "another process"


def accepts(port: int, host: str = LOCALHOST, timeout_seconds: float = 0.2) -> bool:
    """Whether somebody answers on the port."""
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds):
            return True
    except OSError:
        return False
