"""Requests that wait become answers: 201 with the outcome, 202 with a place to look, 200 for a repeat, or a problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from laurel.errors import PROBLEMS, Fault, Problem, ProblemKind
from laurel.io.http import problem_response
from laurel.io.telemetry import logger
from services.gateway.gathering import FullError
from services.gateway.projecting import Heard
from services.gateway.store import requests
from services.gateway.told.telling import FREED, POSTED, REFUSED

if TYPE_CHECKING:
    from laurel.io.database import Database
    from services.gateway.asking import Ask, Recorded
    from services.gateway.gathering import Gatherer
    from services.gateway.preferring import Preference
    from services.gateway.waiting import Waiter

log = logger(__name__)

JSON = "application/json"
_RETRY_SECONDS = 1
_PRESSED_SECONDS = 5
_FIRST_LOOK_SECONDS = 0.05
_REPLAYED = {"Idempotency-Replayed": "true"}


@dataclass(frozen=True, slots=True)
class Settled:
    """A request and what is known of it now; `state` may be pending. `replayed`: it had been asked before."""

    recorded: Recorded
    state: str
    code: str | None
    outcome: bytes | None
    replayed: bool

    @property
    def is_refused(self) -> bool:
        return self.state in {REFUSED, FREED}

    def shown_as(self, body: bytes) -> Settled:
        """The same, posted, with what reads show by now."""
        return replace(self, state=POSTED, code=None, outcome=body)


class Settler:
    """Records a request, waits as its caller wishes, and sees to it that what is answered can be read."""

    def __init__(
        self,
        database: Database,
        asking: Gatherer[Ask, Recorded],
        recording: Gatherer[Heard, None],
        is_pressed: Callable[[], bool],
    ) -> None:
        """While `is_pressed` says so nothing is recorded, and callers are told to come back."""
        self._database = database
        self._asking = asking
        self._recording = recording
        self._is_pressed = is_pressed

    async def settle(self, ask: Ask, wish: Preference) -> Settled:
        """Return what became of a request within the time that its caller gives it."""
        recorded = await self._record(ask)
        before = recorded.before
        if before is not None and not before.is_pending:
            if recorded.waiter is not None:
                recorded.waiter.close()
            return Settled(recorded, before.state, before.code, before.outcome, replayed=True)
        replayed = before is not None
        if before is not None and before.outcome is not None:
            # It waits for something that may take long, and that is what there is to tell.
            if recorded.waiter is not None:
                recorded.waiter.close()
            return Settled(recorded, before.state, before.code, before.outcome, replayed=True)
        if ask.request.outcome is not None and not replayed:
            if recorded.waiter is not None:
                recorded.waiter.close()
            return Settled(recorded, ask.request.state, ask.request.code, ask.request.outcome, replayed=False)
        if recorded.waiter is None:
            return Settled(recorded, requests.PENDING, None, None, replayed)
        try:
            return await self._wait(recorded, recorded.waiter, wish.wait_seconds)
        finally:
            recorded.waiter.close()

    async def _wait(self, recorded: Recorded, waiter: Waiter, seconds: float) -> Settled:
        """Wait for the outcome.

        Whoever repeats a request may have come just after its outcome passed by here, and before it was written;
        so the row is looked at again, at ever longer intervals.
        """
        replayed = recorded.before is not None
        told = None
        look_after = _FIRST_LOOK_SECONDS if replayed else seconds
        while told is None and seconds > 0:
            step = min(seconds, look_after)
            told = await waiter.outcome(step)
            seconds -= step
            look_after *= 4
            if told is None:
                # The tail may have missed it, the projector has not: the row is read before anybody is told 202.
                settled = await self._look(recorded, replayed=replayed)
                if settled.state != requests.PENDING or settled.outcome is not None or seconds <= 0:
                    return settled
        if told is None or told.outcome is None:
            return await self._look(recorded, replayed=replayed)
        try:
            await self._recording.submit(Heard(told, is_first=not replayed))
        except Exception:
            # It happened, but no read shows it yet; the projector will see to that.
            log.exception("an outcome could not be recorded", request=str(recorded.correlation))
            return Settled(recorded, requests.PENDING, None, None, replayed)
        outcome = told.outcome
        return Settled(recorded, outcome.state, outcome.code, outcome.body, replayed)

    async def _record(self, ask: Ask) -> Recorded:
        if self._is_pressed():
            raise Problem("overloaded", retry_after_seconds=_PRESSED_SECONDS)
        try:
            return await self._asking.submit(ask)
        except FullError:
            raise Problem("overloaded", retry_after_seconds=_RETRY_SECONDS) from None

    async def _look(self, recorded: Recorded, *, replayed: bool) -> Settled:
        async with self._database.connection() as connection:
            row = await requests.find(connection, recorded.correlation.key)
        if row is None or row.attempt != recorded.correlation.attempt:
            return Settled(recorded, requests.PENDING, None, None, replayed)
        return Settled(recorded, row.state, row.code, row.outcome, replayed)


def answer(
    settled: Settled,
    wish: Preference,
    *,
    location: str,
    pending: dict[str, Any],
    instance: str,
    body: Callable[[bytes], bytes] = bytes,
    success: int = 201,
) -> Response:
    """Turn what is known into the answer; `pending` is shown while nothing is known yet."""
    headers = {**wish.headers, **(_REPLAYED if settled.replayed else {})}
    if settled.state == requests.PENDING:
        shown = settled.outcome or msgspec.json.encode({**pending, "state": requests.PENDING})
        return Response(shown, 202, {**headers, "Location": location}, JSON)
    if settled.is_refused:
        response = problem_response(refusal(settled.code, settled.outcome), instance)
        response.headers.update(headers)
        return response
    status = 200 if settled.replayed else success
    if status == 201:
        headers["Location"] = location
    return Response(body(settled.outcome or b"{}"), status, headers, JSON)


def refusal(code: str | None, outcome: bytes | None) -> Problem:
    """Tell a refusal as the problem it is, with the facts that explain it."""
    shown: dict[str, Any] = msgspec.json.decode(outcome) if outcome else {}
    code = code or "discarded"
    facts = {name: value for name, value in shown.items() if name not in {"state", "code", "detail", "errors"}}
    errors = [Fault(**each) for each in shown.get("errors", ())]
    detail = str(shown.get("detail", ""))
    if code in PROBLEMS:
        return Problem(code, detail, errors=errors, extra=facts)
    # A code that another service knows and this one does not yet.
    unknown = Problem("discarded", detail, extra=facts)
    unknown.kind = ProblemKind(code, 409, "The request was refused", kept=True)
    return unknown
