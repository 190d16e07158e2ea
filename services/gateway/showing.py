"""What moves two members is answered when reads show both of them: each is told of under a key of its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.gateway.store import members, requests
from services.gateway.told.sharing import OTHER

if TYPE_CHECKING:
    from services.gateway.answering import Settled
    from services.gateway.asking import Ask
    from services.gateway.preferring import Preference
    from services.gateway.wiring import Api

_FIRST_LOOK_SECONDS: Final = 0.01
_LOOK_SECONDS_MAX: Final = 0.2


async def settle_both(api: Api, ask: Ask, wish: Preference) -> Settled:
    """Settle a request; it stays pending for as long as the other member is not shown as far as it was moved."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wish.wait_seconds
    settled = await api.settler.settle(ask, wish)
    if settled.state != requests.POSTED or settled.outcome is None:
        return settled
    shown: dict[str, Any] = msgspec.json.decode(settled.outcome)
    other = shown.pop(OTHER, None)
    settled = replace(settled, outcome=msgspec.json.encode(shown))
    if other is None:
        return settled
    program, member, version = other
    pause = _FIRST_LOOK_SECONDS
    while True:
        async with api.database.connection() as connection:
            if not await members.is_behind(connection, program, [(member, version)]):
                return settled
        if loop.time() + pause > deadline:
            return replace(settled, state=requests.PENDING, outcome=None)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LOOK_SECONDS_MAX)
