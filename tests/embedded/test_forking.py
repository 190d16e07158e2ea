"""A forked service is a process of its own: its arguments, its environment, its log, its end."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from laurel.embedded.forking import Forked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere services are started anew")

MODULE = """
import os, signal, sys, time
print("said", sys.argv[1:], os.environ.get("TOLD"), os.environ.get("HOME"), __name__, flush=True)
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, sorted(os.listdir("/proc/self/fd"))[:3], flush=True)
{then}
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A module that says what it is told, and then does what the test says."""
    name = f"forked_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MODULE.format(then=request.param), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def fork(module: str, tmp_path: Path) -> Forked:
    return Forked("service", module, ["both"], log=tmp_path / "service.log", environment={"TOLD": "this"})


def begun(child: Forked) -> None:
    deadline = time.monotonic() + 10
    while "True" not in child.last_words():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(child: Forked) -> int:
    deadline = time.monotonic() + 10
    while (code := child.exit_code) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return code


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("sys.exit('on purpose')", 1),
        ("raise ValueError('on purpose')", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
    indirect=["module"],
)
def test_it_ends_as_a_program_ends(module: str, code: int, tmp_path: Path) -> None:
    child = fork(module, tmp_path)
    assert ended(child) == code
    words = child.last_words()
    assert "said ['both'] this None __main__" in words
    assert "True ['0', '1', '2']" in words
    assert ("on purpose" in words) == (code == 1)


@pytest.mark.parametrize("module", ["time.sleep(60)"], indirect=True)
def test_it_stops_when_asked(module: str, tmp_path: Path) -> None:
    child = fork(module, tmp_path)
    begun(child)
    assert child.running
    assert os.getpgid(child.pid) == child.pid
    child.stop()
    assert child.exit_code == -signal.SIGTERM


@pytest.mark.parametrize("module", ["signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"], indirect=True)
def test_it_is_killed_when_it_does_not_stop(module: str, tmp_path: Path) -> None:
    child = fork(module, tmp_path)
    begun(child)
    # The next line of the module is the one that counts.
    time.sleep(0.1)
    child.stop(grace_seconds=0.1)
    assert child.exit_code == -signal.SIGKILL
