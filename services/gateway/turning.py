"""A program's clock is turned here when everything is shown that points did for it, and its vouchers are done.

Points tells that it is done on one key, and what it did on the keys of members, which may be shown later. So the
members that the turn moved are asked for, and the clock stands at its new now when each of them is shown as far as
its wallet had come. Redemption, which issues what points made and ends what is over, is asked how far it is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from laurel.errors import Problem
from laurel.io.keeping import keep_doing
from laurel.io.telemetry import logger
from services.gateway.naming import CLOCK, Correlation, RequestKey
from services.gateway.passing import path_of
from services.gateway.store import members, programs, requests
from services.gateway.store.recording import record
from services.gateway.told.telling import POSTED, Outcome, Told

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from laurel.io.database import Database
    from laurel.io.health import Health
    from services.gateway.passing import Owner
    from services.gateway.store.programs import TurnRow
    from services.gateway.store.requests import RequestRow

log = logger(__name__)

PART: Final = "turning"
_FIRST_LOOK_SECONDS: Final = 0.01
_LOOK_SECONDS_MAX: Final = 0.2


def turn_key(program: str, as_of: datetime) -> RequestKey:
    """A turn is named by where it goes."""
    return RequestKey(program, CLOCK, "", as_of.astimezone(UTC).isoformat())


class _Vouchers(msgspec.Struct):
    done: bool
    vouchers_issued: int
    vouchers_expired: int
    holds_timed_out: int = 0


_decode_vouchers = msgspec.json.Decoder(_Vouchers).decode


class _Moved(msgspec.Struct):
    members: list[tuple[str, int]]
    next: str | None


_decode_moved = msgspec.json.Decoder(_Moved).decode


@dataclass(slots=True)
class Progress:
    """Up to which member it was seen that all is shown; what is shown once stays so."""

    as_of: datetime | None = None
    after: str = ""


class Turning:
    """Sees turns to their end. Whoever waits for one does, and a worker does for turns that nobody waits for."""

    def __init__(
        self,
        database: Database,
        points: Owner,
        redemption: Owner,
        health: Health,
        clock: Callable[[], datetime],
        *,
        interval_seconds: float,
    ) -> None:
        self._database = database
        self._points = points
        self._redemption = redemption
        self._health = health
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._progress: dict[str, Progress] = {}

    async def run(self) -> None:
        """Finish turns, again and again, until cancelled; then nothing more is asked of points."""
        try:
            await keep_doing(self._look, partial(asyncio.sleep, self._interval_seconds), self._health, PART)
        finally:
            await self._points.close()
            await self._redemption.close()

    async def _look(self) -> None:
        async with self._database.connection() as connection:
            done = await programs.turns_done(connection)
        for turn in done:
            await self._try_to_finish(turn, self._progress.setdefault(turn.program, Progress()))

    async def wait(self, key: RequestKey, seconds: float) -> RequestRow | None:
        """Return the request for a turn when its outcome is known, or as it stands when the time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        pause = _FIRST_LOOK_SECONDS
        progress = Progress()
        while True:
            async with self._database.connection() as connection:
                turn = await programs.turn(connection, key.program)
                row = await requests.find(connection, key)
            if row is None or not row.is_pending:
                return row
            if turn is not None and turn.turned is not None and await self._try_to_finish(turn, progress):
                continue
            if loop.time() + pause > deadline:
                return row
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LOOK_SECONDS_MAX)

    async def _try_to_finish(self, turn: TurnRow, progress: Progress) -> bool:
        """The same; who cannot be asked just now can be later, and whoever waits is not told of it."""
        try:
            return await self._finish(turn, progress)
        except Problem as problem:
            log.warning("a turned clock cannot be looked at", program=turn.program, code=problem.code)
            return False

    async def _finish(self, turn: TurnRow, progress: Progress) -> bool:
        """Let the clock stand at its new now, if all that it moved is shown."""
        if turn.turned is None:
            return False
        # First, because what it has points release moves members, too.
        vouchers = await self._vouchers(turn)
        if not vouchers.done or not await self._is_shown(turn, progress):
            return False
        turned = msgspec.json.decode(turn.turned)
        body = {
            **turned,
            "holds_timed_out": turned.get("holds_timed_out", 0) + vouchers.holds_timed_out,
            "vouchers_expired": vouchers.vouchers_expired,
            "vouchers_issued": vouchers.vouchers_issued,
        }
        async with self._database.transaction() as connection:
            if not await programs.end_turn(connection, turn.program, turn.turning_to):
                return True
            key = turn_key(turn.program, turn.turning_to)
            row = await requests.find(connection, key)
            if row is not None:
                outcome = Outcome(Correlation(key, row.attempt), POSTED, None, msgspec.json.encode(body))
                await record(connection, [Told(outcome=outcome)], self._clock())
        return True

    async def _vouchers(self, turn: TurnRow) -> _Vouchers:
        path = path_of("v1", "programs", turn.program, "clock", "vouchers")
        answer = await self._redemption.ask("GET", path, params={"as_of": turn.turning_to.isoformat()})
        if answer.status_code != 200:
            raise Problem("unavailable", "redemption cannot tell of a turned clock.", retry_after_seconds=1)
        return _decode_vouchers(bytes(answer.body))

    async def _is_shown(self, turn: TurnRow, progress: Progress) -> bool:
        if progress.as_of != turn.turning_to:
            progress.as_of, progress.after = turn.turning_to, ""
        path = path_of("v1", "programs", turn.program, "clock", "moved")
        while True:
            params = {"as_of": turn.turning_to.isoformat(), "after": progress.after}
            answer = await self._points.ask("GET", path, params=params)
            if answer.status_code != 200:
                raise Problem("unavailable", "points cannot tell what a clock has moved.", retry_after_seconds=1)
            page = _decode_moved(bytes(answer.body))
            async with self._database.connection() as connection:
                if await members.is_behind(connection, turn.program, page.members):
                    return False
            if page.next is None:
                return True
            progress.after = page.next
