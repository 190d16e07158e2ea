"""Named places where a test may make the process fail; nothing happens there unless one is armed.

A test in the same process arms a callback; a test that starts a process sets `LAUREL_FAILPOINT=name:kill`
(die at once, as by power loss), `name:stop` (stand still, for somebody else to die meanwhile) or `name:raise`.
`name:kill:3` acts at the third visit, `name@type:kill` only where that type of event is said or heard there. With
`LAUREL_FAILPOINT=file:path` a process does once what it finds in that file, whenever somebody writes one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BEFORE_COMMIT = "before_commit"
AFTER_COMMIT = "after_commit"
AFTER_PUBLISH = "after_publish"
AFTER_MARK = "after_mark"
BEFORE_OFFSETS = "before_offsets"
AFTER_PARTNER = "after_partner"
"""A partner was asked, and nothing of its answer is kept."""

NAMES = frozenset({BEFORE_COMMIT, AFTER_COMMIT, AFTER_PUBLISH, AFTER_MARK, BEFORE_OFFSETS, AFTER_PARTNER})
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Typed(Protocol):
    """What is said or heard at a place."""

    @property
    def type(self) -> str:
        """Name the type of event."""


Action = Callable[[], Awaitable[None] | None]
_Armed = Callable[["Iterable[Typed]"], Awaitable[None] | None]


class FailpointReached(BaseException):
    """Raised by an armed failpoint that does not kill. No `except Exception` may save what is meant to die."""


_armed: dict[str, _Armed] = {}


async def reach(name: str, about: Iterable[Typed] = ()) -> None:
    """Say that the code has come to the place `name`, and with what."""
    if not _armed:
        return
    action = _armed.get(name)
    if action is None:
        return
    waiting = action(about)
    if waiting is not None:
        await waiting


@contextmanager
def armed(name: str, action: Action | None = None, *, times: int = 1) -> Iterator[None]:
    """Arm `name` for the block: run `action`, by default raise `FailpointReached`, at the first `times` visits."""
    if name not in NAMES:
        raise ValueError(f"there is no failpoint {name}")
    left = times

    def act(_about: Iterable[Typed]) -> Awaitable[None] | None:
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


class _Setting(NamedTuple):
    """What is to happen where: at a place, perhaps only with one type of event, at one of its visits."""

    name: str
    type: str
    deed: str
    visit: int

    @classmethod
    def read(cls, text: str) -> _Setting:
        place, _, rest = text.strip().partition(":")
        name, _, type_ = place.partition("@")
        deed, _, visit = rest.partition(":")
        if name not in NAMES:
            raise ValueError(f"there is no failpoint {name}")
        return cls(name, type_, deed, int(visit or "1"))

    def is_met(self, about: Iterable[Typed]) -> bool:
        return not self.type or any(each.type == self.type for each in about)

    def act(self) -> None:
        if self.deed not in _SIGNALS:
            raise FailpointReached(self.name)
        os.kill(os.getpid(), _SIGNALS[self.deed])


def arm_from_environment(value: str) -> None:
    """Arm what `LAUREL_FAILPOINT` names."""
    kind, _, path = value.partition(":")
    if kind == "file":
        for name in NAMES:
            _armed[name] = partial(_act_by_file, Path(path), name)
        return
    setting = _Setting.read(value)
    left = setting.visit

    def act(about: Iterable[Typed]) -> None:
        nonlocal left
        left -= setting.is_met(about)
        # Once: what is raised or stood through is not met again at the next visit.
        if left == 0:
            left -= 1
            setting.act()

    _armed[setting.name] = act


def _act_by_file(path: Path, name: str, about: Iterable[Typed]) -> None:
    try:
        setting = _Setting.read(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    if setting.name == name and setting.is_met(about):
        # Gone before it is done: who wrote it sees that the place was reached, and nobody does it twice.
        path.unlink()
        setting.act()


if _setting := os.environ.get("LAUREL_FAILPOINT"):
    arm_from_environment(_setting)
