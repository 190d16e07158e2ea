"""Requests that wait for their outcome, and the tail of the topics on which it comes back."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from laurel.io.telemetry import logger
from services.gateway.naming import REDEMPTION_CANCEL, REDEMPTION_CONFIRM, correlations_of
from services.gateway.outcomes import ANSWERS, told_by
from services.gateway.told.telling import Told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.gateway.naming import Correlation
    from services.gateway.told.telling import Heard

log = logger(__name__)

HURRY_SECONDS = 2.0
_ANSWERS = frozenset(name.encode() for name in ANSWERS)
# Whoever waits for a redemption that another request ends is answered by what that one brings about.
_OF_OTHERS = tuple(correlations_of(kind).encode() for kind in (REDEMPTION_CANCEL, REDEMPTION_CONFIRM))


class Waiter:
    """One caller who waits for one request."""

    def __init__(self, waiting: Waiting, correlation: str) -> None:
        self._waiting = waiting
        self._correlation = correlation
        self._told: asyncio.Future[Told | None] = asyncio.get_running_loop().create_future()

    def tell(self, told: Told | None) -> None:
        """Hand over the outcome, or that it is not waited for any longer; the first one counts."""
        if not self._told.done():
            self._told.set_result(told)

    async def outcome(self, seconds: float) -> Told | None:
        """Wait for the outcome, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(self._told)
        except TimeoutError:
            return None

    def close(self) -> None:
        self._waiting.forget(self._correlation, self)


class Waiting:
    """Who waits for what on this instance. `wanted` and `hear` are what a tail of the topics is given."""

    def __init__(self) -> None:
        self._waiters: dict[str, list[Waiter]] = defaultdict(list)
        self._keys: dict[bytes, str] = {}
        self._is_over = False

    def hurry(self) -> None:
        """This instance stops: whoever waits hears of it within two seconds, or is told where it will be seen."""
        asyncio.get_running_loop().call_later(HURRY_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._is_over = True
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.tell(None)

    def expect(self, correlation: Correlation) -> Waiter:
        """Wait for a request; begin before its row is committed, so that no outcome can be missed."""
        name = str(correlation)
        waiter = Waiter(self, name)
        self._waiters[name].append(waiter)
        self._keys[name.encode()] = name
        if self._is_over:
            waiter.tell(None)
        return waiter

    def wanted(self, headers: Mapping[str, bytes]) -> bool:
        """Tell by its headers whether an event is an outcome that somebody here waits for."""
        correlation = headers.get("ce_correlationid", b"")
        may_be = correlation in self._keys or (bool(self._keys) and correlation.startswith(_OF_OTHERS))
        return may_be and headers.get("ce_type", b"") in _ANSWERS

    def hear(self, message: Heard) -> None:
        """Tell the waiting callers what a message says of their request."""
        try:
            told = told_by(message)
        except (msgspec.MsgspecError, ValueError):
            # The projector parks it, with the reason; here nobody can be told anything.
            log.warning("an outcome could not be read", type=message.type, program=message.program)
            return
        for outcome, other in ((told.outcome, told.also), (told.also, told.outcome)):
            if outcome is not None:
                for waiter in self._waiters.get(str(outcome.correlation), ()):
                    waiter.tell(replace(told, outcome=outcome, also=other))

    def forget(self, correlation: str, waiter: Waiter) -> None:
        waiters = self._waiters.get(correlation)
        if waiters is None:
            return
        if waiter in waiters:
            waiters.remove(waiter)
        if not waiters:
            del self._waiters[correlation]
            self._keys.pop(correlation.encode(), None)
