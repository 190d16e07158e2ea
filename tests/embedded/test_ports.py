"""Ports that are given out are nobody's, and stay so until somebody listens."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from laurel.embedded import ports
from laurel.embedded.ports import LOCALHOST, PortTakenError, ensure_free, free_port


def test_no_port_is_given_twice() -> None:
    given = [free_port() for _ in range(200)]
    assert len(set(given)) == len(given)


def test_none_is_of_those_that_connections_are_given() -> None:
    outgoing_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    assert all(1024 <= free_port() < outgoing_from for _ in range(50))


def test_one_that_is_listened_on_is_passed_over() -> None:
    taken = free_port() + 1
    with socket.create_server((LOCALHOST, taken)):
        following = [free_port() for _ in range(3)]
        assert taken not in following
        with pytest.raises(PortTakenError, match=str(taken)):
            ensure_free(taken)


def test_processes_begin_elsewhere() -> None:
    asking = [sys.executable, "-c", "from laurel.embedded.ports import free_port; print(free_port(), free_port())"]
    both = [subprocess.Popen(asking, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [set(process.communicate(timeout=30)[0].split()) for process in both]
    assert not told[0] & told[1]


def test_where_connections_may_be_given_any_port_the_system_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_outgoing_from", lambda: 1024)
    assert free_port() > 0
