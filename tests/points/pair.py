"""Two members of one program who may give points to each other."""

from __future__ import annotations

from typing import Any

from laurel.program import ProgramDocument
from services.points.domain.state import Balance, Wallet
from services.points.ports import WalletKey
from services.points.testing import note
from tests.points.till import Till, enrolment, purchase, report


class Pair(Till):
    """Two members of one program, of whom the first speaks unless it is said otherwise."""

    def __init__(self, program: ProgramDocument) -> None:
        super().__init__(program)
        self.other = "m-2"

    async def enrol(self, **fields: Any) -> None:
        await super().enrol(**fields)
        await self.send(enrolment(self.program, self.other, self.at, **fields))

    async def give(
        self, name: str, amount: int, *, giver: str = "m-1", to: str = "m-2", unit: str = "point"
    ) -> list[dict[str, Any]]:
        return await self.send(self.gift(name, amount, giver=giver, to=to, unit=unit))

    def gift(self, name: str, amount: int, *, giver: str = "m-1", to: str = "m-2", unit: str = "point") -> Any:
        versions = {"program": 1, **({"as_of": self.as_of} if self.as_of is not None else {})}
        return note(
            "transfer.requested.v1", self.program, giver, at=self.at, cause={"kind": "request", "id": name},
            transfer=name, to=to, unit=unit, amount=amount, partner="shop", versions=versions,
        )  # fmt: skip

    async def buy_for(self, member: str, id_: str, amount: int, **fields: Any) -> dict[str, Any]:
        bought = purchase(id_, amount, self.at, **fields)
        return (await self.send(report(self.program, member, bought, self.at, as_of=self.as_of)))[0]

    def of(self, member: str) -> Wallet:
        return self.ledger.wallets[WalletKey(self.program, member)]

    def points(self, member: str) -> Balance:
        return self.of(member).balance("point")


def gifts(**terms: Any) -> dict[str, Any]:
    return {"transfers": {"point": terms}}
