"""An answer that gave back what others show is held until they show it: vouchers, holds and redemptions of a return."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

from laurel.errors import Problem
from laurel.io.inbox import heard_up_to
from laurel.io.telemetry import logger
from services.gateway.passing import path_of
from services.gateway.store import redemptions, requests
from services.gateway.told.telling import POSTED, TOLD_IN, Shown

if TYPE_CHECKING:
    from laurel.io.database import Database
    from services.gateway.answering import Settled
    from services.gateway.passing import Owner

log = logger(__name__)

_FIRST_LOOK_SECONDS: Final = 0.005
_LOOK_SECONDS_MAX: Final = 0.2


class _Heard(msgspec.Struct):
    heard: bool
    redemptions: dict[str, str] = {}


_decode = msgspec.json.Decoder(Shown).decode
_decode_heard = msgspec.json.Decoder(_Heard).decode


class CatchingUp:
    """Waits until redemption and this service's own reads have taken in the event by which a return was told."""

    def __init__(self, database: Database, redemption: Owner) -> None:
        self._database = database
        self._redemption = redemption

    async def settle(self, program: str, settled: Settled, until: float) -> Settled:
        """Return the same where reads show all of it by then, by the loop's clock; else it is still pending."""
        outcome = settled.outcome
        if settled.state != POSTED or outcome is None or TOLD_IN not in outcome:
            return settled
        shown = _decode(outcome)
        loop, pause = asyncio.get_running_loop(), _FIRST_LOOK_SECONDS
        while not await self._shows(program, shown):
            if loop.time() + pause > until:
                return replace(settled, state=requests.PENDING, outcome=None)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LOOK_SECONDS_MAX)
        return settled

    async def is_shown(self, program: str, told: bytes) -> bool:
        """Say whether reads show what was given back; `told` is what `told_of` kept of an outcome."""
        return await self._shows(program, _decode(told))

    async def _shows(self, program: str, shown: Shown) -> bool:
        told = shown.told_in
        points = [each.ref for each in shown.given_back if each.kind == "points"]
        try:
            answer = await self._redemption.ask(
                "POST",
                path_of("v1", "programs", program, "heard"),
                body=msgspec.json.encode(
                    {
                        "member": told.member,
                        "source": told.source,
                        "sequence": told.sequence,
                        "redemptions": points,
                    }
                ),
            )
        except Problem as problem:
            log.warning("redemption cannot say what it has heard", code=problem.code)
            return False
        if answer.status_code != 200:
            return False
        heard = _decode_heard(bytes(answer.body))
        if not heard.heard:
            return False
        async with self._database.connection() as connection:
            number = await heard_up_to(connection, program, told.member, told.source)
            states = await redemptions.states(connection, program, heard.redemptions) if heard.redemptions else {}
        return number >= told.sequence and states == heard.redemptions
