"""Questions that a newcomer asks after a replay, put to the gateway: who earned what, what is owed, what it buys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from laurel.replaying.gateway import Gateway, problem_of, require, together

_LANES = 16


@dataclass(frozen=True, slots=True)
class Earner:
    """A member and its balance in one unit."""

    member: str
    earned: int
    available: int


@dataclass(frozen=True, slots=True)
class Bought:
    """How a redemption ended: what was bought, or the code and the words of a refusal."""

    outcome: dict[str, Any]
    replayed: bool
    code: str = ""
    detail: str = ""


class Tour:
    """Asks about one program."""

    def __init__(self, gateway: Gateway, program: str) -> None:
        self._gateway = gateway
        self._base = f"/v1/programs/{program}"

    async def program(self) -> dict[str, Any]:
        """Return the program as published; a `GatewayError` says that there is none."""
        found: dict[str, Any] = await self._gateway.get(self._base)
        return found

    async def member(self, member: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._gateway.get(f"{self._base}/members/{member}")
        return found

    async def earners(
        self, members: Iterable[str], unit: str, asked: Callable[[int], None] = lambda _: None
    ) -> list[Earner]:
        """Return all these members, those who earned most first."""
        found: list[Earner] = []
        waiting = iter(members)

        async def lane() -> None:
            for member in waiting:
                shown = await self.member(member)
                balance = balance_in(shown, unit)
                found.append(Earner(member, balance["lifetime"]["earned"], balance["available"]))
                asked(len(found))

        async with together() as lanes:
            for _ in range(_LANES):
                lanes.create_task(lane())
        return sorted(found, key=lambda earner: (-earner.earned, earner.member))

    async def statement(self, member: str, limit: int) -> list[dict[str, Any]]:
        """Return the newest journals of a member."""
        page = await self._gateway.get(f"{self._base}/members/{member}/statement", limit=str(limit))
        data: list[dict[str, Any]] = page["data"]
        return data

    async def liability(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._gateway.get(f"{self._base}/reports/liability")
        return found

    async def offer(self, reward: str, document: dict[str, Any]) -> None:
        """Publish a reward; doing so again changes nothing."""
        await self._gateway.send("PUT", f"{self._base}/rewards/{reward}", msgspec.json.encode(document))

    async def buy(self, member: str, reward: str, key: str) -> Bought:
        """Redeem points of a member. The same key buys once, however often it is asked."""
        answer = await self._gateway.ask(
            "POST",
            f"{self._base}/redemptions",
            body=msgspec.json.encode({"member": member, "reward": reward}),
            headers={
                "content-type": "application/json",
                "idempotency-key": f'"{key}"',
                "prefer": "wait=30",
            },
        )
        if answer.status_code == 409:
            code, detail = problem_of(answer)
            return Bought({}, replayed=False, code=code, detail=detail)
        require(answer)
        return Bought(answer.json(), replayed=answer.headers.get("idempotency-replayed") == "true")


def balance_in(member: dict[str, Any], unit: str) -> dict[str, Any]:
    """Return a member's balance in a unit; who never earned any has nothing."""
    nothing: dict[str, Any] = {"unit": unit, "available": 0, "held": 0, "owed": 0, "lifetime": {"earned": 0}}
    return next((balance for balance in member["balances"] if balance["unit"] == unit), nothing)
