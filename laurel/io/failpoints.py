"""Named places where a test may make the process fail; nothing happens there unless one is armed.

A test in the same process arms a callback; a test that starts a process sets `LAUREL_FAILPOINT=name:kill`
(die at once, as by power loss) or `LAUREL_FAILPOINT=name:raise`. `name:kill:3` acts at the third visit.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BEFORE_COMMIT = "before_commit"
AFTER_COMMIT = "after_commit"
AFTER_PUBLISH = "after_publish"
AFTER_MARK = "after_mark"
BEFORE_OFFSETS = "before_offsets"
AFTER_PARTNER = "after_partner"
"""A partner was asked, and nothing of its answer is kept."""

NAMES = frozenset({BEFORE_COMMIT, AFTER_COMMIT, AFTER_PUBLISH, AFTER_MARK, BEFORE_OFFSETS, AFTER_PARTNER})

Action = Callable[[], Awaitable[None] | None]


class FailpointReached(BaseException):
    """Raised by an armed failpoint that does not kill. No `except Exception` may save what is meant to die."""


_armed: dict[str, Action] = {}


async def reach(name: str) -> None:
    """Say that the code has come to the place `name`."""
    if not _armed:
        return
    action = _armed.get(name)
    if action is None:
        return
    waiting = action()
    if waiting is not None:
        await waiting


@contextmanager
def armed(name: str, action: Action | None = None, *, times: int = 1) -> Iterator[None]:
    """Arm `name` for the block: run `action`, by default raise `FailpointReached`, at the first `times` visits."""
    if name not in NAMES:
        raise ValueError(f"there is no failpoint {name}")
    left = times

    def act() -> Awaitable[None] | None:
        nonlocal left
        if left <= 0:
            return None
        left -= 1
        if action is None:
            raise FailpointReached(name)
        return action()

    _armed[name] = act
    try:
        yield
    finally:
        _armed.pop(name, None)


def arm_from_environment(value: str) -> None:
    """Arm what `LAUREL_FAILPOINT` names."""
    name, _, rest = value.partition(":")
    deed, _, visit = rest.partition(":")
    if name not in NAMES:
        raise ValueError(f"there is no failpoint {name}")
    left = int(visit or "1")

    def act() -> None:
        nonlocal left
        left -= 1
        if left != 0:
            return
        if deed == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise FailpointReached(name)

    _armed[name] = act


if _setting := os.environ.get("LAUREL_FAILPOINT"):
    arm_from_environment(_setting)
