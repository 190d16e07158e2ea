"""Published records that a process cannot make sense of: laid aside and told of, so that they stop nothing behind them.

A newer gateway may publish what an older worker does not know; the worker that comes after it reads all again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from laurel.io.telemetry import logger

if TYPE_CHECKING:
    from laurel.io.health import Health

log = logger(__name__)

_TOLD_MAX = 300


class Aside:
    """What was laid aside, each under a name, and why. It stays in `/health/ready` as a detail of `part`."""

    def __init__(self, part: str, health: Health) -> None:
        self._part = part
        self._health = health
        self._why: dict[tuple[str, str], str] = {}

    def put(self, program: str, name: str, error: Exception) -> None:
        """Lay a record of a program aside."""
        if (program, name) not in self._why:
            log.error("record laid aside", part=self._part, program=program, record=name, error=repr(error))
        self._why[program, name] = repr(error)[:_TOLD_MAX]
        self._tell()

    def taken(self, program: str, name: str) -> None:
        """Take note that the record is understood after all."""
        if self._why.pop((program, name), None) is not None:
            self._tell()

    def __contains__(self, program: str) -> bool:
        """Say whether anything of a program lies here."""
        return any(each == program for each, _ in self._why)

    def _tell(self) -> None:
        text = ""
        if self._why:
            (_, name), why = next(iter(self._why.items()))
            text = f"{len(self._why)} records are laid aside, first {name}: {why}"
        self._health.detail(self._part, text)
